"""Data that only changes place: copies, permutations, and the layouts at a net's edges."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir
from numba import float32, njit, types

from netc.backends.cpu.kernel_args import FillArgs, ImageArgs, MoveArgs
from netc.backends.cpu.kernels.simd import (
    I32,
    emit_load,
    emit_store,
    float_at,
    function,
    load,
    record,
    set_float,
    splat,
    store,
    store_masked,
    vector,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Record
from netc.backends.cpu.machine import Machine


def move(machine: Machine, contiguous: bool) -> Kernel:
    """Copy four nested axes; units are pairs of indices of the first two."""
    width = machine.width

    @njit(inline="always")
    def row(a: Record, source: int, target: int) -> None:
        if contiguous:
            # The innermost axis runs on in both: vectors, then single floats.
            main = a.count3 // width * width
            for i in range(0, main, width):
                store(target + 4 * i, load(width, source + 4 * i))
            for i in range(main, a.count3):
                set_float(target, i, float_at(source, i))
        else:
            for i in range(a.count3):
                set_float(target + i * a.to3, 0, float_at(source + i * a.from3, 0))

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(MoveArgs, args)
        for unit in range(begin, end):
            i, j = unit // a.count1, unit % a.count1
            source = a.input + i * a.from0 + j * a.from1
            target = a.output + i * a.to0 + j * a.to1
            for k in range(a.count2):
                row(a, source + k * a.from2, target + k * a.to2)

    return kernel


def fill(machine: Machine) -> Kernel:
    """Set rows of floats to one value; units are rows."""
    width = machine.width

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(FillArgs, args)
        value = splat(width, float_at(args, 2 * FILL_VALUE))
        for unit in range(begin, end):
            place = a.output + unit * a.stride
            # Masked stores: the row's end may lie before another value.
            for i in range(0, a.count, width):
                store_masked(place + 4 * i, value, a.count - i)

    return kernel


FILL_VALUE = FillArgs._fields.index("value")


@njit(inline="always")
def _pixels(a: Record, source: int, target: int, start: int) -> None:
    for x in range(start, a.width):
        for c in range(a.channels):
            set_float(target, x * a.channels + c, float_at(source + c * a.plane, x))


@njit(inline="always")
def _zeros(target: int, count: int) -> None:
    for i in range(count):
        set_float(target, i, float32(0.0))


def image_to_pixels(machine: Machine, channels: int) -> Kernel:
    """Planes to dense pixels with zeros around them; units are rows of the padded output.

    ``channels``: 3 for images of three, interleaved by shuffles; 0 for any number.
    """
    width = machine.width
    interleave = _interleave3(width)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(ImageArgs, args)
        for unit in range(begin, end):
            image, row = unit // a.out_height, unit % a.out_height
            y = row - a.pad_y
            target = a.output + 4 * unit * a.out_width * a.channels
            # Rows of padding above and below.
            if (y < 0) | (y >= a.height):
                _zeros(target, a.out_width * a.channels)
            else:
                source = a.input + image * a.channels * a.plane + 4 * y * a.width
                # A row: padding at the left, pixels, padding at the right.
                _zeros(target, a.pad_x * a.channels)
                inner = target + 4 * a.pad_x * a.channels
                start = 0
                if channels == 3:
                    start = a.width // width * width
                    for x in range(0, start, width):
                        interleave(source + 4 * x, a.plane, inner + 12 * x)
                _pixels(a, source, inner, start)
                rest = a.out_width - a.pad_x - a.width
                _zeros(inner + 4 * a.width * a.channels, rest * a.channels)

    return kernel


def _interleave3(width: int) -> Compiled:
    """A Numba function (source, bytes between planes, target): ``width`` pixels of 3 floats."""

    def emit(b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]) -> None:
        source, plane, target = values
        # r0 r1 r2 ..   g0 g1 g2 ..   b0 b1 b2 ..   ->   r0 g0 b0 r1 g1 b1 ..   in three vectors
        red = emit_load(b, source, 0, vector(width))
        green = emit_load(b, b.add(source, plane), 0, vector(width))
        blue = emit_load(b, b.add(source, b.add(plane, plane)), 0, vector(width))
        pair = _shuffle(b, red, green, list(range(2 * width)))
        rest = _shuffle(b, blue, blue, list(range(width)) * 2)
        # Lane i of the output is channel i % 3 of pixel i // 3, in the three vectors side by side.
        order = [i // 3 + width * (i % 3) for i in range(3 * width)]
        for k in range(3):
            emit_store(
                b,
                _shuffle(b, pair, rest, order[k * width : (k + 1) * width]),
                target,
                4 * width * k,
            )

    return function("interleave", 3, lambda *rest: types.none, emit)


def _shuffle(b: ir.IRBuilder, x: ir.Value, y: ir.Value, order: list[int]) -> ir.Value:
    return b.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(order)), order))
