"""What kernels of detection layers share: sorting by score, and suppressing what overlaps.

Both give exactly what ``netc.ops.detection.boxes`` and NumPy's stable sort give: the same float32
operations in the same order, ties in the order of indices, and what is no number last.
"""

from __future__ import annotations

from llvmlite import ir
from numba import float32, njit, types

from netc.backends.cpu.kernels.functions import greater, maximum, minimum, select
from netc.backends.cpu.kernels.simd import (
    I32,
    I64,
    _int64,
    float_at,
    function,
    int_at,
    load,
    set_float,
    set_int,
    splat,
    store,
)
from netc.backends.cpu.kernels.values import Compiled

INDEX = 0xFFFFFFFF  # the bits of a pair that are an index
DIGITS, BITS = 4, 8  # of a key, and of a digit
BINS = 1 << BITS
COUNTS_BYTES = 8 * DIGITS * BINS
COLUMNS = 5  # of kept boxes: x_min, y_min, x_max, y_max, area

as_double = function(
    "as_double",
    1,
    lambda x: types.float64,
    lambda b, t, v: b.bitcast(v[0], ir.DoubleType()),
)
float_bits = function("float_bits", 1, _int64, lambda b, t, v: b.zext(b.bitcast(v[0], I32), I64))


def _emit_any_beyond(b: ir.IRBuilder, x: ir.Value, limit: ir.Value) -> ir.Value:
    over = b.fcmp_unordered(">", x, limit)
    bits = b.bitcast(over, ir.IntType(over.type.count))
    return b.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))


#: (vector, vector) -> whether any lane of the first is beyond the second's, or no number.
any_beyond = function(
    "any_beyond", 2, lambda x, y: types.boolean, lambda b, t, v: _emit_any_beyond(b, v[0], v[1])
)


@njit(inline="always")
def rank(score: float) -> int:
    """32 bits that are smaller the larger the score is; equal for equal ones, last for nan."""
    bits = float_bits(score + float32(0.0))  # of -0 those of 0
    ascending = bits ^ INDEX if bits >> 31 else bits | 0x80000000
    return INDEX if score != score else ascending ^ INDEX


@njit(inline="always")
def sort_pairs(pairs: int, other: int, counts: int, number: int) -> int:
    """Sort int64 by their upper 32 bits, equal ones in the order they have; where they then are.

    Least digit first (radix sort): each pass moves all from ``pairs`` to ``other``, or back.
    """
    for i in range(DIGITS * BINS):
        set_int(counts, i, 0)
    for i in range(number):
        key = int_at(pairs, i) >> 32
        for digit in range(DIGITS):
            at = digit * BINS + ((key >> (BITS * digit)) & (BINS - 1))
            set_int(counts, at, int_at(counts, at) + 1)
    for digit in range(DIGITS):
        shift, bins = 32 + BITS * digit, counts + 8 * BINS * digit
        first = (int_at(pairs, 0) >> shift) & (BINS - 1)
        if int_at(bins, first) < number:  # else all have the same digit
            total = 0
            for k in range(BINS):
                some = int_at(bins, k)
                set_int(bins, k, total)
                total += some
            for i in range(number):
                pair = int_at(pairs, i)
                k = (pair >> shift) & (BINS - 1)
                place = int_at(bins, k)
                set_int(bins, k, place + 1)
                set_int(other, place, pair)
            pairs, other = other, pairs
    return pairs


# A thread's scratch memory while it chooses among at most ``capacity`` boxes:
#
#   [pairs: capacity int64][pairs, after every other pass: capacity int64][counts of digits: int64]
#   [kept boxes: x_min ... | y_min ... | x_max ... | y_max ... | area ...]   COLUMNS x room floats
#
# A pair is [rank of the score: upper 32 bits][index of the box: lower 32 bits]. Kept boxes lie in
# columns so that a new one is compared with a whole vector of them at a time.
def selection(width: int, border: int) -> Compiled:
    """A function that keeps the best of the boxes whose pairs lie in scratch memory.

    (boxes, bytes from box to box, scratch, capacity, found pairs, most that are looked at, most
    that are kept, room, threshold, eta, kept): ``kept`` gets [count][indices], as int64.
    """
    suppress = suppression(width, border)

    @njit(inline="always")
    def select(
        boxes: int,
        step: int,
        scratch: int,
        capacity: int,
        found: int,
        looked_at: int,
        max_kept: int,
        room: int,
        threshold: float,
        eta: float,
        kept: int,
    ) -> None:
        counts = scratch + 16 * capacity
        # The best first; then from the best on, what overlaps none that is kept.
        order = sort_pairs(scratch, scratch + 8 * capacity, counts, found)
        columns, number = counts + COUNTS_BYTES, min(found, looked_at)
        count = suppress(
            boxes, step, order, number, max_kept, threshold, eta, kept + 8, columns, room
        )
        set_int(kept, 0, count)

    return select


