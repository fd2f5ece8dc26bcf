"""DetectNet's Python layers that turn a grid of cells into boxes, as built in.

ClusterDetections and ClusterGroundtruth of NVIDIA/caffe (python/caffe/layers/detectnet/
clustering.py), which DIGITS' detectors name. The bottoms are coverage, (num, classes, rows,
columns), and the corners of each cell's box in pixels from the cell, (num, 4, rows, columns). There
is a top for each class, (num, 50, 5): x_min, y_min, x_max, y_max and confidence, zero behind the
last box. Boxes that are alike are joined as by OpenCV's groupRectangles (cascadedetect.cpp).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.define import ShapeError
from netc.ops.python import PythonContext, register_built_in

_MOST = 50  # boxes of an image
Rectangle = tuple[int, int, int, int]  # x, y, width and height


class GridOfBoxes(NamedTuple):
    """What ``param_str`` says: numbers with commas between them.

    Args:
        width, height: of the image, in pixels.
        stride: pixels from cell to cell.
        coverage: a cell with less has no box.
        least: boxes that as many others are like are given, not those of fewer.
        eps: how far alike boxes may be apart, in parts of their mean side.
        min_height: the least height of a box, in pixels.
        classes: how many there are.
    """

    width: int
    height: int
    stride: int
    coverage: float = 0.0
    least: int = 0
    eps: float = 0.0
    min_height: int = 0
    classes: int = 1


def _settings(param_str: str, truth: bool) -> GridOfBoxes:
    layer = "ClusterGroundtruth" if truth else "ClusterDetections"
    names = GridOfBoxes._fields
    known = (*names[:3], "classes") if truth else names
    given = [part.strip() for part in param_str.split(",")]
    if not len(known) - 1 <= len(given):
        raise ShapeError(
            f"`{layer}` takes {len(known) - 1} or {len(known)} numbers with commas between them "
            f"({', '.join(known)}), its `param_str` is '{param_str}'",
            code="python-layer",
        )
    kinds = {"coverage": float, "eps": float}
    try:
        values = {n: kinds.get(n, int)(v) for n, v in zip(known, given, strict=False)}
        made = GridOfBoxes(**values)  # type: ignore[arg-type]  # each kind by its field's name
    except ValueError:
        raise ShapeError(
            f"`{layer}`'s `param_str` '{param_str}' holds something that is no number",
            code="python-layer",
        ) from None
    if made.stride < 1 or made.width < made.stride or made.height < made.stride:
        raise ShapeError(
            f"`{layer}` needs an image of a cell or more, and its `param_str` is '{param_str}'",
            code="python-layer",
        )
    return made


def _shape(inputs: Sequence[Shape], param_str: str, truth: bool) -> tuple[Shape, ...]:
    given = _settings(param_str, truth)
    if len(inputs) != 2 or any(len(shape) != 4 for shape in inputs) or inputs[1][1] < 4:
        raise ShapeError(
            "coverage and boxes must be (num, classes, rows, columns) and (num, 4, rows, columns), "
            f"they are {', '.join(map(show, inputs))}"
        )
    if inputs[0][1] != given.classes:
        raise ShapeError(
            f"`param_str` says {given.classes} classes, and the coverage is {show(inputs[0])}"
        )
    return ((inputs[0][0], _MOST, 5),) * given.classes


def _cells(given: GridOfBoxes, covered: AnyArray, boxes: AnyArray) -> AnyArray:
    """The boxes of covered cells, (boxes, 4), in pixels of the image."""
    columns, rows = given.width // given.stride, given.height // given.stride
    y, x = np.nonzero(covered[:rows, :columns])
    corner = np.stack([x * (given.width / columns), y * (given.height / rows)] * 2, axis=1)
    result: AnyArray = boxes[:4, y, x].T + corner
    return result


def _alike(eps: float, a: Rectangle, b: Rectangle) -> bool:
    delta = eps * (min(a[2], b[2]) + min(a[3], b[3])) * 0.5
    return (
        abs(a[0] - b[0]) <= delta
        and abs(a[1] - b[1]) <= delta
        and abs(a[0] + a[2] - b[0] - b[2]) <= delta
        and abs(a[1] + a[3] - b[1] - b[3]) <= delta
    )


def _groups(rectangles: Sequence[Rectangle], eps: float) -> list[list[int]]:
    """Rectangles that are alike, or alike one that is, in the order of each group's first."""
    left, groups = list(range(len(rectangles))), []
    while left:
        group, new = [], [left.pop(0)]
        while new:
            one = new.pop()
            group.append(one)
            near = [i for i in left if _alike(eps, rectangles[one], rectangles[i])]
            left = [i for i in left if i not in near]
            new += near
        groups.append(group)
    return groups


