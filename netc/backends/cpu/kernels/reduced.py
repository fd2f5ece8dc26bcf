"""Numbers of fewer bits in registers and memory: four int8 or two bfloat16 in each 32-bit lane.

A vector of float32 lanes is the carrier of all of them: inputs and weights are loaded as words of
four bytes, whatever they hold, and sums of int8 products travel as the bits of int32. So a product
in fewer bits is cut, located and packed as one of float32 is, with words in the place of channels.
What the numbers mean is in :mod:`netc.ops.reduced`.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from netc.backends.cpu.instructions import has_products
from netc.backends.cpu.kernels.simd import (
    F32,
    I1,
    I8,
    I32,
    emit_fma,
    emit_load,
    emit_splat,
    function,
    masked_name,
    pointer,
    same,
    vector,
)
from netc.backends.cpu.machine import Machine
from netc.ops.bfloat16 import SMALLEST_BFLOAT16

I16 = ir.IntType(16)
BYTES = {"float32": 4, "bf16": 2, "int8": 1}
"""Bytes of a stored element."""


def ints(lanes: int, value: int | None = None, kind: ir.Type = I32) -> ir.Type | ir.Constant:
    """The type of a vector of integers, or a constant of equal lanes."""
    made = ir.VectorType(kind, lanes)
    return made if value is None else ir.Constant(made, [value] * lanes)


# Products


def emit_products(
    b: ir.IRBuilder,
    machine: Machine | None,
    number: str,
    x: ir.Value,
    w: ir.Value,
    sums: ir.Value,
) -> ir.Value:
    """Sums plus the products of words of inputs with words of weights, all as float32 lanes."""
    if number == "float32" or machine is None:
        return emit_fma(b, x, w, sums)
    if number == "bf16":
        return _bfloat16_products(b, machine, x, w, sums)
    return _int8_products(b, machine, x, w, sums)


def _bfloat16_products(
    b: ir.IRBuilder, machine: Machine, x: ir.Value, w: ir.Value, sums: ir.Value
) -> ir.Value:
    lanes = sums.type.count
    if has_products(machine, "bf16"):
        pairs = ir.VectorType(_Bfloat(), 2 * lanes)
        kind = ir.FunctionType(vector(lanes), [vector(lanes), pairs, pairs])
        name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * lanes}"
        call = b.module.declare_intrinsic(name, (), kind)
        return b.call(call, [sums, b.bitcast(x, pairs), b.bitcast(w, pairs)])
    # Products of two such numbers are exact, so that it is of no matter whether a machine fuses.
    for half in (_second_of_pair, _first_of_pair):
        sums = emit_fma(b, half(b, x), half(b, w), sums)
    return sums


class _Bfloat(ir.HalfType):
    """LLVM's bfloat, which llvmlite does not name."""

    null = "0.0"

    def __str__(self) -> str:
        return "bfloat"


