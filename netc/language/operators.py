"""Operators and functions on values; Python's meaning, with limits and stricter types."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

from netc.language.limits import MAX_BITS, MAX_LIST
from netc.language.values import MeaningError, Value, is_int, is_number, kind, plain_text, sized

_ARITHMETIC: dict[str, Callable[[Value, Value], Value]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}
_QUICK = {sign: _ARITHMETIC[sign] for sign in ("+", "-", "*")}
_COMPARISON: dict[str, Callable[[Value, Value], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def apply(sign: str, left: Value, right: Value) -> Value:
    """``left sign right``.

    Raises:
        MeaningError: the operator does not take these kinds of values, or the result is too large.
    """
    if type(left) is int and type(right) is int and sign in _QUICK:
        return sized(_QUICK[sign](left, right))
    if sign in _COMPARISON:
        return _compare(sign, left, right)
    if sign == "in":
        return _contains(left, right)
    if sign in ("..", "..="):
        return list(bounds(left, right, sign))
    if is_number(left) and is_number(right):
        return sized(_calculate(sign, left, right))
    if sign == "+" and type(left) is type(right) and isinstance(left, (str, list)):
        return sized(left + right)
    if sign == "*" and isinstance(left, (str, list)) and is_int(right):
        return _repeated(left, right)
    message = f"`{sign}` takes no {_bare(left)} and {_bare(right)}"
    raise MeaningError(message, *_sum_help(sign, left))


def _bare(value: Value) -> str:
    return kind(value).split(" ", 1)[1]


def _sum_help(sign: str, left: Value) -> tuple[str, ...]:
    if sign == "+" and isinstance(left, str):
        return ('put the value in the string: `"conv${i}"`',)
    return ()


def _calculate(sign: str, left: int | float, right: int | float) -> Value:
    if sign == "**" and is_int(left) and is_int(right):
        if right < 0:
            left = float(left)
        elif left.bit_length() * right > 2 * MAX_BITS and abs(left) > 1:  # type: ignore[union-attr]
            raise MeaningError(f"a whole number has at most {MAX_BITS} bits", code="too-large")
        elif right.bit_length() > MAX_BITS:  # type: ignore[union-attr]
            raise MeaningError(f"a whole number has at most {MAX_BITS} bits", code="too-large")
    try:
        result = _ARITHMETIC[sign](left, right)
    except ZeroDivisionError:
        raise MeaningError("division by zero") from None
    except OverflowError:
        raise MeaningError("the result is no finite number", code="too-large") from None
    if isinstance(result, complex):
        raise MeaningError("a root of a negative number")
    return result


def _repeated(value: Value, times: int) -> Value:
    if len(value) * max(times, 0) > MAX_LIST:
        message = f"a list or string repeated has at most {MAX_LIST:,} items"
        raise MeaningError(message, code="too-large")
    return value * times


def _compare(sign: str, left: Value, right: Value) -> bool:
    same = type(left) is type(right) or (is_number(left) and is_number(right))
    ordered = is_number(left) or isinstance(left, str)
    if not same or (sign not in ("==", "!=") and not ordered) or isinstance(left, list):
        help = ("write `a < b and b < c`",) if isinstance(left, bool) else ()
        raise MeaningError(f"{kind(left)} and {kind(right)} cannot be compared by `{sign}`", *help)
    return _COMPARISON[sign](left, right)


def _contains(left: Value, right: Value) -> bool:
    if isinstance(right, str) and isinstance(left, str):
        return left in right
    if not isinstance(right, list):
        raise MeaningError(f"`in` takes a list behind it, not {kind(right)}")
    return any(_equal(left, item) for item in right)


def _equal(left: Value, right: Value) -> bool:
    try:
        return _compare("==", left, right)
    except MeaningError:
        return False


def bounds(first: Value, last: Value, sign: str) -> range:
    """The range ``first..last``, or ``first..=last`` by ``sign``.

    Raises:
        MeaningError: a bound is no int, or there are too many items.
    """
    if not (is_int(first) and is_int(last)):
        other = last if is_int(first) else first
        raise MeaningError(f"a range goes from int to int, and this is {kind(other)}")
    if last - first > MAX_LIST:
        message = f"a range has at most {MAX_LIST:,} items, and this one has {last - first:,}"
        raise MeaningError(message, code="too-large")
    return range(first, last + (sign == "..="))


def negate(value: Value) -> Value:
    """``-value``.

    Raises:
        MeaningError: it is not a number.
    """
    if not is_number(value):
        raise MeaningError(f"`-` takes a number, not {kind(value)}")
    return -value


def item(value: Value, index: Value) -> Value:
    """``value[index]``.

    Raises:
        MeaningError: the value has no items or not this one, or the index is no int.
    """
    if not isinstance(value, (list, str)):
        raise MeaningError(f"{kind(value)} has no items")
    if not is_int(index):
        raise MeaningError(f"an index is an int, not {kind(index)}")
    if not -len(value) <= index < len(value):
        count = len(value)
        help = ("the first is item 0",) if index == count else ()
        raise MeaningError(f"there is no item {index}: the {_bare(value)} has {count}", *help)
    return value[index]


def truth(value: Value, of: str) -> bool:
    """The value of a condition; ``of`` names it in the message.

    Raises:
        MeaningError: it is not a bool.
    """
    if not isinstance(value, bool):
        help = ("compare it: `n != 0`",) if is_number(value) else ()
        raise MeaningError(f"{of} is true or false, not {kind(value)}", *help)
    return value


# Functions


def _extreme(choose: Callable[..., Value]) -> Callable[..., Value]:
    def function(*values: Value) -> Value:
        found = list(values[0]) if len(values) == 1 and isinstance(values[0], list) else values
        if not found or not all(is_number(v) for v in found):
            raise MeaningError("it takes numbers, or a list of numbers")
        return choose(found)

    return function


def _rounded(choose: Callable[[float], int]) -> Callable[[Value], Value]:
    def function(value: Value) -> Value:
        if not is_number(value):
            raise MeaningError(f"it takes a number, not {kind(value)}")
        return choose(value)

    return function


def _length(value: Value) -> int:
    if not isinstance(value, (list, str)):
        raise MeaningError(f"it takes a list or a string, not {kind(value)}")
    return len(value)


def _range(*values: Value) -> Value:
    if not 1 <= len(values) <= 3 or not all(is_int(v) for v in values):
        raise MeaningError("it takes one to three ints")
    if len(values) == 3 and values[2] == 0:
        raise MeaningError("its step is not 0")
    found = range(*values)
    if _count(found) > MAX_LIST:
        raise MeaningError(f"a list has at most {MAX_LIST:,} items", code="too-large")
    return list(found)


def _count(found: range) -> int:
    span = found.stop - found.start
    return max(0, -(-span // found.step))


def _absolute(value: Value) -> Value:
    if not is_number(value):
        raise MeaningError(f"it takes a number, not {kind(value)}")
    return abs(value)


def _integer(value: Value) -> int:
    if not isinstance(value, (int, float, str)):
        raise MeaningError(f"it takes a number or a string, not {kind(value)}")
    try:
        return int(value[:400] if isinstance(value, str) else value)
    except ValueError:
        raise MeaningError(f"`{plain_text(value)[:40]}` is no int") from None


def _float(value: Value) -> float:
    if not isinstance(value, (int, float, str)):
        raise MeaningError(f"it takes a number or a string, not {kind(value)}")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise MeaningError(f"`{plain_text(value)[:40]}` is no float") from None


FUNCTIONS: dict[str, tuple[Callable[..., Value], int | None]] = {
    "min": (_extreme(min), None),
    "max": (_extreme(max), None),
    "ceil": (_rounded(math.ceil), 1),
    "floor": (_rounded(math.floor), 1),
    "round": (_rounded(round), 1),
    "len": (_length, 1),
    "range": (_range, None),
    "abs": (_absolute, 1),
    "int": (_integer, 1),
    "float": (_float, 1),
    "str": (plain_text, 1),
}
"""Name -> what it does, and how many values it takes; None for any number."""


def call(name: str, values: list[Value]) -> Value:
    """The result of the built-in function ``name``.

    Raises:
        MeaningError: it takes another number or other kinds of values.
    """
    function, count = FUNCTIONS[name]
    if count is not None and len(values) != count:
        raise MeaningError(f"`{name}` takes {count} value, and {len(values)} are given")
    try:
        return sized(function(*values))
    except MeaningError as fault:
        prefix = "" if fault.code == "too-large" else f"`{name}`: "
        raise MeaningError(prefix + fault.message, *fault.help, code=fault.code) from None
