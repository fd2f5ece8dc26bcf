"""Rules of region proposals: the layer Proposal, and the Python layer of Faster R-CNN."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netc.export.onnx.boxes import column_of_images, part_of, stay_by_overlap
from netc.export.onnx.writer import LayerExport, Rule
from netc.ops.detection.anchors import placed_anchors
from netc.ops.detection.proposal import ProposalParams
from netc.ops.detection.proposal_layers import proposal_of
from netc.ops.python import PythonParams


def _python(layer: LayerExport) -> None:
    params = proposal_of(layer.params_as(PythonParams))
    if params is None:
        raise layer.refuse("it is a program", f"`--until {layer.x}` ends the model before it")
    _propose(layer, params)


def _proposal(layer: LayerExport) -> None:
    _propose(layer, layer.params_as(ProposalParams))


def _propose(layer: LayerExport, params: ProposalParams) -> None:
    boxes = _clipped(layer, _moved(layer, params))
    scores = _scores(layer, params, boxes)
    each = min(params.before, int(np.prod(layer.shape()[2:])) * _anchors(params))
    best, where = layer.ops("TopK", 2, scores, layer.whole("before", [each]), axis=1)
    found = layer.op("GatherND", boxes, layer.op("Unsqueeze", where, _last(layer)), batch_dims=1)
    stay = _suppressed(layer, params, found, best, each)
    _give_rows(layer, found, best, stay)


def _anchors(params: ProposalParams) -> int:
    return len(params.ratios) * len(params.scales)


def _last(layer: LayerExport) -> str:
    return layer.whole("last", [2])


def _moved(layer: LayerExport, params: ProposalParams) -> str:
    """Anchors moved and scaled by what is predicted: (images, cells and anchors, 4)."""
    height, width = layer.shape()[2:]
    anchors = placed_anchors(params, (height, width))
    size = anchors[:, 2:] - anchors[:, :2] + 1
    deltas = layer.reshape(layer.inputs[1], [0, _anchors(params), 4, height, width])
    turned = layer.op("Transpose", deltas, perm=[0, 3, 4, 1, 2])
    moved, scaled = layer.ops("Split", 2, layer.reshape(turned, [0, len(anchors), 4]), axis=2)
    sides = layer.constant("sides", size)
    middle = layer.constant("middle", anchors[:, :2] + size / 2)
    centre = layer.op("Add", middle, layer.op("Mul", moved, sides))
    scale = layer.op("Mul", layer.op("Exp", scaled), sides)
    half = layer.op("Div", scale, layer.constant("two", 2))
    corners = layer.op("Sub", centre, half), layer.op("Add", centre, half)
    return layer.op("Concat", *corners, axis=2)


def _of_image(layer: LayerExport, columns: list[int]) -> str:
    """Numbers of the third bottom's first row: height, width, scale."""
    first = layer.op("Gather", layer.inputs[2], layer.whole("zeroth", 0), axis=0)
    return layer.op("Gather", first, layer.whole("columns", columns), axis=0)


def _clipped(layer: LayerExport, boxes: str) -> str:
    """Boxes within their image."""
    limits = layer.op("Sub", _of_image(layer, [1, 0, 1, 0]), layer.constant("one", 1))
    return layer.op("Max", layer.op("Min", boxes, limits), layer.constant("zero", 0))


def _scores(layer: LayerExport, params: ProposalParams, boxes: str) -> str:
    """Scores of the foreground; of boxes that are too small 0, or less than any."""
    from onnx import TensorProto

    height, width = layer.shape()[2:]
    number = _anchors(params)
    ahead = part_of(layer, 1, number, 2 * number)
    turned = layer.op("Transpose", layer.op("Slice", layer.x, *ahead), perm=[0, 2, 3, 1])
    scores = layer.reshape(turned, [0, height * width * number])
    large = _large(layer, params, boxes)
    if params.keep_small:
        return layer.op("Mul", scores, layer.op("Cast", large, to=TensorProto.FLOAT))
    return layer.op("Where", large, scores, layer.constant("none", -np.inf))


def _large(layer: LayerExport, params: ProposalParams, boxes: str) -> str:
    """Whether both of a box's sides are long enough."""
    from onnx import TensorProto

    scale = _of_image(layer, [3, 2] if layer.shape(2)[1] > 3 else [2, 2])
    least = layer.op("Mul", scale, layer.constant("least", params.min_size))
    low, high = layer.ops("Split", 2, boxes, axis=2)
    sides = layer.op("Add", layer.op("Sub", high, low), layer.constant("one", 1))
    enough = layer.op("Cast", layer.op("GreaterOrEqual", sides, least), to=TensorProto.FLOAT)
    both = layer.op("ReduceMin", enough, axes=[2], keepdims=0)
    return layer.op("Greater", both, layer.constant("half", 0.5))


def _suppressed(
    layer: LayerExport, params: ProposalParams, boxes: str, best: str, each: int
) -> str:
    """Whether a box stays. Its maximum is a pixel of it, so that its edge is 1 further."""
    edges = layer.op("Add", boxes, layer.constant("border", [0, 0, 1, 1]))
    lowest = float(np.finfo(np.float32).min)
    limit = min(params.after, each)
    kept = stay_by_overlap(layer, edges, best, each, params.overlap, limit, lowest)
    return layer.op("Greater", kept, layer.constant("nothing", -np.inf))


def _give_rows(layer: LayerExport, boxes: str, scores: str, stay: str) -> None:
    """Rows of image and box, and scores, image by image, the best first."""
    column = layer.op("Unsqueeze", scores, _last(layer))
    rows = layer.op("Concat", column_of_images(layer, column, 3), boxes, axis=2)
    places = layer.op("Transpose", layer.op("NonZero", stay), perm=[1, 0])
    layer.give("GatherND", rows, places)
    if len(layer.outputs) > 1:
        values = column if len(layer.made(1)) > 1 else scores
        layer.give("GatherND", values, places, top=1)


RULES: Mapping[str, Rule] = {"Proposal": _proposal, "Python": _python}
