"""Reads, upgrades and classifies the texts of a project, and derives deploy nets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError
from netc.frontend import Built, build, read_net
from netc.language.read import read_document
from netc.migrate.change import Change
from netc.migrate.generations import bind_net
from netc.migrate.solver import upgrade_solver
from netc.project.found import ProjectFile
from netc.schema.guess import guess_message
from netc.schema.load import Schema
from netc.schema.message import Message
from netc.surgery.heads import reads_data, role
from netc.surgery.printing import printed

_STEPS = {
    "v0": "from the V0 format",
    "v1": "from the V1 format",
    "inputs": "inputs as an Input layer",
    "data-transform": "transformations moved to `transform_param`",
    "batch-norm": "rates of BatchNorm's statistics",
    "statistics": "the order of NVIDIA's first BatchNorm",
    "axes": "axes",
    "dilation": "`hole` as `dilation`",
    "bottoms": "bottoms that a field names or counts",
    "fused": "fused layers, one by one",
    "solver": "the solver's type",
}
_NETS = ("net", "train_net", "test_net")


@dataclass(frozen=True, slots=True)
class ProjectNet:
    """A net of the project, in the current format.

    Attributes:
        item: its file.
        message: the net.
        trains: whether it has data layers or losses: a deploy net can be made of it.
        runs: whether all its inputs have shapes in phase TEST, and nothing is wrong.
    """

    item: ProjectFile
    message: Message
    trains: bool
    runs: bool


def read_text(
    item: ProjectFile, schema: Schema, others: Sequence[str] = (), own: Sequence[Path] = ()
) -> tuple[ProjectNet | None, str]:
    """Read a text: its net (None for another kind), and its upgraded text (empty if unchanged).

    Findings are added to the item, and its ``kind`` is set.

    Args:
        item: the text's file.
        schema: the message types.
        others: names of all files of the project.
        own: the user's .proto files that ``schema`` includes.

    Raises:
        NetcError: it cannot be read, parsed, bound or upgraded.
    """
    from netc.syntax.reader import read_source

    document = read_document(read_source(item.path), schema, {}, item.path.parent)
    type = guess_message(document, schema)
    if type.name == "SolverParameter":
        item.kind = "solver"
        bound = bind_net(document, type)
        upgraded = upgrade_solver(bound)
        _note_upgrade(item, upgraded.changes)
        moved = _note_nets(item, upgraded.message, others)
        changed = upgraded.changes
        if not changed and not moved:
            return None, ""
        return None, _renamed(printed(bound, upgraded.message, changed), moved)
    if type.name != "NetParameter":
        item.kind = "label map" if type.name == "LabelMap" else "other"
        item.told.append(f"it is a {type.name}, which netc reads as it is")
        return None, ""
    item.kind = "net"
    text = read_net(item.path, schema=own)
    _note_upgrade(item, text.changes)
    net = _net(item, text.message)
    return net, printed(text.message, text.message, text.changes) if text.changes else ""


def read_but_for_fields(item: ProjectFile, own: Sequence[Path] = ()) -> ProjectNet:
    """Read a net without the fields that no schema has.

    Raises:
        NetcError: for any other mistake.
    """
    item.kind = "net"
    item.told.append("fields that no known Caffe has were passed over")
    return _net(item, read_net(item.path, schema=own, tolerant=True).message)


def _net(item: ProjectFile, message: Message) -> ProjectNet:
    roles = {role(layer) for layer in message.get("layer")}
    trains = bool(roles & {"loss", "score"}) or any(map(reads_data, message.get("layer")))
    built = build(message)
    errors = _errors(built)
    if errors and trains:  # what is meant for training alone need not be a net in testing
        errors = errors if _errors(build(message, phase="TRAIN")) else []
    shapes = [built.graph.values[name].shape for name in built.graph.inputs]
    _note_state(item, errors, message, trains, None in shapes)
    runs = not _errors(built) and None not in shapes and bool(shapes)
    return ProjectNet(item, message, trains, runs)


def _errors(built: Built) -> list[Diagnostic]:
    return [d for d in built.diagnostics if d.severity == "error"]


def _note_state(
    item: ProjectFile, errors: list[Diagnostic], message: Message, trains: bool, unknown: bool
) -> None:
    kind = "a net that is trained" if trains else "a net for inference"
    item.told.append(f"{kind}, {len(message.get('layer'))} layers")
    if errors:
        item.left += failure(NetcError(errors), item.name)
    if unknown and not trains and not errors:
        item.left.append("its text tells no input size: give it with `--input-shape`")


def _help(error: Diagnostic) -> str:
    return f" ({error.help[0]})" if error.help else ""


def _note_upgrade(item: ProjectFile, changes: tuple[Change, ...]) -> None:
    if not changes:
        item.told.append("in the current format already")
        return
    steps = [step for step, _ in groupby(sorted(change.step for change in changes))]
    item.told.append("upgraded: " + ", ".join(_STEPS.get(step, step) for step in steps))
    for change in changes:
        if change.lossy:
            item.left.append(f"left out, as Caffe does: {change.message}")


def _elsewhere(item: ProjectFile, name: str, others: Sequence[str]) -> list[str]:
    """The files of the project that are called as one that is not there.

    If the ends of some paths agree in more parts than those of all others, or one is the solver's
    neighbour, that one alone.
    """
    parts = name.replace("\\", "/").split("/")[::-1]
    found = [other for other in others if other.rpartition("/")[2] == parts[0]]

    def agreeing(other: str) -> int:
        pairs = zip(parts, other.split("/")[::-1], strict=False)
        return next((i for i, (one, two) in enumerate(pairs) if one != two), len(parts))

    best = max(map(agreeing, found), default=0)
    nearest = [other for other in found if agreeing(other) == best]
    folder = item.name.rpartition("/")[0]
    beside = [other for other in nearest if other.rpartition("/")[0] == folder]
    return beside or nearest


def _renamed(text: str, moved: Mapping[str, str]) -> str:
    """A text with other names in quotes."""
    for old, new in moved.items():
        text = text.replace(f'"{old}"', f'"{new}"').replace(f"'{old}'", f'"{new}"')
    return text


def _note_nets(item: ProjectFile, solver: Message, others: Sequence[str]) -> dict[str, str]:
    """Tell whether the nets that a solver names are where it looks for them.

    Returns:
        Names of those that are not -> the only file of the project that is meant, as the solver
        finds it from its folder or one above.
    """
    moved: dict[str, str] = {}
    for field in _NETS:
        if field not in solver.type.fields:
            continue
        value = solver.get(field)
        for name in value if isinstance(value, tuple) else (value,) if value else ():
            if any(place.is_file() for place in _places(item, name)):
                continue
            found = _elsewhere(item, name, others)
            if len(found) == 1:
                moved[name] = found[0]
                item.told.append(f"`{field}: {name}` is not there; {found[0]} is written")
                continue
            which = f"; is {' or '.join(found[:3])} meant?" if found else ": say where the net is"
            item.left.append(f"`{field}: {name}` is not there{which}")
    item.told.append(f"run it with `netc train {item.name}`")
    return moved


def _places(item: ProjectFile, name: str) -> Iterator[Path]:
    """Where a path that a text names may lie: beside it, or in any folder above within reach."""
    depth = item.name.count("/")
    folder = item.path.parent
    for _ in range(depth + 1):
        yield folder / name
        folder = folder.parent


def failure(error: Exception, name: str = "") -> list[str]:
    """What to report of a file that could not be processed.

    Args:
        error: the exception.
        name: the file's name, where `netc check` can say more about it.
    """
    if isinstance(error, NetcError):
        found = [d for d in error.diagnostics if d.severity == "error"] or list(error.diagnostics)
        place = f"line {found[0].span.line}: " if found[0].span else ""
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        more += f": `netc check {name}` tells them" if more and name else ""
        return [place + found[0].message + _help(found[0]) + more]
    if isinstance(error, MemoryError):
        return ["the memory did not suffice"]
    return [f"netc failed at it, which is a fault of netc: {type(error).__name__}: {error}"]


def needs_size(error: Exception) -> bool:
    """Whether the error is only that an input's shape is unknown."""
    return isinstance(error, NetcError) and error.diagnostics[0].code == "unknown-input-shape"


_OPTION = re.compile(r"--input-shape (\w[\w./-]*=[\w,]+)")


def asked_option(error: Exception) -> str:
    """What follows ``--input-shape`` in the message of :func:`needs_size`'s error."""
    helps = error.diagnostics[0].help if isinstance(error, NetcError) else ""
    found = _OPTION.search(str(helps))
    return found[1].rstrip(",") if found else "data=1,CHANNELS,HEIGHT,WIDTH"
