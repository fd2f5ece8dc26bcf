"""Other heights and widths, vectorised over channels: bilinear, and back to where a mask says."""

from __future__ import annotations

from numba import float32, int64, njit

from netc.backends.cpu.kernel_args import ResizeArgs, UnpoolArgs
from netc.backends.cpu.kernels.lanes import loader, over_channels, storer
from netc.backends.cpu.kernels.simd import (
    float_at,
    fma,
    int_at,
    record,
    set_float,
    splat,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Record
from netc.backends.cpu.machine import Machine

# The rows above and below, the bytes of the columns left and right in them, the shares of the right
# and of the lower ones, and where the result goes.
Neighbours = tuple[int, int, int, int, float, float, int]


def bilinear(machine: Machine) -> Kernel:
    """Each element between four neighbours, along the row first; units are rows of outputs."""
    blend = over_channels(machine.width, _between)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(ResizeArgs, args)
        for unit in range(begin, end):
            image, y = unit // a.out_height, unit % a.out_height
            # The builder has worked out each output's lower neighbour and the share of the upper
            # one, which is the last element where it would lie beyond.
            row = int_at(a.rows, y)
            share = float_at(a.row_shares, y)
            start = a.input + image * a.height * a.width * a.ld
            low = start + row * a.width * a.ld
            high = start + min(row + 1, a.bottom) * a.width * a.ld
            target = a.output + unit * a.out_width * a.output_ld
            for x in range(a.out_width):
                column = int_at(a.columns, x)
                left, right = column * a.ld, min(column + 1, a.right) * a.ld
                across = float_at(a.column_shares, x)
                blend(a, (low, high, left, right, across, share, target))
                target += a.output_ld

    return kernel


def _between(width: int, part: bool) -> Compiled:
    get, put = loader(width, part), storer(width, part)

    @njit(inline="always")
    def vector(a: Record, where: Neighbours, c: int, lanes: int) -> None:
        low, high, left, right, across, down, target = where
        low, high = low + 4 * c, high + 4 * c
        one = float32(1.0)
        x, rest = splat(width, across), splat(width, one - across)
        # Along both rows first, then between them.
        upper = fma(x, get(low + right, lanes), rest * get(low + left, lanes))
        lower = fma(x, get(high + right, lanes), rest * get(high + left, lanes))
        put(target + 4 * c, fma(splat(width, down), lower, splat(width, one - down) * upper), lanes)

    return vector


def unpool(machine: Machine) -> Kernel:
    """Elements at the places of their planes that a mask names, zeros elsewhere.

    Of equal places the last element stays; places that are not in the plane are passed over.
    Units are vectors of channels of an image.
    """
    width = machine.width
    clear = storer(width, False)
    clear_part = storer(width, True)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(UnpoolArgs, args)
        vectors = (a.channels + width - 1) // width
        zero = splat(width, float32(0.0))
        for unit in range(begin, end):
            image, c = unit // vectors, unit % vectors * width
            lanes = min(width, a.channels - c)
            output = a.output + image * a.places * a.output_ld + 4 * c
            # Clear the planes of this vector of channels, then scatter its elements by the mask.
            for place in range(a.places):
                if lanes == width:
                    clear(output + place * a.output_ld, zero, width)
                else:
                    clear_part(output + place * a.output_ld, zero, lanes)
            for pixel in range(image * a.pixels, (image + 1) * a.pixels):
                source, mask = a.input + pixel * a.ld + 4 * c, a.mask + pixel * a.mask_ld + 4 * c
                # One by one: a mask may name any place, and the last element of equal places stays.
                for lane in range(lanes):
                    place = int64(float_at(mask, lane))
                    if 0 <= place < a.places:
                        set_float(output + place * a.output_ld, lane, float_at(source, lane))

    return kernel
