"""Inner products: rows of weights, as Caffe stores them, with rows of inputs.

A tile is ``images`` by ``rows`` sums, each a vector along the inputs that is added up at the end.
Weights are read once, in several streams, and never rearranged. Units are groups of rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir
from numba import njit, types

from netc.backends.cpu.kernels.functions import activation as activation_function
from netc.backends.cpu.kernels.lanes import emit_fold
from netc.backends.cpu.kernels.simd import (
    I32,
    I64,
    Vector,
    as_float,
    emit_fma,
    emit_load,
    emit_load_part,
    emit_prefetch,
    emit_store,
    function,
    i64,
    load,
    pointer,
    record,
    same,
    set_int,
    splat,
    store_part,
    vector,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel, Record
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.product_args import LinearArgs

# A tile of 2 images x 3 rows of weights (outputs), walking along the inputs k by vectors:
#
#               row 0  row 1  row 2      each weight row is one stream of memory
#   image 0     [..]   [..]   [..]       [..]: a vector of partial sums, k mod width
#   image 1     [..]   [..]   [..]       whose lanes are added up when k is at its end
HALF = ir.HalfType()
_PREFETCH_BYTES = 512  # bytes of each row that are asked for before they are needed


@njit(inline="always")
def _locate(addresses: int, base: int, ld: int, first: int, total: int, count: int) -> None:
    """Write the addresses of ``count`` rows from ``first`` on, the last one's again beyond it."""
    for i in range(count):
        set_int(addresses, i, base + min(first + i, total - 1) * ld)


def linear(machine: Machine, images: int, rows: int, activation: str, half: bool) -> Kernel:
    """The kernel for tiles of ``images`` by ``rows``; ``half``: weights are float16."""
    width = machine.width
    halves = _halves if _converts_halves(machine) else _halves_by_parts
    read = halves if half else _floats
    item = 2 if half else 4
    whole, part = (_multiply(width, images, rows, read, item, p) for p in (False, True))
    zeros, finish = _zeros(width, images, rows), _finish(width, images, rows)
    activate = activation_function(activation)

    @njit(inline="always")
    def save(a: Record, image: int, first: int, sums: int) -> None:
        low, high = splat(width, as_float(a.first)), splat(width, as_float(a.second))
        for r in range(0, rows, width):
            value = load(width, sums + 4 * r) + load(width, a.bias + 4 * (first + r))
            value = activate(value, low, high, load(width, a.slopes + 4 * (first + r)))
            count = min(rows, a.outputs - first) - r
            store_part(a.output + image * a.output_ld + 4 * (first + r), value, count)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(LinearArgs, args)
        main = a.inputs // width * width
        # Scratch: [images' addresses][rows' addresses][results: images x (rows + width)].
        addresses, results = scratch, scratch + 8 * (images + rows)
        for unit in range(begin, end):
            first = unit * rows
            _locate(addresses + 8 * images, a.weights, a.weights_ld, first, a.outputs, rows)
            # Later groups of images find the unit's rows of weights in the cache.
            for start in range(0, a.images, images):
                _locate(addresses, a.input, a.input_ld, start, a.images, images)
                sums = zeros()
                # The sum over K, and what is left of it with masked loads.
                for k in range(0, main, width):
                    sums = whole(sums, addresses, k, width)
                if main < a.inputs:
                    sums = part(sums, addresses, main, a.inputs - main)
                finish(sums, results)
                for i in range(min(images, a.images - start)):
                    save(a, start + i, first, results + 4 * i * (rows + width))

    return kernel


def _converts_halves(machine: Machine) -> bool:
    """True if the machine converts float16 in hardware: AVX-512, NEON, and AVX2 with F16C."""
    return machine.isa != "plain" and "-f16c" not in machine.features.split(",")


def _tuple(width: int, count: int) -> types.Type:
    return types.UniTuple(Vector(width), count)


def _zeros(width: int, images: int, rows: int) -> Compiled:
    kind = ir.ArrayType(vector(width), images * rows)
    sums = _tuple(width, images * rows)
    return function("zeros", 0, lambda: sums, lambda b, t, v: ir.Constant(kind, None))


def _multiply(
    width: int, images: int, rows: int, read: Compiled, item: int, part: bool
) -> Compiled:
    """A Numba function (sums, addresses, index, lanes) -> sums, for one vector of inputs."""

    def emit(
        b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
    ) -> ir.Value:
        sums, addresses, index, lanes = values
        count = lanes if part else None
        bases = [b.load(pointer(b, addresses, 8 * i, I64)) for i in range(images + rows)]
        inputs = [_floats(b, base, index, width, count) for base in bases[:images]]
        for r, base in enumerate(bases[images:]):
            # Weights come from memory once, in more streams than a prefetcher follows.
            if not part:
                emit_prefetch(b, b.add(base, b.mul(index, i64(item))), _PREFETCH_BYTES, 2)
            w = read(b, base, index, width, count)
            for i, x in enumerate(inputs):
                at = i * rows + r
                sums = b.insert_value(sums, emit_fma(b, x, w, b.extract_value(sums, at)), at)
        return sums

    return function("multiply", 4, lambda sums, *rest: sums, emit)


def _floats(
    b: ir.IRBuilder, base: ir.Value, index: ir.Value, width: int, count: ir.Value
) -> ir.Value:
    address = b.add(base, b.mul(index, i64(4)))
    if count is None:
        return emit_load(b, address, 0, vector(width))
    return emit_load_part(b, address, width, count, same(width, 0.0))


def _halves(
    b: ir.IRBuilder, base: ir.Value, index: ir.Value, width: int, count: ir.Value
) -> ir.Value:
    # Rows of halves are as long as whole vectors, with zeros at the end.
    address = b.add(base, b.mul(index, i64(2)))
    kind = ir.VectorType(HALF, width)
    return b.fpext(b.load(b.inttoptr(address, kind.as_pointer()), align=2), vector(width))


def _halves_by_parts(
    b: ir.IRBuilder, base: ir.Value, index: ir.Value, width: int, count: ir.Value
) -> ir.Value:
    # Where no instruction does it: shift exponent and mantissa in place, then correct the bias.
    address = b.add(base, b.mul(index, i64(2)))
    kind, wide = ir.VectorType(ir.IntType(16), width), ir.VectorType(I32, width)
    bits = b.zext(b.load(b.inttoptr(address, kind.as_pointer()), align=2), wide)
    size = b.shl(b.and_(bits, ir.Constant(wide, [0x7FFF] * width)), ir.Constant(wide, [13] * width))
    sign = b.shl(b.and_(bits, ir.Constant(wide, [0x8000] * width)), ir.Constant(wide, [16] * width))
    signed = b.bitcast(b.or_(size, sign), vector(width))
    return b.fmul(signed, same(width, 2.0**112))


def _finish(width: int, images: int, rows: int) -> Compiled:
    """A Numba function (sums, address): each sum's lanes added up, to rows of floats."""

    def emit(b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]) -> None:
        sums, address = values
        for i in range(images):
            for r in range(rows):
                # Rows of results are ``width`` floats longer, so that vectors may be read.
                total = emit_fold(b, b.extract_value(sums, i * rows + r), b.fadd)
                emit_store(b, total, address, 4 * (i * (rows + width) + r))

    return function("finish", 2, lambda *rest: types.none, emit)
