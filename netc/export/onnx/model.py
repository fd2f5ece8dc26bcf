"""A graph as an ``onnx.ModelProto``, for one batch or for any."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.export.onnx.sizes import (
    Size,
    no_batch,
    no_rows,
    open_batch,
    open_rows,
    runtime_sizes,
)
from netc.export.onnx.table import RULES, rule_of, without_rule
from netc.export.onnx.writer import IR_VERSION, OPSET, LayerExport, OnnxWriter
from netc.ir.edit import live_nodes, with_nodes
from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray
from netc.ops.filler import fill, generator
from netc.version import __version__

if TYPE_CHECKING:
    import onnx


def to_onnx(graph: Graph, *, batch: str | None = None, seed: int = 0) -> onnx.ModelProto:
    """Convert a graph to an ``onnx.ModelProto`` of opset 13, float32.

    Inputs that no output depends on are left out.

    Args:
        graph: with shapes and arrays, before any pass.
        batch: the name of the inputs' batch dimension, for a model with an open batch size; None
            fixes the graph's own shapes. An input whose first size differs from the first
            input's keeps its shape.
        seed: of the fillers of DummyData layers.

    Raises:
        NetcError: missing-package, without onnx; no-onnx-rule, with each layer that has no rule;
            no-output; batch-misfit, where ``batch`` is given and the net fixes its batch size.
    """
    _need_onnx()
    if not graph.outputs:
        raise _no_output(graph)
    graph = _plain_inputs(_needed(graph))
    constants = _constant_inputs(graph, seed)
    graph = graph.replace(inputs=tuple(n for n in graph.inputs if n not in constants))
    _check(graph)
    return _model(*_sized(graph, constants, batch))


def _sized(
    graph: Graph, constants: Mapping[str, object], batch: str | None
) -> tuple[OnnxWriter, Callable[[str], list[Size]]]:
    """All nodes, and sizes as the model tells them."""
    rows = open_rows(graph, constants)
    writer = _written(graph, constants, rows.axes if rows else {})
    if rows:
        twice = _written(rows.twice, constants, rows.axes)
        _check_same(writer, twice, lambda why, node: no_rows(graph, why, node))
    if batch is None:
        return writer, runtime_sizes(graph, None, rows, "")
    items = open_batch(graph, constants)
    writer = _written(graph, constants, items.axes)
    _check_same(writer, _written(items.twice, constants, items.axes), no_batch)
    return writer, runtime_sizes(graph, items, rows, batch)


def _need_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise NetcError(
            Diagnostic(
                "missing-package",
                "ONNX models are written by the package `onnx`, which is not installed",
                help=("pip install 'netc[onnx]'",),
            )
        ) from None


def _needed(graph: Graph) -> Graph:
    """The layers and inputs that outputs depend on."""
    live = live_nodes(graph)
    used = {*graph.outputs, *(name for node in live for name in node.inputs)}
    inputs = tuple(name for name in graph.inputs if name in used)
    return with_nodes(graph.replace(inputs=inputs), live)


# The net's inputs


def _plain_inputs(graph: Graph) -> Graph:
    """The graph with its inputs called as their blobs, also where a layer rewrites the blob.

    What the last such layer makes of it is then called ``blob@layer``: in ONNX an input and an
    output cannot have one name.
    """
    names: dict[str, str] = {}
    made_by = {output: node.name for node in graph.nodes for output in node.outputs}
    for value in graph.inputs:
        blob = graph.values[value].blob
        if value != blob:
            names[value] = blob
            if blob in made_by:
                names[blob] = _free(f"{blob}@{made_by[blob]}", {*graph.values, *names.values()})
    return _renamed(graph, names) if names else graph


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    return name


def _renamed(graph: Graph, names: Mapping[str, str]) -> Graph:
    def new(values: Sequence[str]) -> tuple[str, ...]:
        return tuple(names.get(value, value) for value in values)

    return graph.replace(
        nodes=tuple(
            replace(node, inputs=new(node.inputs), outputs=new(node.outputs))
            for node in graph.nodes
        ),
        inputs=new(graph.inputs),
        outputs=new(graph.outputs),
        values={
            names.get(key, key): replace(value, name=names.get(key, key))
            for key, value in graph.values.items()
        },
    )


def _constant_inputs(graph: Graph, seed: int) -> dict[str, AnyArray]:
    """What DummyData layers fill with one number, beside inputs that are to be fed.

    Random ones are inputs, and so are all where there is no other.
    """
    found = {
        name: fill(value.filler, graph.shape(name), generator(value.blob, seed))
        for name in graph.inputs
        if (value := graph.values[name]).filler is not None
        and value.filler.type == "constant"
        and name not in graph.outputs
    }
    return found if len(found) < len(graph.inputs) else {}


# Writing


def _check(graph: Graph) -> None:
    missing = _without_rules(graph)
    if missing:
        raise NetcError(missing)


def _without_rules(graph: Graph) -> list[Diagnostic]:
    missing = [without_rule(node) for node in graph.nodes if node.op not in RULES]
    return [d for error in missing for d in error.diagnostics]


def _no_output(graph: Graph) -> NetcError:
    """Losses that name no top are told as what they are; else nothing is there to compute."""
    nothing = Diagnostic("no-output", "the net gives nothing back: it has no outputs")
    return NetcError(_without_rules(graph) or nothing)


def _written(
    graph: Graph, constants: Mapping[str, object], varying: Mapping[str, tuple[int, ...]]
) -> OnnxWriter:
    """All layers' nodes; what no output needs is left out.

    Raises:
        NetcError: no-onnx-rule, of all layers together.
    """
    writer = OnnxWriter(graph, varying, constants=dict(constants))
    faults: list[Diagnostic] = []
    for node in graph.nodes:
        try:
            rule_of(node, writer)(LayerExport(writer, node))
        except NetcError as error:
            faults += error.diagnostics
    if faults:
        raise NetcError(faults)
    _prune(writer)
    return writer


def _prune(writer: OnnxWriter) -> None:
    needed = set(writer.graph.outputs)
    kept = []
    for layer, node in reversed(writer.nodes):
        if needed.intersection(node.output):
            needed.update(_read(node))
            kept.append((layer, node))
    writer.nodes = kept[::-1]
    writer.constants = {k: v for k, v in writer.constants.items() if k in needed}


def _read(node: Any) -> Iterator[str]:
    """What a node reads, inside the graphs that it holds too."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _read(inner)


