"""The table of export rules by op, with the reasons why some ops have none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netc.backends.reference import run_node
from netc.diagnostics import NetcError
from netc.export.onnx.detection import RULES as DETECTION
from netc.export.onnx.fork_maps import RULES as FORK_MAPS
from netc.export.onnx.places import RULES as PLACES
from netc.export.onnx.pointwise import RULES as POINTWISE
from netc.export.onnx.products import RULES as PRODUCTS
from netc.export.onnx.proposals import RULES as PROPOSALS
from netc.export.onnx.recurrent import RULES as RECURRENT
from netc.export.onnx.regions import RULES as REGIONS
from netc.export.onnx.statistics import RULES as STATISTICS
from netc.export.onnx.windows import RULES as WINDOWS
from netc.export.onnx.writer import LayerExport, OnnxWriter, Rule, no_rule
from netc.ir.graph import Node
from netc.ops.catalog import CATALOG


def _nothing(layer: LayerExport) -> None:
    """A layer without tops."""


def _parameter(layer: LayerExport) -> None:
    layer.give("Identity", layer.weight(0))


def _constants(layer: LayerExport) -> None:
    """A layer that reads shapes alone: what its definition makes of them."""
    graph = layer.writer.graph
    feeds = [np.zeros(graph.shape(name), np.float32) for name in layer.inputs]
    for top, array in enumerate(run_node(graph, layer.node, feeds)):
        layer.give("Identity", layer.constant("value", array), top=top)


RULES: Mapping[str, Rule] = {
    **DETECTION,
    **FORK_MAPS,
    **PLACES,
    **POINTWISE,
    **PRODUCTS,
    **PROPOSALS,
    **RECURRENT,
    **REGIONS,
    **STATISTICS,
    **WINDOWS,
    "ContinuationIndicator": _constants,
    "HDF5Output": _nothing,
    "Parameter": _parameter,
    "PriorBox": _constants,
    "PriorBoxClustered": _constants,
    "Silence": _nothing,
}


def rule_of(node: Node, writer: OnnxWriter) -> Rule:
    """A layer's rule; another for one with a blob without elements, since a 0 copies a size there.

    Layers that work on each element by itself keep theirs.
    """
    if node.op in POINTWISE or not any(map(writer.is_empty, (*node.inputs, *node.outputs))):
        return RULES[node.op]
    return _without_elements


def _without_elements(layer: LayerExport) -> None:
    """Nothing is computed: each top is a constant without elements."""
    if not all(map(layer.writer.is_empty, layer.outputs)):
        raise layer.refuse("a blob that it reads has no elements, and one that it makes has some")
    for top, name in enumerate(layer.outputs):
        if layer.writer.varying.get(name):
            raise layer.refuse("its blob has no elements, and a size that follows from the batch")
        shape = layer.writer.graph.shape(name)
        layer.give("Identity", layer.constant("value", np.zeros(shape)), top=top)


def without_rule(node: Node) -> NetcError:
    """The error for a layer that has no rule; to be raised by the caller."""
    why = "netc knows no form of it there"
    if CATALOG[node.op].loss or node.op == "Accuracy":
        why = "it compares with labels, which is no part of inference"
    before = tuple(f"`--until {name}` ends the model before it" for name in node.inputs[:1])
    return no_rule(node, why, *before)
