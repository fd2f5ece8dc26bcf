"""Pooling over regions of interest, vectorised over channels.

A region's row of bins is floats that are whole numbers: its image; first rows, then last rows + 1
of its ``pooled_y`` bins; then the same of columns. Units are regions.
"""

from __future__ import annotations

from numba import float32, int64, njit

from netc.backends.cpu.kernel_args import RegionArgs
from netc.backends.cpu.kernels.functions import maximum
from netc.backends.cpu.kernels.lanes import loader, storer
from netc.backends.cpu.kernels.simd import float_at, record, set_float, splat
from netc.backends.cpu.kernels.values import Compiled, Kernel, Record
from netc.backends.cpu.machine import Machine

_LOWEST = float32(-3.4028234663852886e38)  # where Caffe's search begins: nan is passed over


def greatest(machine: Machine) -> Kernel:
    """The greatest element of each bin; 0 of an empty one."""
    width = machine.width
    whole, part = _bin(width, False), _bin(width, True)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(RegionArgs, args)
        main = a.channels // width * width
        high, wide = a.pooled_y, a.pooled_x
        for unit in range(begin, end):
            # A region's row: [image][tops: high][bottoms: high][lefts: wide][rights: wide].
            row = a.bins + 4 * unit * (1 + 2 * high + 2 * wide)
            image = a.input + int64(float_at(row, 0)) * a.height * a.width * a.ld
            target = a.output + unit * high * wide * a.output_ld
            for y in range(high):
                top, bottom = int64(float_at(row, 1 + y)), int64(float_at(row, 1 + high + y))
                for x in range(wide):
                    left = int64(float_at(row, 1 + 2 * high + x))
                    right = int64(float_at(row, 1 + 2 * high + wide + x))
                    for c in range(0, main, width):
                        whole(a, image + 4 * c, top, bottom, left, right, target + 4 * c, width)
                    if main < a.channels:
                        rest, at = a.channels - main, 4 * main
                        part(a, image + at, top, bottom, left, right, target + at, rest)
                    target += a.output_ld

    return kernel


def _bin(width: int, part: bool) -> Compiled:
    get, put = loader(width, part), storer(width, part)

    @njit(inline="always")
    def reduce(
        a: Record, image: int, top: int, bottom: int, left: int, right: int, target: int, lanes: int
    ) -> None:
        # An empty bin is 0, as in Caffe; another's maximum begins at -FLT_MAX.
        empty = (bottom <= top) | (right <= left)
        best = splat(width, float32(0.0) if empty else _LOWEST)
        for y in range(top, bottom):
            for x in range(left, right):
                best = maximum(get(image + (y * a.width + x) * a.ld, lanes), best)
        put(target, best, lanes)

    return reduce


def means(machine: Machine) -> Kernel:
    """Means of bins, each of channels of its own: of output d those of d * group * group + bin.

    0 of an empty bin. ``channels`` is of outputs.
    """

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(RegionArgs, args)
        for unit in range(begin, end):
            group = a.pooled_y
            # Bins are square here: [image][tops][bottoms][lefts][rights], ``group`` floats each.
            row = a.bins + 4 * unit * (1 + 4 * group)
            image = a.input + int64(float_at(row, 0)) * a.height * a.width * a.ld
            target = a.output + unit * group * group * a.output_ld
            for y in range(group):
                top, bottom = int64(float_at(row, 1 + y)), int64(float_at(row, 1 + group + y))
                for x in range(group):
                    left = int64(float_at(row, 1 + 2 * group + x))
                    right = int64(float_at(row, 1 + 3 * group + x))
                    area = max(bottom - top, 0) * max(right - left, 0)
                    # Each bin reads channels of its own, group * group apart from output to output.
                    for d in range(a.channels):
                        set_float(target, d, float32(0.0))
                    # Pixels in the order of the definition's sum: the same result to the bit.
                    for i in range(area):
                        at = (top + i // (right - left)) * a.width + left + i % (right - left)
                        for d in range(a.channels):
                            value = float_at(image + at * a.ld, (d * group + y) * group + x)
                            set_float(target, d, float_at(target, d) + value)
                    if area > 0:
                        for d in range(a.channels):
                            set_float(target, d, float_at(target, d) / float32(area))
                    target += a.output_ld

    return kernel
