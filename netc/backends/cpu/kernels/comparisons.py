"""Comparisons inside kernels, and the least and greatest of numbers; see :mod:`.scalars`."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from llvmlite import ir
from numba import types

from netc.backends.cpu.kernels.scalars import (
    SCALARS,
    KernelValue,
    UntranslatableError,
    cast,
    is_known,
    typed,
    unified,
)

_COMPARISONS: Mapping[str, tuple[str, Callable[..., object]]] = {
    "Lt": ("<", operator.lt),
    "LtE": ("<=", operator.le),
    "Gt": (">", operator.gt),
    "GtE": (">=", operator.ge),
    "Eq": ("==", operator.eq),
    "NotEq": ("!=", operator.ne),
}


def compared(b: ir.IRBuilder, symbol: str, x: object, y: object) -> object:
    """``x symbol y`` for a comparison."""
    if symbol not in _COMPARISONS:
        raise UntranslatableError(f"the comparison {symbol}")
    sign, plain = _COMPARISONS[symbol]
    if is_known(x) and is_known(y):
        return bool(plain(x, y))
    left, right = typed(b, x), typed(b, y)
    kind = unified(left.kind, right.kind)
    if kind not in SCALARS:
        raise UntranslatableError(f"a comparison of {kind}")
    one, other = cast(b, left, kind).code, cast(b, right, kind).code
    if kind == types.boolean:
        made = b.icmp_unsigned(sign, one, other)
    elif kind == types.int64:
        made = b.icmp_signed(sign, one, other)
    elif sign == "!=":
        made = b.fcmp_unordered(sign, one, other)
    else:
        made = b.fcmp_ordered(sign, one, other)
    return KernelValue(types.boolean, made)


def extreme(b: ir.IRBuilder, least: bool, numbers: list[object]) -> object:
    """Python's ``min`` or ``max``: the first is kept unless a later one is beyond it."""
    if all(type(x) in (bool, int) for x in numbers):
        return min(numbers) if least else max(numbers)  # type: ignore[type-var]
    best = typed(b, numbers[0])
    for x in numbers[1:]:
        other = typed(b, x)
        kind = unified(best.kind, other.kind)
        best, other = cast(b, best, kind), cast(b, other, kind)
        beyond = compared(b, "Lt" if least else "Gt", other, best)
        best = KernelValue(kind, b.select(typed(b, beyond).code, other.code, best.code))
    return best
