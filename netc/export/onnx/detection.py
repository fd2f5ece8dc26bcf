"""Rules that choose boxes: DetectionOutput.

Non-maximum suppression is ONNX's, a class of an image at a time. What it chooses is put into a map
of all candidates, from which the rows are read in Caffe's order: by image, by class, the best
first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from netc.export.onnx.boxes import column_of_images, nothing_like, part_of, stay_by_overlap
from netc.export.onnx.writer import LayerExport, Rule
from netc.ops.detection.detection_output import DetectionOutputParams


class _Candidates(NamedTuple):
    """Boxes (images, classes, each, 4) and scores (images, classes, each), the best first."""

    boxes: str
    scores: str
    classes: int
    each: int


def _detection_output(layer: LayerExport) -> None:
    params = layer.params_as(DetectionOutputParams)
    _check(layer, params)
    labels = [c for c in range(params.classes) if c != params.background]
    found = _candidates(layer, params, labels)
    chosen = _suppressed(layer, found, params.overlap, params.confidence)
    if params.keep > -1:
        chosen = _best_of_image(layer, chosen, found, params.keep)
    rows = _rows(layer, found, labels)
    mask = layer.op("Greater", chosen, layer.constant("nothing", -np.inf))
    rows, mask = _with_row_of_nothing(layer, rows, mask)
    places = layer.op("Transpose", layer.op("NonZero", mask), perm=[1, 0])
    picked = layer.op("GatherND", rows, places)
    layer.give("Reshape", picked, layer.whole("shape", [1, 1, -1, 7]))


def _check(layer: LayerExport, params: DetectionOutputParams) -> None:
    if params.eta < 1 and params.overlap > 0.5:
        raise layer.refuse("its `eta` changes the overlap allowed from box to box")
    if params.code_type != "CENTER_SIZE":
        raise layer.refuse(
            f"with `code_type: {params.code_type}` a box may end before it begins, and ONNX turns "
            "it round"
        )
    if layer.shape(2)[0] != 1 or params.keep == 0 or params.top == 0:
        raise layer.refuse("its priors are of several images, or it keeps nothing")


# Candidates


def _candidates(
    layer: LayerExport, params: DetectionOutputParams, labels: list[int]
) -> _Candidates:
    """The best of each class: as many as are looked at."""
    priors = layer.shape(2)[2] // 4
    scores = layer.reshape(layer.inputs[1], [-1, priors, params.classes])
    scores = layer.op("Transpose", scores, perm=[0, 2, 1])
    classes = layer.whole("labels", labels)
    if len(labels) < params.classes:
        scores = layer.op("Gather", scores, classes, axis=1)
    each = priors if params.top < 0 else min(priors, params.top)
    best, where = layer.ops("TopK", 2, scores, layer.whole("top", [each]), axis=2)
    where = layer.op("Unsqueeze", where, layer.whole("last", [3]))
    boxes = _decoded(layer, params, priors)
    if not params.share_location:
        boxes = layer.op("Transpose", boxes, perm=[0, 2, 1, 3])
        if len(labels) < params.classes:
            boxes = layer.op("Gather", boxes, classes, axis=1)
        boxes = layer.op("GatherND", boxes, where, batch_dims=2)
    else:
        boxes = layer.reshape(boxes, [-1, priors, 4])
        boxes = layer.op("GatherND", boxes, where, batch_dims=1)
    return _Candidates(boxes, best, len(labels), each)


def _decoded(layer: LayerExport, params: DetectionOutputParams, priors: int) -> str:
    """Boxes (images, priors, classes or 1, 4) from what is predicted of each prior."""
    each = 1 if params.share_location else params.classes
    coded = layer.reshape(layer.x, [-1, priors, each, 4])
    both = layer.reshape(layer.inputs[2], [2, priors, 1, 4])
    prior, variance = layer.ops("Split", 2, both, axis=0)
    if not params.variance_in_target:
        coded = layer.op("Mul", coded, variance)
    moved, scaled = layer.ops("Split", 2, coded, axis=3)
    low, high = layer.ops("Split", 2, prior, axis=3)
    size, two = layer.op("Sub", high, low), layer.constant("two", 2)
    middle = layer.op("Div", layer.op("Add", low, high), two)
    centre = layer.op("Add", layer.op("Mul", moved, size), middle)
    half = layer.op("Div", layer.op("Mul", layer.op("Exp", scaled), size), two)
    corners = layer.op("Sub", centre, half), layer.op("Add", centre, half)
    return layer.op("Concat", *corners, axis=3)


# Choosing


def _suppressed(
    layer: LayerExport, found: _Candidates, overlap: float, confidence: float | None
) -> str:
    """Scores (images, candidates) of the boxes that stay, minus infinity for the others."""
    kept = stay_by_overlap(
        layer, found.boxes, found.scores, found.each, overlap, found.each, confidence
    )
    return layer.reshape(kept, [-1, found.classes * found.each])


def _best_of_image(layer: LayerExport, chosen: str, found: _Candidates, keep: int) -> str:
    """The same of the best boxes of an image alone."""
    number = layer.whole("keep", [min(keep, found.classes * found.each)])
    best, where = layer.ops("TopK", 2, chosen, number, axis=1)
    return layer.op("ScatterElements", nothing_like(layer, chosen), where, best, axis=1)


# Rows


def _rows(layer: LayerExport, found: _Candidates, labels: list[int]) -> str:
    """(images, candidates, 7): image, class, score, box."""
    score = layer.op("Unsqueeze", found.scores, layer.whole("last", [3]))
    image = column_of_images(layer, score, 4)
    label = layer.constant("label", np.reshape(labels, (1, -1, 1, 1)))
    label = layer.op("Expand", label, layer.op("Shape", score))
    rows = layer.op("Concat", image, label, score, found.boxes, axis=3)
    return layer.reshape(rows, [-1, found.classes * found.each, 7])


def _with_row_of_nothing(layer: LayerExport, rows: str, mask: str) -> tuple[str, str]:
    """A row more for each image, -1 behind its number, that is read where nothing is found."""
    from onnx import TensorProto

    one = layer.op("Slice", rows, *part_of(layer, 1, 0, 1))
    one = layer.op("Slice", one, *part_of(layer, 2, 0, 1))
    row = layer.op("Pad", one, layer.whole("row", [0, 0, 0, 0, 0, 6]), layer.constant("no", -1))
    total = layer.op("ReduceMax", layer.op("Cast", mask, to=TensorProto.FLOAT), keepdims=1)
    empty = layer.op("Less", total, layer.constant("some", 0.5))
    shape = layer.op("Shape", layer.op("Squeeze", one, layer.whole("inner", [2])))
    unseen = layer.op("Expand", empty, shape)
    return (
        layer.op("Concat", rows, row, axis=1),
        layer.op("Concat", mask, unseen, axis=1),
    )


RULES: Mapping[str, Rule] = {"DetectionOutput": _detection_output}
