"""Values of expressions: numbers, strings, bools, lists and blobs; and how large they may be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from netc.language.limits import MAX_BITS, MAX_LIST, MAX_STRING


class BlobRef(NamedTuple):
    """A blob of the plain net, by its name with its scope."""

    name: str


Value = Any  # int | float | bool | str | Blob | list[Value]


DIVISION = "`/` gives a float; `//` divides whole numbers"
"""What to do where a float stands and an int is wanted."""


def division_help(value: object, text: str) -> tuple[str, ...]:
    """The hint for a float where a whole number is wanted, unless ``text`` writes it as one."""
    written = text.lstrip("-")[:1].isdigit() and "/" not in text
    return (DIVISION,) if isinstance(value, float) and not written else ()


class MeaningError(Exception):
    """An operation that its values do not allow; the evaluator adds the place.

    ``code`` is "expression" where the operation gives no other.
    """

    def __init__(self, message: str, *help: str, code: str = "expression") -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        self.code = code


def kind(value: Value) -> str:
    """A value's kind in words, for messages."""
    if isinstance(value, bool):
        return "a bool"
    names = {int: "an int", float: "a float", str: "a string", list: "a list", BlobRef: "a blob"}
    return names[type(value)]


def shown(value: Value) -> str:
    """A value, shortened, for messages."""
    text = source_text(value)
    return text if len(text) <= 60 else text[:57] + "..."


def source_text(value: Value) -> str:
    """A value as an expression of the dialect; long lists are shortened."""
    if isinstance(value, list):
        inner = ", ".join("[...]" if isinstance(v, list) else source_text(v) for v in value[:20])
        return f"[{inner}{', ...' if len(value) > 20 else ''}]"
    if isinstance(value, (str, BlobRef)):
        text = value if isinstance(value, str) else value.name
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"')[:80] + '"'
    return plain_text(value)


def plain_text(value: Value) -> str:
    """A value as it is inserted in a string.

    Raises:
        MeaningError: it is a list.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        raise MeaningError("a list cannot stand in a string", "take an item of it: `list[0]`")
    return value.name if isinstance(value, BlobRef) else str(value)


def is_int(value: Value) -> bool:
    """Whether a value is a whole number; a bool is not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Value) -> bool:
    """Whether a value is an int or a float; a bool is not."""
    return is_int(value) or isinstance(value, float)


def sized(value: Value) -> Value:
    """The value itself, if it is within the limits (netc.language.limits).

    Raises:
        MeaningError: too-large.
    """
    if is_int(value) and value.bit_length() > MAX_BITS:
        raise MeaningError(f"a whole number has at most {MAX_BITS} bits", code="too-large")
    if isinstance(value, str) and len(value) > MAX_STRING:
        raise MeaningError(f"a string has at most {MAX_STRING:,} characters", code="too-large")
    if isinstance(value, list) and len(value) > MAX_LIST:
        raise MeaningError(f"a list has at most {MAX_LIST:,} items", code="too-large")
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise MeaningError("the result is no finite number", code="too-large")
    return value


def conform(value: Value, type: str) -> Value | None:
    """The value converted to a type (an int to a float); None if it does not fit.

    Args:
        value: any.
        type: "" for any; "int", "float", "bool", "string", or "[...]".
    """
    if not type:
        return value
    if type.startswith("["):
        if not isinstance(value, list):
            return None
        items = [conform(item, type[1:-1]) for item in value]
        return None if any(item is None for item in items) else items
    if type == "float" and is_int(value):
        return _as_float(value)
    fits = {
        "int": is_int(value),
        "float": isinstance(value, float),
        "bool": isinstance(value, bool),
        "string": isinstance(value, str),
    }
    return value if fits[type] else None


def _as_float(value: int) -> float | None:
    return float(value) if value.bit_length() < 1000 else None


def type_of(value: Value) -> str:
    """The type that a default gives its parameter; "" for an empty list, or one of mixed items."""
    if isinstance(value, list):
        inner = {"" if isinstance(item, list) else type_of(item) for item in value}
        return f"[{inner.pop()}]" if len(inner) == 1 and "" not in inner else ""
    names = {bool: "bool", int: "int", float: "float", str: "string", BlobRef: ""}
    return names[type(value)]


def flat(value: Value) -> Iterator[Value]:
    """The items of a list and of the lists in it; the value itself where it is none."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(reversed(item))
        else:
            yield item