def _check_same(one: OnnxWriter, two: OnnxWriter, misfit: Callable[[str, Node], NetcError]) -> None:
    """Two sizes must give one model: so nothing in it depends on them.

    Raises:
        NetcError: ``misfit`` of the first layer that is written otherwise.
    """
    layer = _first_difference(one, two)
    if layer is not None:
        raise misfit(f"layer `{layer.name}` ({layer.op}) depends on it", layer)


def _first_difference(one: OnnxWriter, two: OnnxWriter) -> Node | None:
    for (layer, old), (_, new) in zip(one.nodes, two.nodes, strict=True):
        if old != new:
            return layer
        for name in old.input:
            a, b = one.constants.get(name), two.constants.get(name)
            if a is not b and not _equal(a, b):
                return layer
    return None


def _equal(a: Any, b: Any) -> bool:
    if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


# The model


def _model(writer: OnnxWriter, sizes: Callable[[str], list[Size]]) -> onnx.ModelProto:
    from onnx import TensorProto, helper, numpy_helper

    def described(names: Sequence[str]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes(name)) for name in names
        ]

    graph = helper.make_graph(
        [node for _, node in writer.nodes],
        writer.graph.name or "net",
        described(writer.graph.inputs),
        described(writer.graph.outputs),
        [
            numpy_helper.from_array(np.asarray(array, order="C"), name)
            for name, array in writer.constants.items()
        ],
    )
    return helper.make_model(
        graph,
        producer_name="netc",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