def grouped(rectangles: Sequence[Rectangle], least: int, eps: float) -> list[tuple[Rectangle, int]]:
    """groupRectangles: the mean of each group of more than ``least``, and how many it has.

    One that lies in another of more than three is left out.
    """
    if least <= 0:
        return [(one, 1) for one in rectangles]
    means = []
    for group in _groups(rectangles, eps):
        sums = np.array([rectangles[i] for i in group], np.int64).sum(axis=0)
        mean = np.rint(sums.astype(np.float32) * np.float32(1 / len(group)))
        x, y, wide, high = map(int, mean)
        means.append(((x, y, wide, high), len(group)))
    kept = [each for each in means if each[1] > least]
    return [
        each for i, each in enumerate(kept)
        if not any(_inside(each, other, eps) for j, other in enumerate(kept) if i != j)
    ]  # fmt: skip


def _inside(one: tuple[Rectangle, int], other: tuple[Rectangle, int], eps: float) -> bool:
    (x, y, wide, high), number = one
    (a, b, broad, tall), more = other
    dx, dy = round(broad * eps), round(tall * eps)
    within = x >= a - dx and y >= b - dy
    within = within and x + wide <= a + broad + dx and y + high <= b + tall + dy
    return within and (more > max(3, number) or number < 3)


def _detections(given: GridOfBoxes, coverage: AnyArray, boxes: AnyArray) -> AnyArray:
    cells = _cells(given, coverage >= given.coverage, boxes)
    if not cells.any():
        return np.zeros((0, 5))
    sides = np.concatenate([cells[:, :2], cells[:, 2:] - cells[:, :2]], axis=1)
    rectangles: list[Rectangle] = [tuple(map(int, row)) for row in sides]  # type: ignore[misc]
    found = [
        (x, y, x + wide, y + high, math.log(number))
        for (x, y, wide, high), number in grouped(rectangles, given.least, given.eps)
        if high >= given.min_height
    ]
    return np.array(found, np.float64).reshape(-1, 5)


def _truth(given: GridOfBoxes, coverage: AnyArray, boxes: AnyArray) -> AnyArray:
    cells = np.unique(_cells(given, coverage > 0, boxes), axis=0)
    return np.concatenate([cells, np.zeros((len(cells), 1))], axis=1)


def _clustered(inputs: Arrays, param_str: str, truth: bool) -> tuple[AnyArray, ...]:
    given = _settings(param_str, truth)
    coverage, boxes = (np.asarray(array, np.float64) for array in inputs)
    tops = np.zeros((given.classes, len(coverage), _MOST, 5), np.float32)
    for image, label in np.ndindex(*coverage.shape[:2]):
        find = _truth if truth else _detections
        found = find(given, coverage[image, label], boxes[image])
        if len(found) > _MOST:
            raise NetcError(
                Diagnostic(
                    "too-many-boxes",
                    f"image {image} has {len(found)} boxes of class {label}, and DetectNet's "
                    f"layers hold {_MOST}",
                )
            )
        tops[label, image, : len(found)] = found.astype(np.float16)
    return tuple(tops)


def _nothing(
    inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
) -> tuple[None, ...]:
    return (None,) * len(inputs)


for _name, _is_truth in (("ClusterDetections", False), ("ClusterGroundtruth", True)):
    register_built_in(
        "caffe.layers.detectnet.clustering",
        _name,
        lambda inputs, text, context, truth=_is_truth: _clustered(inputs, text, truth),
        lambda inputs, text, context, truth=_is_truth: _shape(inputs, text, truth),
        False,
        _nothing,
    )