def suppression(width: int, border: int) -> Compiled:
    """A function that keeps boxes which overlap no better one by more than a threshold.

    (boxes, bytes from box to box, order, number, max_kept, threshold, eta, kept, columns, room)
    -> how many were kept. ``order`` has indices in the lower halves of int64, the best first;
    ``kept`` gets indices; ``columns`` is 5 arrays of ``room`` floats, a multiple of the width.
    """
    edge = float32(border)
    beyond, clear = _beyond(width, border), _clearing(width)

    @njit(inline="always")
    def suppress(
        boxes: int,
        step: int,
        order: int,
        number: int,
        max_kept: int,
        threshold: float,
        eta: float,
        kept: int,
        columns: int,
        room: int,
    ) -> int:
        count = 0
        for i in range(number):
            if count >= max_kept:
                break
            index = int_at(order, i) & INDEX
            at = boxes + index * step
            left, top = float_at(at, 0), float_at(at, 1)
            right, bottom = float_at(at, 2), float_at(at, 3)
            area = _area(right - left, bottom - top, edge)
            # A box that has no place overlaps nothing.
            whole = (left == left) & (top == top) & (right == right) & (bottom == bottom)
            free = float32(0.0) <= float32(threshold)
            if whole & free:
                free = not beyond(
                    left, top, right, bottom, area, columns, 4 * room, count, float32(threshold)
                )
            if free:
                set_int(kept, count, index)
                clear(columns, room, count)
                if whole:
                    set_float(columns, count, left)
                    set_float(columns, room + count, top)
                    set_float(columns, 2 * room + count, right)
                    set_float(columns, 3 * room + count, bottom)
                    set_float(columns, 4 * room + count, area)
                count += 1
                if (eta < 1.0) & (threshold > 0.5):
                    threshold *= eta
        return count

    return suppress


@njit(inline="always")
def _area(wide: float, high: float, edge: float) -> float:
    """0 of a box that is turned inside out."""
    if (wide < float32(0.0)) | (high < float32(0.0)):
        return float32(0.0)
    return (wide + edge) * (high + edge)


def _clearing(width: int) -> Compiled:
    """(columns, room, count): places of a vector's boxes that overlap nothing, where one begins."""

    @njit(inline="always")
    def clear(columns: int, room: int, count: int) -> None:
        if count % width == 0:
            for k in range(COLUMNS):
                far = float32(float("-inf")) if k >= 2 else float32(float("inf"))
                store(columns + 4 * (k * room + count), splat(width, far))

    return clear


def _beyond(width: int, border: int) -> Compiled:
    """Whether a box overlaps any of ``count`` kept ones by more than a limit; ``step`` in bytes."""
    edge = float32(border)

    @njit(inline="always")
    def beyond(
        left: float,
        top: float,
        right: float,
        bottom: float,
        area: float,
        columns: int,
        step: int,
        count: int,
        limit: float,
    ) -> bool:
        nothing = splat(width, float32(0.0))
        more, limits = splat(width, edge), splat(width, limit)
        x0, y0 = splat(width, left), splat(width, top)
        x1, y1, own = splat(width, right), splat(width, bottom), splat(width, area)
        for k in range(0, count, width):
            at = columns + 4 * k
            wide = minimum(load(width, at + 2 * step), x1) - maximum(load(width, at), x0) + more
            high = minimum(load(width, at + 3 * step), y1)
            high = high - maximum(load(width, at + step), y0) + more
            common = maximum(wide, nothing) * maximum(high, nothing)
            union = load(width, at + 4 * step) + own - common
            share = select(greater(common, nothing), common / union, nothing)
            if any_beyond(share, limits):
                return True
        return False

    return beyond


@njit(inline="always")
def zero_rows(output: int, step: int, columns: int, first: int, last: int) -> None:
    """Fill rows ``first`` to ``last`` of so many floats with zeros."""
    for row in range(first, last):
        for k in range(columns):
            set_float(output + row * step, k, float32(0.0))
