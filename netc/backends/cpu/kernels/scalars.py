"""Values inside a kernel while it is translated, and what Python's operators are on them.

Types and promotions are Numba's: integers are int64, a float32 with an int64 or a float64 makes a
float64, integers divided by ``/`` make a float64, division by zero raises nothing (its integer
result is 0). A value is a :class:`KernelValue`, a constant of Python (known while translating),
or a Python tuple of values.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from llvmlite import ir
from numba import types

from netc.backends.cpu.kernels.simd import F32, I1, I64, Mask, Vector, vector

DOUBLE = ir.DoubleType()
SCALARS = {types.boolean: I1, types.int64: I64, types.float32: F32, types.float64: DOUBLE}
_RANK = {types.boolean: 0, types.int64: 1, types.float32: 2, types.float64: 3}
_BIGGEST = 2**63


class UntranslatableError(Exception):
    """A kernel that says something the translator does not know; Numba compiles it."""


@dataclass(frozen=True, slots=True)
class KernelValue:
    """What a kernel computes: its Numba type and its LLVM value."""

    kind: types.Type
    code: ir.Value


def llvm_type(kind: types.Type) -> ir.Type:
    """LLVM's type of a Numba type."""
    if kind in SCALARS:
        return SCALARS[kind]
    if isinstance(kind, Vector):
        return vector(kind.lanes)
    if isinstance(kind, Mask):
        return ir.VectorType(I1, kind.lanes)
    if isinstance(kind, (types.UniTuple, types.NamedUniTuple)):
        return ir.ArrayType(llvm_type(kind.dtype), kind.count)
    if isinstance(kind, types.Tuple):
        return ir.LiteralStructType([llvm_type(part) for part in kind.types])
    raise UntranslatableError(f"a value of type {kind}")


def typed(b: ir.IRBuilder, x: object) -> KernelValue:
    """A value of any sort as a :class:`KernelValue`; tuples become one LLVM value."""
    if isinstance(x, KernelValue):
        return x
    if isinstance(x, tuple):
        return _packed(b, [typed(b, part) for part in x])
    if isinstance(x, (bool, np.bool_)):
        return KernelValue(types.boolean, ir.Constant(I1, int(x)))
    if isinstance(x, (int, np.int64)) and -_BIGGEST <= x < _BIGGEST:
        return KernelValue(types.int64, ir.Constant(I64, int(x)))
    if isinstance(x, np.float32):
        return KernelValue(types.float32, ir.Constant(F32, float(x)))
    if isinstance(x, float):
        return KernelValue(types.float64, ir.Constant(DOUBLE, float(x)))
    raise UntranslatableError(f"a {type(x).__name__} where a number is needed")


def _packed(b: ir.IRBuilder, parts: list[KernelValue]) -> KernelValue:
    kinds = [part.kind for part in parts]
    same = len(set(kinds)) == 1
    kind = types.UniTuple(kinds[0], len(kinds)) if same else types.Tuple(kinds)
    made = ir.Constant(llvm_type(kind), ir.Undefined)
    for i, part in enumerate(parts):
        made = b.insert_value(made, part.code, i)
    return KernelValue(kind, made)


def is_known(x: object) -> bool:
    """True if Python knows the value while it translates."""
    if isinstance(x, tuple):
        return all(is_known(part) for part in x)
    return not isinstance(x, KernelValue)


def cast(b: ir.IRBuilder, x: object, kind: types.Type) -> KernelValue:
    """A number as another type, as Numba's calls of types and its promotions have it."""
    value = typed(b, x)
    if value.kind == kind:
        return value
    known = value.kind in SCALARS and kind in SCALARS
    if not known:
        raise UntranslatableError(f"{value.kind} as {kind}")
    return KernelValue(kind, _converted(b, value, kind))


def _converted(b: ir.IRBuilder, x: KernelValue, kind: types.Type) -> ir.Value:
    wanted = SCALARS[kind]
    if kind == types.boolean:
        return truth(b, x).code
    if kind == types.int64:
        if x.kind == types.boolean:
            return b.zext(x.code, I64)
        return b.fptosi(x.code, I64)
    if x.kind == types.boolean:
        return b.uitofp(x.code, wanted)
    if x.kind == types.int64:
        return b.sitofp(x.code, wanted)
    if kind == types.float64:
        return b.fpext(x.code, wanted)
    return b.fptrunc(x.code, wanted)


def truth(b: ir.IRBuilder, x: object) -> KernelValue:
    """Whether a number is not zero."""
    value = typed(b, x)
    if value.kind == types.boolean:
        return value
    if value.kind == types.int64:
        return KernelValue(types.boolean, b.icmp_signed("!=", value.code, ir.Constant(I64, 0)))
    if value.kind in SCALARS:
        zero = ir.Constant(SCALARS[value.kind], 0.0)
        return KernelValue(types.boolean, b.fcmp_unordered("!=", value.code, zero))
    raise UntranslatableError(f"the truth of a {value.kind}")


