"""Convolution of each channel by itself, or of groups of a few, vectorised over channels.

Units are rows of outputs. A vector holds several whole groups: each of a group's channels in turn
is brought to all lanes of its group and multiplied with the weights that those lanes have for it.

Within a row, runs of ``BLOCK`` outputs whose taps all lie inside the input's width share loads of
pixels and weights. Outputs near the sides, whose window is clipped, are done one by one, ``BLOCK``
vectors of channels at a time: at 14x14 they are a seventh of all, and one sum alone waits for each
of its multiply-adds.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir
from numba import njit, types

from netc.backends.cpu.kernels.functions import activation as activation_function
from netc.backends.cpu.kernels.lanes import loader, storer
from netc.backends.cpu.kernels.simd import (
    I32,
    Vector,
    as_float,
    emit_fma,
    emit_load,
    function,
    i64,
    load,
    record,
    splat,
    vector,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Lanes, Record
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.window_args import DEPTHWISE_BLOCK

# Outputs of a row that are summed together: each pixel and each weight is then loaded once for
# several of them, and four independent sums hide the latency of a multiply-add.
#
#   one row of the window, 3 taps, stride 1:      pixels  p0 p1 p2 p3 p4 p5
#   output 0 = w0 p0 + w1 p1 + w2 p2                       |--------|
#   output 1 = w0 p1 + w1 p2 + w2 p3                          |--------|
#   output 2 = w0 p2 + w1 p3 + w2 p4                             |--------|
#   output 3 = w0 p3 + w1 p4 + w2 p5                                |--------|
BLOCK = 4


def depthwise(
    machine: Machine,
    columns: int,
    stride: int,
    dilation: int,
    activation: str,
    residual: bool,
    group: int = 1,
) -> Kernel:
    """The kernel for windows of ``columns`` taps a row, ``stride`` and ``dilation`` in a row.

    ``group`` is the channels of a group, a divisor of the vector's lanes.
    """
    width = machine.width
    sides = _sides(width, activation, residual, group)
    block = _block(width, columns, stride, dilation, activation, residual, group)

    @njit(inline="always")
    def row(a: Record, base: int, y0: int, y1: int, out: int) -> None:
        main = a.channels // width * width
        left, right = unclipped(a, columns, stride, dilation)
        for x in range(left, right, BLOCK):
            place = base + (x * stride - a.pad_x) * a.ld
            for c in range(0, main, width):
                block(a, place + 4 * c, y0, y1, out + x * a.out_step, c)
        sides(a, base, left, right, y0, y1, out)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(DEPTHWISE_BLOCK, args)
        for unit in range(begin, end):
            base, y0, y1, out = window_rows(a, unit)
            row(a, base, y0, y1, out)

    return kernel


@njit(inline="always")
def window_rows(a: Record, unit: int) -> tuple[int, int, int, int]:
    """Of a row of outputs: what its windows see, and where it goes.

    Returns the address of the windows' first row of input, which may lie above the image; which
    rows [y0, y1) of the window lie inside the input, the others add nothing; and the index of the
    first output.
    """
    image, y = unit // a.out_height, unit % a.out_height
    top = y * a.stride_y - a.pad_y
    y0 = max(0, (-top + a.dilation_y - 1) // a.dilation_y)
    y1 = min(a.kernel_y, (a.height - top + a.dilation_y - 1) // a.dilation_y)
    base = a.input + (image * a.height + top) * a.width * a.ld
    return base, y0, y1, image * a.out_image + y * a.out_row


@njit(inline="always")
def unclipped(a: Record, columns: int, stride: int, dilation: int) -> tuple[int, int]:
    """The outputs [left, right) of a row whose windows see no padding at either side.

    Their number is a multiple of BLOCK; those that are left over count as clipped.
    """
    left = min(a.out_width, (a.pad_x + stride - 1) // stride)
    inner = (a.width - 1 - (columns - 1) * dilation + a.pad_x) // stride + 1
    return left, left + max(0, min(inner, a.out_width) - left) // BLOCK * BLOCK


def _sides(width: int, activation: str, residual: bool, group: int) -> Compiled:
    """A function that does a row's outputs outside of [left, right), and channels left over."""
    clipped = _clipped(width, activation, residual, group)
    whole = _single(width, False, activation, residual, group)
    part = _single(width, True, activation, residual, group)

    @njit(inline="always")
    def sides(a: Record, base: int, left: int, right: int, y0: int, y1: int, out: int) -> None:
        main = a.channels // width * width
        together = main // (BLOCK * width) * (BLOCK * width)
        for x in range(a.out_width):
            # Columns [x0, x1) of the window lie inside the input; the others add nothing.
            start = x * a.stride_x - a.pad_x
            x0 = max(0, (a.dilation_x - 1 - start) // a.dilation_x)
            x1 = min(a.kernel_x, (a.width - start + a.dilation_x - 1) // a.dilation_x)
            place, index = base + start * a.ld, out + x * a.out_step
            if (x < left) | (x >= right):
                for c in range(0, together, BLOCK * width):
                    clipped(a, place, x0, x1, y0, y1, index, c)
                for c in range(together, main, width):
                    whole(a, place, x0, x1, y0, y1, index, c, width)
            if main < a.channels:
                part(a, place, x0, x1, y0, y1, index, main, a.channels - main)

    return sides


def _single(width: int, part: bool, activation: str, residual: bool, group: int) -> Compiled:
    """A function that does one output's vector, its window clipped to rows and columns."""
    get, add = loader(width, part), _tap(width, group)
    save = _saver(width, part, activation, residual)

    @njit(inline="always")
    def single(
        a: Record,
        place: int,
        x0: int,
        x1: int,
        y0: int,
        y1: int,
        index: int,
        c: int,
        lanes: int,
    ) -> None:
        total = load(width, a.bias + 4 * c)
        for i in range(y0, y1):
            for j in range(x0, x1):
                source = place + (i * a.dilation_y * a.width + j * a.dilation_x) * a.ld + 4 * c
                weights = a.weights + (i * a.kernel_x + j) * group * a.tap + 4 * c
                total = add(total, get(source, lanes), weights, a.tap)
        save(a, total, index, c, lanes)

    return single


def _clipped(width: int, activation: str, residual: bool, group: int) -> Compiled:
    """The same for ``BLOCK`` whole vectors of channels, whose sums do not wait for each other."""
    add, save = _tap(width, group), _saver(width, False, activation, residual)
    one = 4 * width  # bytes of a vector

    @njit(inline="always")
    def clipped(
        a: Record, place: int, x0: int, x1: int, y0: int, y1: int, index: int, c: int
    ) -> None:
        bias = a.bias + 4 * c
        s0, s1 = load(width, bias), load(width, bias + one)
        s2, s3 = load(width, bias + 2 * one), load(width, bias + 3 * one)
        for i in range(y0, y1):
            for j in range(x0, x1):
                source = place + (i * a.dilation_y * a.width + j * a.dilation_x) * a.ld + 4 * c
                weights = a.weights + (i * a.kernel_x + j) * group * a.tap + 4 * c
                s0 = add(s0, load(width, source), weights, a.tap)
                s1 = add(s1, load(width, source + one), weights + one, a.tap)
                s2 = add(s2, load(width, source + 2 * one), weights + 2 * one, a.tap)
                s3 = add(s3, load(width, source + 3 * one), weights + 3 * one, a.tap)
        save(a, s0, index, c, width)
        save(a, s1, index, c + width, width)
        save(a, s2, index, c + 2 * width, width)
        save(a, s3, index, c + 3 * width, width)

    return clipped


def _tap(width: int, group: int) -> Compiled:
    """A Numba function (sum, pixel, weights, tap) -> sum, over the channels of a tap."""

    def emit(
        b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
    ) -> ir.Value:
        total, pixel, weights, tap = values
        for k in range(group):
            w = emit_load(b, b.add(weights, b.mul(tap, i64(k))), 0, vector(width))
            total = emit_fma(b, _spread(b, pixel, group, k), w, total)
        return total

    return function("tap", 4, lambda total, *rest: total, emit)


def _spread(b: ir.IRBuilder, pixel: ir.Value, group: int, k: int) -> ir.Value:
    """Channel ``k`` of each group in all lanes of the group."""
    if group == 1:
        return pixel
    #   group 4, k 1:  [a0 a1 a2 a3 b0 b1 b2 b3] -> [a1 a1 a1 a1 b1 b1 b1 b1]
    lanes = pixel.type.count
    order = [lane // group * group + k for lane in range(lanes)]
    none = ir.Constant(pixel.type, ir.Undefined)
    return b.shuffle_vector(pixel, none, ir.Constant(ir.VectorType(I32, lanes), order))


def _block(
    width: int,
    columns: int,
    stride: int,
    dilation: int,
    activation: str,
    residual: bool,
    group: int,
) -> Compiled:
    """A function that does the same vector of ``BLOCK`` neighbouring outputs."""
    sweep = _sweep(width, columns, stride, dilation, group)
    save = _saver(width, False, activation, residual)

    @njit(inline="always")
    def block(a: Record, place: int, y0: int, y1: int, index: int, c: int) -> None:
        start = load(width, a.bias + 4 * c)
        sums = (start, start, start, start)
        for i in range(y0, y1):
            source = place + i * a.dilation_y * a.width * a.ld
            weights = a.weights + i * columns * group * a.tap + 4 * c
            sums = sweep(sums, source, a.ld, weights, a.tap)
        save(a, sums[0], index, c, width)
        save(a, sums[1], index + a.out_step, c, width)
        save(a, sums[2], index + 2 * a.out_step, c, width)
        save(a, sums[3], index + 3 * a.out_step, c, width)

    return block


def _sweep(width: int, columns: int, stride: int, dilation: int, group: int) -> Compiled:
    """A Numba function (sums, source, ld, weights, tap) -> sums, over one row of the window."""

    def emit(
        b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
    ) -> ir.Value:
        packed, source, ld, weights, tap = values
        # Each distinct pixel under the block's windows is loaded once.
        positions = {i * stride + j * dilation for i in range(BLOCK) for j in range(columns)}
        pixels = {
            u: emit_load(b, b.add(source, b.mul(ld, i64(u))), 0, vector(width))
            for u in sorted(positions)
        }
        for k in range(group):
            spread = {u: _spread(b, pixel, group, k) for u, pixel in pixels.items()}
            for j in range(columns):
                place = b.add(weights, b.mul(tap, i64(j * group + k)))
                w = emit_load(b, place, 0, vector(width))
                for i in range(BLOCK):
                    total = b.extract_value(packed, i)
                    total = emit_fma(b, spread[i * stride + j * dilation], w, total)
                    packed = b.insert_value(packed, total, i)
        return packed

    sums = types.UniTuple(Vector(width), BLOCK)
    return function("sweep", 5, lambda *rest: sums, emit)


def _saver(width: int, part: bool, activation: str, residual: bool) -> Compiled:
    """A function that adds the residual, activates and stores a vector of an output."""
    get, put = loader(width, part), storer(width, part)
    activate = activation_function(activation)

    @njit(inline="always")
    def save(a: Record, value: Lanes, index: int, c: int, lanes: int) -> None:
        if residual:
            value = value + get(a.residual + index * a.residual_ld + 4 * c, lanes)
        first, second = splat(width, as_float(a.first)), splat(width, as_float(a.second))
        value = activate(value, first, second, load(width, a.slopes + 4 * c))
        put(a.output + index * a.output_ld + 4 * c, value, lanes)

    return save
