"""Detection outputs of YOLOv2 and YOLOv3: boxes of maps, sorted and thinned out, as rows.

What ``yolo`` and ``region_output`` of netc.ops.detection say in NumPy, in their order and with
their float32 operations. A box that is sure enough is a row of class, score, centre and size; the
int64 at ``count`` is how many there are so far.
"""

from __future__ import annotations

from numba import float32, float64, njit

from netc.backends.cpu.box_args import YoloArgs, YoloRowsArgs
from netc.backends.cpu.kernels.boxes import INDEX, rank, sort_pairs, zero_rows
from netc.backends.cpu.kernels.functions import emit_max, exp, maximum, sigmoid
from netc.backends.cpu.kernels.lanes import folded
from netc.backends.cpu.kernels.simd import (
    as_float,
    float_at,
    int_at,
    load,
    load_rest,
    record,
    set_float,
    set_int,
    splat,
    store,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Record
from netc.backends.cpu.machine import Machine

_LOWEST = float32(float("-inf"))
_BOX, _ROW = 6, 7  # floats of a box, and of a row of the output
_SCORES = 64  # where scores begin in the scratch memory, in bytes


def level(machine: Machine, each: bool) -> Kernel:
    """The boxes of one map, behind those of the maps before. One unit.

    ``each``: every class above the limit gives a box; else the most probable one alone.
    """
    width = machine.width
    choose = _all_classes(width) if each else _best_class(width)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(YoloArgs, args)
        found = int_at(a.counter, 0) if a.follows else 0
        for cell in range(a.images * a.rows * a.columns):
            for k in range(a.anchors):
                own = a.input + cell * a.ld + 4 * k * (5 + a.classes)
                store(scratch, sigmoid(load(4, own)))
                store(scratch + 16, exp(load(4, own)))
                store(scratch + 32, sigmoid(splat(4, float_at(own, 4))))
                found = choose(a, own + 20, cell, k, found, scratch)
        set_int(a.counter, 0, found)

    return kernel


@njit(inline="always")
def _append(
    a: Record, cell: int, anchor: int, found: int, label: int, score: float, scratch: int
) -> int:
    """Write a box; how many there are then. Centres are worked out in double, as NumPy does."""
    target = a.boxes + 4 * _BOX * found
    x = float64(float_at(scratch, 0)) + cell % a.columns
    y = float64(float_at(scratch, 1)) + cell // a.columns % a.rows
    wide = float_at(scratch + 16, 2) * float_at(a.sizes, 2 * anchor)
    high = float_at(scratch + 16, 3) * float_at(a.sizes, 2 * anchor + 1)
    set_float(target, 0, float32(label))
    set_float(target, 1, score)
    set_float(target, 2, float32(x / float64(a.columns)))
    set_float(target, 3, float32(y / float64(a.rows)))
    set_float(target, 4, wide / as_float(a.wide))
    set_float(target, 5, high / as_float(a.high))
    return found + 1


def _all_classes(width: int) -> Compiled:
    """A function (args, classes, cell, anchor, found, scratch) -> how many boxes there are."""

    @njit(inline="always")
    def choose(a: Record, classes: int, cell: int, anchor: int, found: int, scratch: int) -> int:
        sure = splat(width, float_at(scratch + 32, 0))
        lowest = splat(width, _LOWEST)
        for c in range(0, a.classes, width):
            given = load_rest(classes + 4 * c, a.classes - c, lowest)
            store(scratch + _SCORES, sigmoid(given) * sure)
            for i in range(min(width, a.classes - c)):
                score = float_at(scratch + _SCORES, i)
                if score > as_float(a.least):
                    found = _append(a, cell, anchor, found, c + i, score, scratch)
        return found

    return choose


def _best_class(width: int) -> Compiled:
    """The same of a softmax, whose greatest alone counts; of equal classes the first."""
    largest, total = folded(emit_max), folded(lambda b, x, y: b.fadd(x, y))

    @njit(inline="always")
    def choose(a: Record, classes: int, cell: int, anchor: int, found: int, scratch: int) -> int:
        best = splat(width, _LOWEST)
        for c in range(0, a.classes, width):
            best = maximum(load_rest(classes + 4 * c, a.classes - c, splat(width, _LOWEST)), best)
        top = largest(best)
        sums = splat(width, float32(0.0))
        for c in range(0, a.classes, width):
            given = load_rest(classes + 4 * c, a.classes - c, splat(width, _LOWEST))
            sums = sums + exp(given - splat(width, top))
        score = float32(1.0) / total(sums) * float_at(scratch + 32, 0)
        if score >= as_float(a.least):
            label = 0
            while (label + 1 < a.classes) & (float_at(classes, label) != top):
                label += 1
            found = _append(a, cell, anchor, found, label, score, scratch)
        return found

    return choose


@njit(inline="always")
def _greater(x: float, y: float) -> float:
    """NumPy's ``maximum``, which keeps what is no number."""
    return y if (y > x) | (y != y) else x


@njit(inline="always")
def _lesser(x: float, y: float) -> float:
    return y if (y < x) | (y != y) else x


@njit(inline="always")
def _overlap(box: int, other: int) -> float:
    """Intersection over union of two boxes, by centre and size."""
    half = float32(0.5)
    common, own, its = float32(1.0), float32(1.0), float32(1.0)
    apart = 0
    for axis in range(2, 4):
        x, y = float_at(box, axis), float_at(other, axis)
        wide, high = float_at(box, axis + 2), float_at(other, axis + 2)
        side = _lesser(x + wide * half, y + high * half) - _greater(
            x - wide * half, y - high * half
        )
        if side < float32(0.0):
            apart = 1
        common = common * side
        own, its = own * wide, its * high
    if apart:
        common = float32(0.0)
    return common / (own + its - common)


def thinned(machine: Machine, by_score: bool, corners: bool) -> Kernel:
    """Rows of the boxes that overlap no earlier one that stays by the limit or more. One unit.

    ``by_score``: the best comes first, else boxes stay in order. ``corners``: rows have the boxes'
    corners and count classes from 1; else centre and size, and classes from 0.
    """

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(YoloRowsArgs, args)
        number = int_at(a.counter, 0)
        order = _ordered(a, number, by_score, scratch)
        kept = 0
        for i in range(number):
            index = int_at(order, i) & INDEX
            box = a.boxes + 4 * _BOX * index
            if _is_free(a, box, order, kept):
                set_int(order, kept, index)  # over one that has been looked at
                _write(a.output + 4 * _ROW * kept, box, corners)
                kept += 1
        if kept == 0:
            kept = _rows_of_nothing(a)
        if a.fill:
            zero_rows(a.output, 4 * _ROW, _ROW, kept, a.most)
        set_int(a.status, 0, kept)

    return kernel


@njit(inline="always")
def _ordered(a: Record, number: int, by_score: bool, scratch: int) -> int:
    """Where the boxes' indices lie, as lower halves of int64."""
    for i in range(number):
        score = float_at(a.boxes + 4 * _BOX * i, 1)
        set_int(a.pairs, i, (rank(score) << 32) | i if by_score else i)
    return sort_pairs(a.pairs, a.pairs + 8 * a.most, scratch, number) if by_score else a.pairs


@njit(inline="always")
def _is_free(a: Record, box: int, order: int, kept: int) -> bool:
    """True if a box overlaps none of those that were kept by the limit or more."""
    for k in range(kept):
        if _overlap(a.boxes + 4 * _BOX * int_at(order, k), box) >= as_float(a.limit):
            return False
    return True


@njit(inline="always")
def _rows_of_nothing(a: Record) -> int:
    for image in range(a.nothing):
        for i in range(1, _ROW):
            set_float(a.output + 4 * _ROW * image, i, float32(-1.0))
        set_float(a.output + 4 * _ROW * image, 0, float32(image))
    return a.nothing


@njit(inline="always")
def _write(target: int, box: int, corners: bool) -> None:
    """A row of image 0, class, score and box."""
    set_float(target, 0, float32(0.0))
    set_float(target, 1, float_at(box, 0) + float32(1.0) if corners else float_at(box, 0))
    set_float(target, 2, float_at(box, 1))
    for axis in range(2):
        x, side = float_at(box, 2 + axis), float_at(box, 4 + axis)
        half = side * float32(0.5)
        set_float(target, 3 + axis, x - half if corners else x)
        set_float(target, 5 + axis, x + half if corners else side)
