"""Steps between Caffe's order (n, c, h, w) and pixels of channels innermost."""

from __future__ import annotations

import math
from typing import NamedTuple

from netc.backends.cpu import jit
from netc.backends.cpu.kernel_args import TransposeArgs
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.moving import (
    copy_step,
    image_step,
    to_pixels_step,
    to_planes_step,
)
from netc.backends.shared.views import Place, View, dense

_UNIT_FLOATS = 1 << 14  # floats of a unit, about
_MAX_SHORT_SIDE = 512  # rows or columns of a unit at its shorter side; whole squares
_MIN_SQUARE_SIDE = 5  # columns or rows up to which squares would be mostly empty


class MatrixBatch(NamedTuple):
    """Matrices whose rows are contiguous; strides in floats."""

    place: Place
    image: int
    row: int


def transpose_step(
    name: str, images: int, rows: int, columns: int, x: MatrixBatch, y: MatrixBatch
) -> Step:
    """Turn matrices of ``rows`` by ``columns`` in x into ``columns`` by ``rows`` in y."""
    height, width = _block(rows, columns)
    blocks = math.ceil(rows / height) * math.ceil(columns / width)
    args = TransposeArgs(
        input=x.place,
        input_image=4 * x.image,
        input_row=4 * x.row,
        output=y.place,
        output_image=4 * y.image,
        output_row=4 * y.row,
        rows=rows,
        columns=columns,
        block_rows=height,
        block_columns=width,
    )
    return Step(name, jit.spec("transpose", "transpose"), args, images * blocks)


def _block(rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns of a unit: as much as possible of the shorter side."""
    # The shorter side whole, so that what is read or written runs on over many rows.
    short = min(rows, columns, _MAX_SHORT_SIDE)
    long = max(16, _UNIT_FLOATS // short // 16 * 16)
    return (short, long) if rows < columns else (long, short)


def is_planes(view: View) -> bool:
    """True if a value lies in Caffe's order already."""
    return view.ld == view.c and (view.c == 1 or view.h * view.w == 1)


def from_planes(name: str, place: Place, y: View) -> Step:
    """A dense array in Caffe's order as a view."""
    # From the cheapest case: nothing to turn, three channels interleaved, a few channels or
    # pixels, and squares in registers for all others.
    if y.h * y.w == 1 or is_planes(y):
        return copy_step(name, dense(place, y.n, y.h, y.w, y.c), y)
    if y.c == 3 and y.ld == y.c:
        return image_step(name, place, (y.n, y.c, y.h, y.w), y, 0, 0)
    if min(y.c, y.h * y.w) <= _MIN_SQUARE_SIDE:
        return to_pixels_step(name, place, y)
    area = y.h * y.w
    source = MatrixBatch(place, y.c * area, area)
    return transpose_step(name, y.n, y.c, area, source, MatrixBatch(y.place, area * y.ld, y.ld))


def to_planes(name: str, x: View, place: Place) -> Step:
    """A value as a dense array in Caffe's order."""
    if x.h * x.w == 1 or is_planes(x):
        return copy_step(name, x, dense(place, x.n, x.h, x.w, x.c))
    if min(x.c, x.h * x.w) <= _MIN_SQUARE_SIDE:
        return to_planes_step(name, x, place)
    area = x.h * x.w
    target = MatrixBatch(place, x.c * area, area)
    return transpose_step(name, x.n, area, x.c, MatrixBatch(x.place, area * x.ld, x.ld), target)
