"""Shapes that an input may have, from the layers that read it and what else they read.

A loss that compares a prediction of 2x10 takes labels of 2, of 2x1 or of 2x10; which of them, says
its own shape rule. A label that is cut is as wide as its parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from netc.ir.graph import Graph, Node
from netc.ir.types import Shape
from netc.ops.detection.darknet import ROW, TRUE_BOXES
from netc.ops.detection.subcategory import ExtrapolationParams
from netc.ops.detection.yolo_first import LABEL, FirstYoloParams
from netc.ops.forks.mirrored_points import AlignParams
from netc.ops.joining import SliceParams
from netc.ops.reshaping import ReshapeParams

BOXES = 4  # rows of a list of boxes
_DEEP = 4  # layers that only pass an input on
_MAX_CANDIDATES = 24  # candidates of an input
_STEPS = 16  # of a sequence


def candidates(graph: Graph, value: str, images: int, first: Shape | None) -> list[Shape]:
    """Shapes to try for an input, the likely ones first.

    Args:
        graph: with the shapes that are known.
        value: the input.
        images: the batch.
        first: the shape of its layer's first top, which may be a picture as that is.
    """
    numbers = ((images,), (images, 1, 1, 1), *([first] if first else []))
    found = (*_from_readers(graph, value, 0), *numbers, *_usual(images))
    return list(islice(dict.fromkeys(shape for shape in found if 0 not in shape), _MAX_CANDIDATES))


def _usual(images: int) -> Iterator[Shape]:
    """Rows of boxes, sequences, images' sizes."""
    yield (1, 1, BOXES, 8)  # SSD's
    yield (images, TRUE_BOXES * ROW)  # darknet's
    yield (BOXES, 5)  # regions
    yield (_STEPS, images)
    yield (images, 3)  # height, width and scale
    yield (images, _STEPS)


def _from_readers(graph: Graph, value: str, deep: int) -> Iterator[Shape]:
    for node in graph.readers.get(value, ()):
        yield from _aligned(graph, node, value, deep)
        for other in node.inputs:
            shape = graph.values[other].shape
            if other != value and shape:
                yield from _beside(shape)
        if isinstance(node.params, FirstYoloParams):
            yield from _of_cells(graph, node, node.params)
        elif isinstance(node.params, SliceParams):
            yield from _cut(graph, node, node.params, deep)
        elif isinstance(node.params, ReshapeParams):
            yield from _reshaped(node.params)
        if len(node.inputs) == 1 and deep < _DEEP:
            for name in node.outputs[:1]:
                yield from _from_readers(graph, name, deep + 1)


def _aligned(graph: Graph, node: Node, value: str, deep: int) -> Iterator[Shape]:
    """Points that a loss compares behind AlignDataTransform, which keeps their number."""
    if isinstance(node.params, AlignParams) and value == node.inputs[0] and deep < _DEEP:
        for like in _from_readers(graph, node.outputs[0], deep + 1):
            if len(like) > 1:
                yield (*like, *(1,) * (4 - len(like)))


def _of_cells(graph: Graph, node: Node, params: FirstYoloParams) -> Iterator[Shape]:
    """The labels of the first YOLO's cells, as many as it has predictions."""
    shape = graph.values[node.inputs[0]].shape
    if shape:
        yield (shape[0], params.side**2 * LABEL)


def _beside(other: Shape) -> Iterator[Shape]:
    """Shapes of a bottom beside another of this shape."""
    yield other[:1]
    if len(other) > 2:
        yield (other[0], 1, *other[2:])
        yield (other[0], *other[2:])
    yield other
    if len(other) > 1:
        yield other[:2]
        yield (other[1], other[0])
        yield (other[0] * other[1],)
        yield (other[0], 1)
        yield (*other[:-1], 1)
    yield (other[0], 1, 1, 1)
    yield (BOXES, 5)


def _cut(graph: Graph, node: Node, params: SliceParams, deep: int) -> Iterator[Shape]:
    """Shapes whose parts fit the readers of each."""
    if deep >= _DEEP:
        return
    parts = [list(islice(_from_readers(graph, top, deep + 1), 6)) for top in node.outputs]
    axis, points = params.axis, params.points
    step = points[-1] - (points[-2] if len(points) > 1 else 0) if points else 1
    # What reads the last part tells how wide it is; else it is as wide as another.
    for part in dict.fromkeys(shape for found in reversed(parts) for shape in found):
        size = part[axis] if -len(part) <= axis < len(part) else 1
        for wide in (points[-1] + size, points[-1] + step) if points else (params.tops * size,):
            yield (*part[:axis], wide, *part[axis + 1 :]) if axis >= 0 else (*part[:axis], wide)
    last = parts[-1][0][:1] if parts and parts[-1] else (1,)
    wide = points[-1] + step if points else params.tops
    if axis == 1:
        yield (*last, wide)
        yield (*last, wide, 1, 1)


def channels(graph: Graph, value: str) -> Iterator[int]:
    """How many channels an input may have by the places at which layers cut it."""
    for node in graph.readers.get(value, ()):
        if isinstance(node.params, SliceParams) and node.params.axis == 1:
            points = node.params.points
            yield points[-1] + 1 if points else node.params.tops


def _reshaped(params: ReshapeParams) -> Iterator[Shape]:
    """The shape that it makes, where all of it is written."""
    if params.axis == 0 and params.num_axes == -1 and all(size > 0 for size in params.dims):
        yield params.dims


def batches(graph: Graph) -> Iterator[int]:
    """Batches for which a Reshape that writes its first sizes makes as many elements as it reads.

    LRCN's data come as 384 images, which become 16 steps of 24 clips; SubCNN's are a picture at
    several scales.
    """
    for node in graph.nodes:
        if isinstance(node.params, ExtrapolationParams):
            yield len(node.params.scales)
        if isinstance(node.params, ReshapeParams):
            dims = node.params.dims
            if node.params.axis == 0 and len(dims) > 2 and min(dims[:2]) > 0:
                yield dims[0] * dims[1]
            if node.params.axis == 0 and len(dims) > 1 and dims[0] > 0:
                yield dims[0]
