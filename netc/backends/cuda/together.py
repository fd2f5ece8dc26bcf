"""Kernels that do the same for several arrays at once, and launches that are joined into such.

A part is what the kernel is told of one of them; the kernel has MANY parts as the fields of one
struct, so that they come with its arguments:

    struct Part { const value_t* data; int count; };
    struct Operands { Part parts[2]; };              with {{data0, count0}, {data1, count1}}
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from netc.backends.cuda.program import Argument, Launch, Step
from netc.backends.cuda.schedule import depends
from netc.backends.cuda.source import Code, Kernel

JOINED = "update"  # the template whose launches are joined


@dataclass(frozen=True, slots=True)
class KernelPart:
    """One part: its fields as C++ type, name and argument."""

    fields: Sequence[tuple[str, str, Argument]]

    MAX_PARTS: ClassVar[int] = 8  # parts of a kernel


def part_code(parts: Sequence[KernelPart]) -> tuple[Code, tuple[Argument, ...]]:
    """The code of a kernel of these parts, which have the same fields, and its last arguments."""
    kinds = [(kind, name) for kind, name, _ in parts[0].fields]
    values = tuple(value for part in parts for _, _, value in part.fields)
    return _code(kinds, len(parts)), values


def _code(kinds: Sequence[tuple[str, str]], many: int) -> Code:
    members = "".join(f"    {kind} {name};\n" for kind, name in kinds)
    text = f"struct Part {{\n{members}}};\nstruct Operands {{\n    Part parts[{many}];\n}};\n"
    declared = "".join(f", {kind} {name}{i}" for i in range(many) for kind, name in kinds)
    lists = (f"{{{', '.join(f'{name}{i}' for _, name in kinds)}}}" for i in range(many))
    return Code(text, declared, "{}", f"{{{{{', '.join(lists)}}}}}")


def joined(steps: Iterable[Step]) -> list[Step]:
    """The steps, in which updates of parameters are launches of several at once.

    An update waits for others as long as no step between them has to come after it.
    """
    found: list[Step] = []
    waiting: list[Launch] = []
    for step in steps:
        mine = _common(step)
        if isinstance(step, Launch) and mine is not None:
            alike = not waiting or _common(waiting[0]) == mine
            if not alike or len(waiting) == KernelPart.MAX_PARTS or _follows(step, waiting):
                found += _together(waiting)
                waiting = []
            waiting.append(step)
        else:
            if waiting and _follows(step, waiting):
                found += _together(waiting)
                waiting = []
            found.append(step)
    return found + _together(waiting)


def _follows(step: Step, waiting: Sequence[Launch]) -> bool:
    """True if a step must come after some of the launches that wait."""
    return not isinstance(step, Launch) or any(depends(step, launch) for launch in waiting)


def _together(launches: Sequence[Launch]) -> list[Step]:
    return [_join(launches)] if len(launches) > 1 else list(launches)


def _common(step: Step) -> tuple[Kernel, tuple[Argument, ...]] | None:
    """What launches must share to be joined; None for one that is none of these."""
    if not isinstance(step, Launch) or not isinstance(step.kernel, Kernel):
        return None
    if step.kernel.template != JOINED or step.workspace:
        return None
    return step.kernel, step.arguments[: -_width(step.kernel)]


def _width(kernel: Kernel) -> int:
    """Arguments of a part."""
    assert kernel.code is not None
    return kernel.code.parameters.count(",")


def _join(launches: Sequence[Launch]) -> Launch:
    """One launch of all parts; it has the first one's name."""
    first, many = launches[0], len(launches)
    assert isinstance(first.kernel, Kernel) and first.kernel.code is not None
    width = _width(first.kernel)
    declared = first.kernel.code.parameters[2:].split(", ")
    kinds = [(one.rsplit(" ", 1)[0], one.rsplit(" ", 1)[1].removesuffix("0")) for one in declared]
    constants = dict(first.kernel.constants) | {"MANY": many}
    kernel = replace(first.kernel, constants=tuple(constants.items()), code=_code(kinds, many))
    parts = tuple(value for launch in launches for value in launch.arguments[-width:])
    return replace(
        first,
        kernel=kernel,
        grid=(sum(launch.grid[0] for launch in launches), 1, 1),
        arguments=(*first.arguments[:-width], *parts),
        reads=tuple(dict.fromkeys(view for launch in launches for view in launch.reads)),
        writes=tuple(view for launch in launches for view in launch.writes),
        updates=tuple(variable for launch in launches for variable in launch.updates),
    )