def _second_of_pair(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    lanes = x.type.count
    bits = b.and_(b.bitcast(x, ints(lanes)), ints(lanes, -0x10000))
    return b.bitcast(bits, vector(lanes))


def _first_of_pair(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    lanes = x.type.count
    return b.bitcast(b.shl(b.bitcast(x, ints(lanes)), ints(lanes, 16)), vector(lanes))


def _int8_products(
    b: ir.IRBuilder, machine: Machine, x: ir.Value, w: ir.Value, sums: ir.Value
) -> ir.Value:
    lanes = sums.type.count
    whole, codes = ints(lanes), ir.VectorType(I8, 4 * lanes)
    added = b.bitcast(sums, whole)
    if has_products(machine, "int8"):
        kind = ir.FunctionType(whole, [whole, codes, codes])
        name = f"llvm.x86.avx512.vpdpbusd.{32 * lanes}"
        call = b.module.declare_intrinsic(name, (), kind)
        added = b.call(call, [added, b.bitcast(x, codes), b.bitcast(w, codes)])
    else:
        for odd in (False, True):
            added = b.add(added, _pair_products(b, machine, x, w, odd))
    return b.bitcast(added, vector(lanes))


def _pair_products(
    b: ir.IRBuilder, machine: Machine, x: ir.Value, w: ir.Value, odd: bool
) -> ir.Value:
    """Two of the four products of each word, added: those of its even or of its odd bytes."""
    lanes = x.type.count
    halves = ints(2 * lanes, kind=I16)
    eight = ints(2 * lanes, 8, I16)
    pairs, own = b.bitcast(x, halves), b.bitcast(w, halves)
    pairs = b.lshr(pairs, eight) if odd else b.and_(pairs, ints(2 * lanes, 255, I16))
    own = b.ashr(own if odd else b.shl(own, eight), eight)
    name = {8: "llvm.x86.avx2.pmadd.wd", 16: "llvm.x86.avx512.pmaddw.d.512"}.get(lanes)
    if name is not None and machine.isa in ("avx2", "avx512"):
        kind = ir.FunctionType(ints(lanes), [halves, halves])
        return b.call(b.module.declare_intrinsic(name, (), kind), [pairs, own])
    wide = ints(2 * lanes)
    products = b.mul(b.zext(pairs, wide), b.sext(own, wide))
    every = [ir.Constant(ints(lanes), list(range(k, 2 * lanes, 2))) for k in (0, 1)]
    return b.add(*(b.shuffle_vector(products, products, order) for order in every))


# Elements to and from memory


def emit_bfloat16(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """float32 lanes as bfloat16, a vector of 16 bits each; the rule is ``round_to_bfloat16``."""
    lanes = x.type.count
    bits = b.bitcast(x, ints(lanes))
    sixteen = ints(lanes, 16)
    last = b.and_(b.lshr(bits, sixteen), ints(lanes, 1))
    up = b.lshr(b.add(b.add(bits, ints(lanes, 0x7FFF)), last), sixteen)
    size = b.bitcast(b.and_(bits, ints(lanes, 0x7FFFFFFF)), vector(lanes))
    small = b.fcmp_ordered("<", size, same(lanes, SMALLEST_BFLOAT16))
    near = b.select(small, ints(lanes, 0), up)
    near = b.select(b.fcmp_unordered("uno", x, x), ints(lanes, 0x7FC0), near)
    return b.trunc(near, ints(lanes, kind=I16))


def emit_codes(b: ir.IRBuilder, x: ir.Value, inverse: ir.Value, zero: ir.Value) -> ir.Value:
    """float32 lanes as codes, a vector of bytes; the rule is ``Int8.codes``."""
    lanes = x.type.count
    # Between 2**23 and 2**24 float32 has no fractions: a sum with an even number there is rounded
    # to a whole one, ties to even, and lies in the last bits of the result.
    near = b.fadd(b.fmul(x, inverse), b.fadd(zero, same(lanes, _EVEN)))
    near = _between(b, near, _EVEN, _EVEN + 255.0)
    return b.trunc(b.bitcast(near, ints(lanes)), ints(lanes, kind=I8))


_EVEN = 1.5 * 2.0**23  # its last byte is 0


def _between(b: ir.IRBuilder, x: ir.Value, low: float, high: float) -> ir.Value:
    """x within bounds; NaN becomes the lower one."""
    lowest, highest = same(x.type.count, low), same(x.type.count, high)
    x = b.select(b.fcmp_ordered(">", x, lowest), x, lowest)
    return b.select(b.fcmp_ordered("<", x, highest), x, highest)


def emit_from_bfloat16(b: ir.IRBuilder, halves: ir.Value) -> ir.Value:
    """A vector of bfloat16 as float32 lanes."""
    lanes = halves.type.count
    bits = b.shl(b.zext(halves, ints(lanes)), ints(lanes, 16))
    return b.bitcast(bits, vector(lanes))


def emit_from_codes(b: ir.IRBuilder, codes: ir.Value, scale: ir.Value, zero: ir.Value) -> ir.Value:
    """A vector of codes as the numbers they stand for: scale * (code - zero)."""
    lanes = codes.type.count
    steps = b.fsub(b.sitofp(b.zext(codes, ints(lanes)), vector(lanes)), zero)
    return b.fmul(steps, scale)


def emit_load_small(
    b: ir.IRBuilder, address: ir.Value, kind: ir.Type, mask: ir.Value | None
) -> ir.Value:
    """A vector of small integers; lanes that are masked out are 0 and touch no memory."""
    if mask is None:
        return b.load(pointer(b, address, 0, kind), align=1)
    place = b.inttoptr(address, kind.as_pointer())
    function_type = ir.FunctionType(
        kind, [kind.as_pointer(), I32, ir.VectorType(I1, kind.count), kind]
    )
    name = masked_name("load", kind.count, str(kind.element))
    load = b.module.declare_intrinsic(name, (), function_type)
    return b.call(load, [place, ir.Constant(I32, 1), mask, ir.Constant(kind, None)])


def emit_store_small(
    b: ir.IRBuilder, value: ir.Value, address: ir.Value, mask: ir.Value | None
) -> ir.Value:
    """Store a vector of small integers, only the lanes of a mask where there is one."""
    kind = value.type
    if mask is None:
        return b.store(value, pointer(b, address, 0, kind), align=1)
    place = b.inttoptr(address, kind.as_pointer())
    function_type = ir.FunctionType(ir.VoidType(), [kind, kind.as_pointer(), I32, mask.type])
    name = masked_name("store", kind.count, str(kind.element))
    store = b.module.declare_intrinsic(name, (), function_type)
    return b.call(store, [value, place, ir.Constant(I32, 1), mask])


def emit_number(b: ir.IRBuilder, address: ir.Value, offset: int, lanes: int) -> ir.Value:
    """A float32 in memory, in all lanes."""
    return emit_splat(b, emit_load(b, address, offset, F32), lanes)


def _emit_larger(b: ir.IRBuilder, arguments: object, values: Sequence[ir.Value]) -> ir.Value:
    kind = values[0].type
    codes = ir.VectorType(I8, 4 * kind.count)
    x, y = (b.bitcast(value, codes) for value in values)
    return b.bitcast(b.select(b.icmp_unsigned(">", x, y), x, y), kind)


# ``larger_codes(x, y)``: of two vectors of words the larger of each byte, without signs.
larger_codes = function("larger_codes", 2, lambda x, y: x, _emit_larger)
