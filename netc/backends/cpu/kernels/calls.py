"""Calls in kernels of what LLVM itself has; see :mod:`.expressions`."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir
from numba import types

from netc.backends.cpu.kernels.scalars import KernelValue, cast, llvm_type, typed
from netc.backends.cpu.kernels.simd import INTRINSICS


def root(b: ir.IRBuilder, x: object) -> KernelValue:
    """The square root, of an integer in double."""
    value = typed(b, x)
    if value.kind == types.int64:
        value = cast(b, value, types.float64)
    kind = llvm_type(value.kind)
    root = b.module.declare_intrinsic("llvm.sqrt", (kind,))
    return KernelValue(value.kind, b.call(root, [value.code]))


def emitted(b: ir.IRBuilder, function: object, arguments: Sequence[object]) -> object:
    """Have an intrinsic emit its code. It sees constants by their literal types."""
    result, emit = INTRINSICS[function]
    kinds: list[types.Type] = []
    codes: list[ir.Value] = []
    for x in arguments:
        if isinstance(x, type):
            kinds.append(types.NamedTupleClass(x))
            codes.append(None)
            continue
        value = typed(b, x)
        literal = isinstance(x, (bool, int))
        kinds.append(types.literal(x) if literal else value.kind)
        codes.append(value.code)
    kind = types.unliteral(result(*kinds))
    made = emit(b, kinds, codes)
    return None if kind == types.none else KernelValue(kind, made)
