"""Every rule, by op; and why some ops have none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netc.backends.reference import run_node
from netc.diagnostics import NetcError
from netc.export.onnx.detection import RULES as DETECTION
from netc.export.onnx.places import RULES as PLACES
from netc.export.onnx.pointwise import RULES as POINTWISE
from netc.export.onnx.products import RULES as PRODUCTS
from netc.export.onnx.proposals import RULES as PROPOSALS
from netc.export.onnx.recurrent import RULES as RECURRENT
from netc.export.onnx.regions import RULES as REGIONS
from netc.export.onnx.statistics import RULES as STATISTICS
from netc.export.onnx.windows import RULES as WINDOWS
from netc.export.onnx.writer import Layer, Rule, no_rule
from netc.ir.graph import Node
from netc.ops.catalog import CATALOG


def _nothing(layer: Layer) -> None:
    """A layer without tops."""


def _parameter(layer: Layer) -> None:
    layer.give("Identity", layer.weight(0))


def _constants(layer: Layer) -> None:
    """A layer that reads shapes alone: what its definition makes of them."""
    graph = layer.writer.graph
    feeds = [np.zeros(graph.shape(name), np.float32) for name in layer.inputs]
    for top, array in enumerate(run_node(graph, layer.node, feeds)):
        layer.give("Identity", layer.constant("value", array), top=top)


RULES: Mapping[str, Rule] = {
    **DETECTION,
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
    "Silence": _nothing,
}


def without_rule(node: Node) -> NetcError:
    """The error for a layer that has no rule; to be raised by the caller."""
    why = "netc knows no form of it there"
    if CATALOG[node.op].loss or node.op == "Accuracy":
        why = "it compares with labels, which is no part of inference"
    before = tuple(f"`--until {name}` ends the model before it" for name in node.inputs[:1])
    return no_rule(node, why, *before)
