"""Gradients of pooling, vectorised over channels. Units of work are rows of the bottom's pixels.

Each element of the bottom adds up what the windows that see it give it, so that no two threads
write to one place and the order of the sums is that of the windows.
"""

from __future__ import annotations

from numba import float32, njit

from netc.backends.cpu.kernels.functions import equal, select
from netc.backends.cpu.kernels.lanes import loader, over_channels, storer
from netc.backends.cpu.kernels.simd import float_at, fma, record, splat
from netc.backends.cpu.kernels.values import Compiled, Kernel, Record
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.window_args import POOL_BLOCK

# Where an element is given to: its image's first window; the rows and columns of the windows that
# saw it, the first and behind the last; its index in its plane; and its address.
Givers = tuple[int, int, int, int, int, int, int]


def max_pool_back(machine: Machine) -> Kernel:
    """Each window gives all it gets to the one element that the mask names."""
    return _pool_back(machine.width, _by_mask)


def average_pool_back(machine: Machine) -> Kernel:
    """Each window gives its share to all elements."""
    return _pool_back(machine.width, _by_share)


def _pool_back(width: int, giver: Compiled) -> Kernel:
    give = over_channels(width, giver)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(POOL_BLOCK, args)
        for unit in range(begin, end):
            image, y = unit // a.height, unit % a.height
            # Windows whose rows, from row * stride - pad on, go over y.
            y0 = max(0, (y + a.pad_y - a.kernel_y) // a.stride_y + 1)
            y1 = min(a.out_height, (y + a.pad_y) // a.stride_y + 1)
            # Gather, not scatter: the bottom's element looks for the windows that saw it.
            base = image * a.out_height * a.out_width
            for x in range(a.width):
                x0 = max(0, (x + a.pad_x - a.kernel_x) // a.stride_x + 1)
                x1 = min(a.out_width, (x + a.pad_x) // a.stride_x + 1)
                place = y * a.width + x
                target = a.output + (unit * a.width + x) * a.output_ld
                give(a, (base, y0, y1, x0, x1, place, target))

    return kernel


def _by_mask(width: int, part: bool) -> Compiled:
    load, store = loader(width, part), storer(width, part)

    @njit(inline="always")
    def give(a: Record, where: Givers, c: int, lanes: int) -> None:
        base, y0, y1, x0, x1, place, target = where
        zero, here = splat(width, float32(0.0)), splat(width, float32(place))
        total = zero
        for y in range(y0, y1):
            for x in range(x0, x1):
                pixel = base + y * a.out_width + x
                # The window gives its gradient to the element whose index its mask holds.
                chosen = load(a.mask + pixel * a.mask_ld + 4 * c, lanes)
                given = load(a.input + pixel * a.ld + 4 * c, lanes)
                total = total + select(equal(chosen, here), given, zero)
        store(target + 4 * c, total, lanes)

    return give


def _by_share(width: int, part: bool) -> Compiled:
    load, store = loader(width, part), storer(width, part)

    @njit(inline="always")
    def give(a: Record, where: Givers, c: int, lanes: int) -> None:
        base, y0, y1, x0, x1, _, target = where
        total = splat(width, float32(0.0))
        for y in range(y0, y1):
            for x in range(x0, x1):
                window = y * a.out_width + x
                share = splat(width, float_at(a.shares, window))
                given = load(a.input + (base + window) * a.ld + 4 * c, lanes)
                total = fma(given, share, total)
        store(target + 4 * c, total, lanes)

    return give
