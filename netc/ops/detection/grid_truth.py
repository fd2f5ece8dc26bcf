"""What a cell of DetectNet's grid must learn (detectnet_coverage_rectangular.cpp of NVIDIA/caffe).

A true box covers the cells that its middle part overlaps. Boxes are x, y, width and height in
pixels; a cell that several boxes cover belongs to the last of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.numeric import np
from netc.ops.array import AnyArray
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import number, one_of
from netc.schema.message import Message

_EPSILON = 2.0**-23  # FLT_EPSILON
PARTS = (
    8  # foreground, the box's corners from the cell, 1 / width, 1 / height, weight; then classes
)


class TrueBox(NamedTuple):
    """A box in pixels, and the number of its class in the database."""

    x: float
    y: float
    width: float
    height: float
    kind: int


@dataclass(frozen=True, slots=True)
class GridTruthParams:
    """The grid, and how boxes cover it.

    Args:
        width, height: of the pictures, in pixels.
        stride: pixels from cell to cell.
        share: of a box's width and height, for its middle part.
        least: the middle part's least side where ``bounded``, else its greatest.
        bounded: GRIDBOX_MIN: the middle part is no larger than the box.
        weighted: a cell's weight is its area over the middle part's, else at least 1.
        crop: boxes are cut at the picture's edge.
        classes: number of a class in the database -> its map.
    """

    width: int
    height: int
    stride: int
    share: float
    least: float
    bounded: bool
    weighted: bool
    crop: bool
    classes: Mapping[int, int]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""
        return round(self.height / self.stride), round(self.width / self.stride)

    @property
    def maps(self) -> int:
        """The channels of what is learnt."""
        return PARTS + max(self.classes.values()) + 1


_FIELDS = ("stride", "scale_cvg", "gridbox_type", "max_cvg_len", "min_cvg_len", "coverage_type",
           "image_size_x", "image_size_y", "obj_norm", "crop_bboxes", "object_class")  # fmt: skip


def parse_truth(layer: Message) -> GridTruthParams:
    """The fields of ``detectnet_groundtruth_param``.

    Raises:
        NetcError: unsupported-field or out-of-range, at the field.
    """
    p = reject_unknown_fields(layer.get("detectnet_groundtruth_param"), *_FIELDS)
    bounded = one_of(p, "gridbox_type", ("GRIDBOX_MAX", "GRIDBOX_MIN")) == "GRIDBOX_MIN"
    if not 0 < p.get("scale_cvg") < math.inf:
        raise bad_value(p, "scale_cvg", "must be greater than 0")
    stride = number(p, "stride", 1)
    classes = {one.get("src"): one.get("dst") for one in p.get("object_class")}
    return GridTruthParams(
        number(p, "image_size_x", stride),
        number(p, "image_size_y", stride),
        stride,
        p.get("scale_cvg"),
        float(p.get("min_cvg_len") if bounded else p.get("max_cvg_len")),
        bounded,
        p.get("obj_norm"),
        p.get("crop_bboxes"),
        classes or {1: 0},
    )


def covered(params: GridTruthParams, boxes: Sequence[TrueBox]) -> AnyArray:
    """What the cells must learn of a picture's boxes: (maps, rows, columns), float32."""
    rows, columns = params.grid
    made = np.zeros((params.maps, rows, columns), np.float32)
    for box in boxes:
        if params.crop:
            box = _cut(box, params.width, params.height)
        if box.kind in params.classes and box.width * box.height >= _EPSILON:
            _cover(params, box, made)
    return made


def _cut(box: TrueBox, width: int, height: int) -> TrueBox:
    left, top = max(box.x, 0), max(box.y, 0)
    right, bottom = min(box.x + box.width, width), min(box.y + box.height, height)
    if right <= left or bottom <= top:
        return TrueBox(0, 0, 0, 0, box.kind)
    return TrueBox(left, top, right - left, bottom - top, box.kind)


def _middle(params: GridTruthParams, box: TrueBox) -> TrueBox:
    """The part of a box that covers cells."""
    sides = []
    for side in (box.width, box.height):
        shrunk = side * params.share
        at_least = min(side, max(params.least, shrunk))
        sides.append(at_least if params.bounded else min(params.least, shrunk))
    x, y = box.x + box.width / 2, box.y + box.height / 2
    return TrueBox(x - sides[0] / 2, y - sides[1] / 2, sides[0], sides[1], box.kind)


def _cover(params: GridTruthParams, box: TrueBox, made: AnyArray) -> None:
    part, step = _middle(params, box), params.stride
    rows, columns = params.grid
    right, bottom = part.x + part.width, part.y + part.height
    area = part.width * part.height
    weight = step * step / area if area else math.inf
    weight = weight if params.weighted else max(1.0, weight)
    for row in range(max(0, math.floor(part.y / step)), min(rows, math.ceil(bottom / step))):
        high = min(bottom, (row + 1) * step) - max(part.y, row * step)
        for column in range(
            max(0, math.floor(part.x / step)), min(columns, math.ceil(right / step))
        ):
            wide = min(right, (column + 1) * step) - max(part.x, column * step)
            if high > 0 and wide > 0 and high * wide / step**2 > _EPSILON:
                x, y = box.x - column * step, box.y - row * step
                corners = (x, y, x + box.width, y + box.height)
                sizes = (1 / box.width, 1 / box.height, weight)
                made[:PARTS, row, column] = (1, *corners, *sizes)
                made[PARTS:, row, column] = 0
                made[PARTS + params.classes[box.kind], row, column] = 1
