"""Helpers of the rules that select boxes."""

from __future__ import annotations

import numpy as np

from netc.export.onnx.writer import LayerExport


def stay_by_overlap(
    layer: LayerExport,
    boxes: str,
    scores: str,
    each: int,
    overlap: float,
    limit: int,
    threshold: float | None,
) -> str:
    """Apply ONNX's NonMaxSuppression to each group of boxes separately.

    Args:
        layer: the layer.
        boxes: value of shape (..., each, 4), sorted by descending score in each group.
        scores: value of shape (..., each).
        each: number of boxes per group.
        overlap: the largest intersection over union of two boxes that are both kept.
        limit: the largest number of boxes kept per group.
        threshold: boxes must have a higher score; None for no threshold.

    Returns:
        Value of shape (groups, each): the scores of kept boxes, minus infinity for the others.
    """
    rows = layer.reshape(scores, [-1, each])
    limits = [layer.whole("most", [limit]), layer.constant("overlap", [min(overlap, 1)])]
    if threshold is not None:
        limits.append(layer.constant("least", [threshold]))
    groups = layer.reshape(boxes, [-1, each, 4]), layer.reshape(scores, [-1, 1, each])
    stay = layer.op("NonMaxSuppression", *groups, *limits)
    places = layer.op("Gather", stay, layer.whole("columns", [0, 2]), axis=1)
    return layer.op(
        "ScatterND", nothing_like(layer, rows), places, layer.op("GatherND", rows, places)
    )


def nothing_like(layer: LayerExport, value: str) -> str:
    """Minus infinities in a value's shape."""
    return layer.op("Expand", layer.constant("none", -np.inf), layer.op("Shape", value))


def column_of_images(layer: LayerExport, like: str, axes: int) -> str:
    """The number of each image, in a value's shape; the images are its first axis."""
    from onnx import TensorProto

    shape = layer.op("Shape", like)
    number = layer.op("Gather", shape, layer.whole("zeroth", 0))
    counted = layer.op("Range", layer.whole("start", 0), number, layer.whole("step", 1))
    column = layer.reshape(
        layer.op("Cast", counted, to=TensorProto.FLOAT), [-1, *(1,) * (axes - 1)]
    )
    return layer.op("Expand", column, shape)


def part_of(layer: LayerExport, axis: int, start: int, end: int) -> list[str]:
    """What a Slice of one axis reads after its first input."""
    named = {"starts": [start], "ends": [end], "axes": [axis]}
    return [layer.whole(name, numbers) for name, numbers in named.items()]