def unified(x: types.Type, y: types.Type) -> types.Type:
    """The type in which two numbers are computed with."""
    if x == y:
        return x
    if x not in _RANK or y not in _RANK:
        raise UntranslatableError(f"{x} with {y}")
    if {x, y} == {types.int64, types.float32}:
        return types.float64
    return max(x, y, key=_RANK.__getitem__)


_PYTHON: Mapping[str, Callable[..., object]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mult": operator.mul,
    "Div": operator.truediv,
    "FloorDiv": operator.floordiv,
    "Mod": operator.mod,
    "LShift": operator.lshift,
    "RShift": operator.rshift,
    "BitAnd": operator.and_,
    "BitOr": operator.or_,
    "BitXor": operator.xor,
}
_FLOAT_OPERATIONS = {"Add": "fadd", "Sub": "fsub", "Mult": "fmul", "Div": "fdiv"}
_INT_OPERATIONS = {
    "Add": "add",
    "Sub": "sub",
    "Mult": "mul",
    "LShift": "shl",
    "RShift": "ashr",
    "BitAnd": "and_",
    "BitOr": "or_",
    "BitXor": "xor",
}
_BITS = frozenset({"BitAnd", "BitOr", "BitXor"})
_EXACT = (bool, int, float)


def binary(b: ir.IRBuilder, symbol: str, x: object, y: object) -> object:
    """``x symbol y``; ``symbol`` is the name of the node of Python's syntax."""
    # Python's own numbers are computed with as Numba does; NumPy's promote otherwise.
    if type(x) in _EXACT and type(y) in _EXACT and symbol in _PYTHON:
        return _PYTHON[symbol](x, y)
    left, right = typed(b, x), typed(b, y)
    kind = unified(left.kind, right.kind)
    if isinstance(kind, Vector) and symbol in _FLOAT_OPERATIONS:
        return KernelValue(kind, getattr(b, _FLOAT_OPERATIONS[symbol])(left.code, right.code))
    if kind == types.boolean and symbol in _BITS:
        return KernelValue(kind, getattr(b, _INT_OPERATIONS[symbol])(left.code, right.code))
    if symbol == "Div" and kind in (types.boolean, types.int64):
        kind = types.float64
    elif kind == types.boolean:
        kind = types.int64
    left, right = cast(b, left, kind), cast(b, right, kind)
    if kind == types.int64:
        return KernelValue(kind, _of_integers(b, symbol, left.code, right.code))
    if kind in (types.float32, types.float64) and symbol in _FLOAT_OPERATIONS:
        return KernelValue(kind, getattr(b, _FLOAT_OPERATIONS[symbol])(left.code, right.code))
    raise UntranslatableError(f"{symbol} of {kind}")


def _of_integers(b: ir.IRBuilder, symbol: str, x: ir.Value, y: ir.Value) -> ir.Value:
    if symbol in _INT_OPERATIONS:
        return getattr(b, _INT_OPERATIONS[symbol])(x, y)
    if symbol not in ("FloorDiv", "Mod"):
        raise UntranslatableError(f"{symbol} of integers")
    wanted = "quotient" if symbol == "FloorDiv" else "remainder"
    if isinstance(y, ir.Constant) and y.constant > 0:
        return _divided(b, x, y, wanted)
    zero = b.icmp_signed("==", y, ir.Constant(I64, 0))
    made = _divided(b, x, b.select(zero, ir.Constant(I64, 1), y), wanted)
    return b.select(zero, ir.Constant(I64, 0), made)


def _divided(b: ir.IRBuilder, x: ir.Value, y: ir.Value, wanted: str) -> ir.Value:
    """The quotient, rounded down, or the remainder, which has the divisor's sign."""
    remainder = b.srem(x, y)
    differs = b.icmp_signed("<", b.xor(remainder, y), ir.Constant(I64, 0))
    low = b.and_(b.icmp_signed("!=", remainder, ir.Constant(I64, 0)), differs)
    if wanted == "remainder":
        return b.select(low, b.add(remainder, y), remainder)
    quotient = b.sdiv(x, y)
    return b.select(low, b.sub(quotient, ir.Constant(I64, 1)), quotient)


def negated(b: ir.IRBuilder, x: object) -> object:
    """``-x``."""
    if type(x) in _EXACT:
        return -x  # type: ignore[operator]
    value = typed(b, x)
    if value.kind == types.int64:
        return KernelValue(value.kind, b.neg(value.code))
    if value.kind in (types.float32, types.float64):
        return KernelValue(value.kind, b.fneg(value.code))
    raise UntranslatableError(f"the negative of a {value.kind}")
