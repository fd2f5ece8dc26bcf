"""Shapes of true boxes by the layers that read them, where a data layer leaves their width open.

RoIDataLayer (peteanderson80/bottom-up-attention) makes rows of 5 or more by a configuration.
"""

from __future__ import annotations

from netc.ir.graph import Graph
from netc.ir.types import Shape
from netc.ops.detection.rcnn_layers import true_boxes_shape
from netc.ops.python import PythonParams
from netc.ops.shape_error import ShapeError

_ROW = 5  # box and label


def true_boxes_as_read(graph: Graph, value: str, shape: Shape) -> Shape:
    """The shape, wide enough for attributes and relations that a ProposalTargetLayer reads."""
    if shape[1:] != (_ROW,):
        return shape
    for node in graph.readers.get(value, ()):
        params = node.params
        if isinstance(params, PythonParams) and params.layer == "ProposalTargetLayer":
            return _widened(params, shape)
    return shape


def _widened(params: PythonParams, shape: Shape) -> Shape:
    if params.module != "rpn.proposal_target_layer":
        return shape
    try:
        return true_boxes_shape(params.param_str, shape)
    except ShapeError:  # told where shapes are inferred
        return shape
