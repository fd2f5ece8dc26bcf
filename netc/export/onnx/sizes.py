"""The open sizes of an exported model: those that depend on the batch, or on the input's values.

A net is inferred a second time with twice the batch or rows; sizes that then differ are open. The
model is written for both, to check that nothing else in it depends on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from netc.diagnostics import Diagnostic, NetcError
from netc.infer import infer
from netc.ir.graph import Graph, Node
from netc.ir.types import Shape, show
from netc.ops.catalog import CATALOG

Size = int | str | None
Axes = Mapping[str, tuple[int, ...]]

_ROWS = {"DetectionOutput": 2}  # the axis of rows that a run tells the number of; else the first


class Open(NamedTuple):
    """A net of twice as many, and the axes of each value that became longer by it."""

    twice: Graph
    axes: Axes


Misfit = Callable[[str, Any], NetcError]


def no_batch(why: str, at: Any = None) -> NetcError:
    """A ``batch-misfit`` error: the net fixes its batch; to be raised by the caller.

    Args:
        why: the reason.
        at: an object with a ``span``.
    """
    span = at.span if at is not None else None
    message = f"the inputs' first size cannot be left open: {why}"
    return NetcError(Diagnostic("batch-misfit", message, span))


def open_batch(graph: Graph, constants: Iterable[str]) -> Open:
    """The net with twice the batch, and with twice the rows that a run tells the number of.

    Raises:
        NetcError: batch-misfit.
    """
    shapes = {name: graph.shape(name) for name in graph.inputs if graph.shape(name)}
    first = next(iter(shapes.values()), ())
    if not first:
        raise no_batch("the net has no input with a first size")
    items = {name: _twice(s, 0) for name, s in shapes.items() if s[0] == first[0]}

    def misfit(why: str, at: object) -> NetcError:
        return no_batch(f"with {2 * first[0]} for {first[0]}{why}", at)

    rows = _runtime_shapes(graph)
    if rows:  # whether the layers that choose take as many
        whole = graph.replace(inputs=(*graph.inputs, *constants))
        _check(infer(whole, items).diagnostics, misfit)
    return _opened(graph, constants, items, rows, misfit)


def open_rows(graph: Graph, constants: Iterable[str]) -> Open | None:
    """The net with twice the rows that only a run tells the number of; None where nobody reads any.

    Raises:
        NetcError: no-onnx-rule, where what follows them has sizes of its own.
    """
    rows = _runtime_shapes(graph)
    if not any(graph.readers[name] for name in rows):
        return None

    def misfit(why: str, at: object) -> NetcError:
        return no_rows(graph, f"twice as many as said{why}", at)

    return _opened(graph, constants, {}, rows, misfit)


def no_rows(graph: Graph, why: str, at: Any) -> NetcError:
    """The error that layers fix the number of rows that only a run tells."""
    maker = next(node for node in graph.nodes if _is_dynamic(node))
    message = (
        f"layer `{maker.name}` ({maker.op}) cannot be written as ONNX: a run alone tells how many "
        f"rows it gives, and what follows fixes them: {why}"
    )
    return NetcError(Diagnostic("no-onnx-rule", message, at.span or maker.span))


def _runtime_shapes(graph: Graph) -> dict[str, Shape]:
    """Tops of layers that choose, with twice the rows they may have."""
    return {
        name: _twice(graph.shape(name), rows_axis(node))
        for node in graph.nodes
        if _is_dynamic(node)
        for name in node.outputs
    }


def _is_dynamic(node: Node) -> bool:
    return CATALOG[node.op].dynamic


def rows_axis(node: Node) -> int:
    """The axis of rows of a layer that chooses."""
    return _ROWS.get(node.op, 0)


def _twice(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])


def _opened(
    graph: Graph,
    constants: Iterable[str],
    items: Mapping[str, Shape],
    rows: Mapping[str, Shape],
    misfit: Misfit,
) -> Open:
    """The net inferred with these shapes of inputs, and of tops of layers that choose."""
    certain = tuple(node for node in graph.nodes if not _is_dynamic(node))
    cut = graph.replace(nodes=certain, inputs=(*graph.inputs, *constants, *rows))
    result = infer(cut, {**items, **rows})
    _check(result.diagnostics, misfit)
    _check_parameters(cut, result.graph, misfit)
    twice = result.graph.replace(
        nodes=graph.nodes, inputs=graph.inputs, parameters=graph.parameters
    )
    return Open(twice, _longer(graph, twice))


def _check_parameters(graph: Graph, twice: Graph, misfit: Misfit) -> None:
    """Layer by layer: who owns a shared one may have changed, where its owner was left out."""
    for node, other in zip(graph.nodes, twice.nodes, strict=True):
        for name, new in zip(node.parameters, other.parameters, strict=True):
            old, shape = graph.parameters[name], twice.parameters[new].shape
            if shape != old.shape:
                shapes = f"{show(shape)}, and it is {show(old.shape)}"
                raise misfit(f" parameter `{name}` would be {shapes}", node)


def _check(diagnostics: Iterable[Diagnostic], misfit: Misfit) -> None:
    for fault in diagnostics:
        if fault.severity == "error":
            raise misfit(f": {fault.message}", fault)


def _longer(graph: Graph, twice: Graph) -> dict[str, tuple[int, ...]]:
    found = {}
    for name in graph.values:
        pairs = enumerate(zip(graph.shape(name), twice.shape(name), strict=True))
        axes = tuple(i for i, (old, new) in pairs if old != new)
        if axes:
            found[name] = axes
    return found


# Sizes as a model tells them


def runtime_sizes(
    graph: Graph, batch: Open | None, rows: Open | None, name: str
) -> Callable[[str], list[Size]]:
    """A value's sizes in the model.

    Those that follow from the batch have its name, or none where they are another number; those
    that only a run tells have none.
    """
    first = next((graph.shape(value)[0] for value in graph.inputs if graph.shape(value)), 0)

    def sizes(value: str) -> list[Size]:
        found: list[Size] = list(graph.shape(value))
        if batch:
            for axis in batch.axes.get(value, ()):
                same = found[axis] == first and batch.twice.shape(value)[axis] == 2 * first
                found[axis] = name if same else None
        for axis in (*(rows.axes.get(value, ()) if rows else ()), *_own_rows(graph, value)):
            found[axis] = None
        return found

    return sizes


def _own_rows(graph: Graph, value: str) -> Sequence[int]:
    maker = graph.producers.get(value)
    return (rows_axis(maker),) if maker is not None and _is_dynamic(maker) else ()
