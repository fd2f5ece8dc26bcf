"""Where the bins of regions lie: as netc.ops.detection.regions says.

A region's row of the table is floats that are whole numbers, as kernels.regions reads them:
[image][first rows][last rows + 1][first columns][last columns + 1].
"""

from __future__ import annotations

from numba import float32, float64, int64, njit

from netc.backends.cpu.box_args import BinArgs
from netc.backends.cpu.kernels.boxes import float_bits
from netc.backends.cpu.kernels.simd import as_float, float_at, record, set_float, set_int
from netc.backends.cpu.kernels.values import Compiled, Kernel
from netc.backends.cpu.machine import Machine

_WHOLE = float32(1 << 23)  # from here on every float32 is a whole number
_FAR = float32(1 << 31)


@njit(inline="always")
def _floor(x: float) -> float:
    """The next whole number below; what is no number stays."""
    if (x < _WHOLE) & (x > -_WHOLE):
        whole = float32(int64(x))
        return whole - float32(1.0) if whole > x else whole
    return x


@njit(inline="always")
def _rounded(x: float) -> float:
    """To the nearest whole number, a half away from 0."""
    size = _floor((x if x >= float32(0.0) else -x) + float32(0.5))
    return size if x >= float32(0.0) else -size


@njit(inline="always")
def _within(edge: float, limit: float) -> float:
    """An edge brought into 0 to the limit; 0 where it is no number."""
    if edge > 0:
        return limit if edge > limit else edge
    return limit - limit  # 0 of its own type


@njit(inline="always")
def _not_below(x: float, minimum: float) -> float:
    return minimum if x < minimum else x


def _put(whole_start: bool) -> Compiled:
    """(target, first place, bins, start, size, limit): first and last + 1 of each bin."""

    @njit(inline="always")
    def put(target: int, place: int, number: int, start: float, size: float, limit: int) -> None:
        # Bin k of ``number`` goes from k * width to (k + 1) * width, outwards to whole elements.
        width = size / float32(number)
        own = float32(0.0) if whole_start else start
        for k in range(number):
            first = _floor(float32(k) * width + own)
            last = -_floor(-(float32(k + 1) * width + own))
            if whole_start:
                # Rounded before the region's start is added.
                first = float32(
                    _within(float64(_within(first, _FAR)) + float64(start), float64(limit))
                )
                last = float32(
                    _within(float64(_within(last, _FAR)) + float64(start), float64(limit))
                )
            set_float(target, place + k, _within(first, float32(limit)))
            set_float(target, place + number + k, _within(last, float32(limit)))

    return put


def bins(machine: Machine, kind: str) -> Kernel:
    """A table of bins, of ROIPooling ("roi") or PSROIPooling ("psroi"). One unit.

    A region of an image that is not in the batch is told, and has no bins.
    """
    put = _put(kind == "roi")
    corners = _roi if kind == "roi" else _psroi

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(BinArgs, args)
        wrong = 0
        for unit in range(a.rows):
            row = a.regions + unit * a.ld
            image = float_at(row, 0)
            # The number is cut off as C++ does: -0.5 is image 0, and what is no number is none.
            known = (image > float32(-1.0)) & (image < float32(a.images))
            if (not known) & (wrong == 0):
                wrong = -1 - float_bits(image)
            # A row of the table:   [image][tops][bottoms][lefts][rights]   as floats
            target = a.table + 4 * unit * (1 + 2 * a.pooled_y + 2 * a.pooled_x)
            x, y, wide, high = corners(row, as_float(a.scale), as_float(a.pad))
            set_float(target, 0, float32(int64(image)) if known else float32(0.0))
            put(target, 1, a.pooled_y, y, high, a.height if known else 0)
            put(target, 1 + 2 * a.pooled_y, a.pooled_x, x, wide, a.width if known else 0)
        set_int(a.status, 0, wrong)

    return kernel


@njit(inline="always")
def _roi(row: int, scale: float, ratio: float) -> tuple[float, float, float, float]:
    """Where a region starts and its size, in whole elements."""
    left, top, right, bottom = (
        float_at(row, 1),
        float_at(row, 2),
        float_at(row, 3),
        float_at(row, 4),
    )
    # Context around the region (pad_ratio): so much of its size more on every side.
    if ratio != float32(0.0):
        across = (right - left + float32(1.0)) * ratio
        down = (bottom - top + float32(1.0)) * ratio
        left, top, right, bottom = left - across, top - down, right + across, bottom + down
    # Corners are rounded, and both ends count: at least one element.
    x, y = _rounded(left * scale), _rounded(top * scale)
    wide = _not_below(_rounded(right * scale) - x + float32(1.0), float32(1.0))
    high = _not_below(_rounded(bottom * scale) - y + float32(1.0), float32(1.0))
    return x, y, wide, high


@njit(inline="always")
def _psroi(row: int, scale: float, ratio: float) -> tuple[float, float, float, float]:
    """Where a region starts and its size, in parts of elements."""
    x, y = _rounded(float_at(row, 1)) * scale, _rounded(float_at(row, 2)) * scale
    # R-FCN rounds in the image's pixels, and scales afterwards: parts of elements stay.
    right = (_rounded(float_at(row, 3)) + float32(1.0)) * scale
    bottom = (_rounded(float_at(row, 4)) + float32(1.0)) * scale
    wide = _not_below(right - x, float32(0.1))
    high = _not_below(bottom - y, float32(0.1))
    return x, y, wide, high
