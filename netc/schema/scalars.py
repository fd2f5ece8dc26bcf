"""Converts a scalar as written to a field's value, by the kind of the field.

The rules are those of protobuf's C++ TextFormat parser, with which Caffe reads its nets.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.schema.hints import unquoted_help
from netc.schema.message import EnumType, FieldType
from netc.syntax.ast import Scalar
from netc.syntax.literals import float_value, integer_value

RANGES: Final[Mapping[str, tuple[int, int]]] = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
TRUE = frozenset({"true", "True", "t"})
FALSE = frozenset({"false", "False", "f"})
_FLOAT_WORDS = {"inf": math.inf, "infinity": math.inf, "nan": math.nan}
_ARTICLES = {
    "double": "a number", "float": "a number", "int32": "an integer", "int64": "an integer",
    "uint32": "an integer that is not negative", "uint64": "an integer that is not negative",
    "bool": "`true` or `false`", "string": "a string", "bytes": "a string",
}  # fmt: skip
_pack, _unpack = struct.Struct("<f").pack, struct.Struct("<f").unpack


def as_float32(value: float) -> float:
    """The value rounded to float32; infinite beyond its range."""
    try:
        return _unpack(_pack(value))[0]  # type: ignore[no-any-return]
    except OverflowError:
        return math.copysign(math.inf, value)


def _wrong(scalar: Scalar, field: FieldType, *help: str) -> NetcError:
    expected = f"one of {field.enum.name}" if field.enum else _ARTICLES[field.kind]
    message = f"`{field.name}` takes {expected}, not {_shown(scalar)}"
    return NetcError(Diagnostic("wrong-kind", message, scalar.span, help=help))


def _shown(scalar: Scalar) -> str:
    if scalar.kind == "identifier":
        return f"`{_clipped(str(scalar.value))}`"
    if isinstance(scalar.value, bytes):
        return f'the string "{_clipped(scalar.value.decode("utf-8", "replace"))}"'
    return f"the {'integer' if scalar.kind == 'integer' else 'number'} {_clipped(_written(scalar))}"


def _written(scalar: Scalar) -> str:
    """A number as it was written; one that was worked out by what it came to."""
    read = integer_value if scalar.kind == "integer" else float_value
    text = scalar.span.text
    try:
        written = read(text.removeprefix("-").strip()) == abs(float(scalar.value))
    except (ValueError, OverflowError):
        written = text.lstrip("- ")[:1].isdigit() and text.lstrip("- ").isalnum()
    return text if written else str(scalar.value)


def _clipped(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _placeholder(scalar: Scalar) -> tuple[str, ...]:
    if scalar.kind == "identifier" and str(scalar.value).isupper():
        return (f"{_shown(scalar)} looks like a placeholder: write the number it stands for",)
    if isinstance(scalar.value, bytes) and scalar.value.strip():
        return ("write it without quotes",) if _is_number(scalar.value) else ()
    return ()


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_integer(scalar: Scalar, field: FieldType) -> int:
    value = scalar.value
    if scalar.kind != "integer" or not isinstance(value, int):
        whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
        help = (f"write {int(value)}",) if whole else _placeholder(scalar)
        raise _wrong(scalar, field, *help)
    low, high = RANGES[field.kind]
    if low <= value <= high:
        return value
    message = (
        f"`{field.name}` is {field.kind}, from {low} to {high}, not {_clipped(_written(scalar))}"
    )
    raise NetcError(Diagnostic("out-of-range", message, scalar.span))


def _read_double(scalar: Scalar, field: FieldType) -> float:
    value = scalar.value
    if isinstance(value, float):
        return value
    if isinstance(value, int):
        return _float_of(value)
    if isinstance(value, str):
        word = value.lower()
        number = _FLOAT_WORDS.get(word.removeprefix("-"))
        if number is not None:
            return -number if word.startswith("-") else number
    raise _wrong(scalar, field, *_placeholder(scalar))


def _float_of(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _read_float(scalar: Scalar, field: FieldType) -> float:
    return as_float32(_read_double(scalar, field))


def _read_bool(scalar: Scalar, field: FieldType) -> bool:
    value = scalar.value
    if scalar.kind == "integer" and value in (0, 1):
        return bool(value)
    if scalar.kind == "identifier":
        if value in TRUE:
            return True
        if value in FALSE:
            return False
    written = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    word = written.lower()
    help = (f"write {word} without quotes",) if isinstance(value, bytes) else (f"write {word}",)
    raise _wrong(scalar, field, *(help if word in ("true", "false") else ()))


def _read_bytes(scalar: Scalar, field: FieldType) -> bytes:
    if isinstance(scalar.value, bytes):
        return scalar.value
    raise _wrong(scalar, field, unquoted_help(scalar, field))


def _read_string(scalar: Scalar, field: FieldType) -> str:
    """Text, with ``\\xff`` for a byte that is no UTF-8, as names of weights are read.

    Caffe takes any bytes: old nets have names in GBK or Latin-1.
    """
    value = scalar.value
    if value.__class__ is not bytes:
        value = _read_bytes(scalar, field)
    return value.decode("utf-8", "backslashreplace")


def _read_enum(scalar: Scalar, field: FieldType) -> str:
    enum = field.enum
    assert enum is not None
    value = scalar.value
    if scalar.kind == "identifier":
        if value in enum.numbers:
            return str(value)
        raise _unknown_value(scalar, field, enum)
    if isinstance(value, int):
        if value in enum.names:
            return enum.names[value]
        raise _unknown_value(scalar, field, enum)
    if not isinstance(value, bytes):
        raise _wrong(scalar, field)
    name = value.decode("utf-8", "replace")
    if name in enum.numbers:
        raise _wrong(scalar, field, f"enum values stand without quotes: {field.name}: {name}")
    raise _wrong(scalar, field, *_near(name, enum))


def _near(name: str, enum: EnumType) -> tuple[str, ...]:
    if name.upper() in enum.numbers:
        return (f"did you mean `{name.upper()}`?",)
    if len(enum.numbers) <= 8:
        return ("its values are " + ", ".join(f"`{n}`" for n in enum.numbers),)
    return did_you_mean(name.upper(), enum.numbers)


def _unknown_value(scalar: Scalar, field: FieldType, enum: EnumType) -> NetcError:
    shown = _clipped(str(scalar.value))
    message = f"`{shown}` is no value of `{field.name}` ({enum.name})"
    help = _near(shown, enum)
    return NetcError(Diagnostic("unknown-enum-value", message, scalar.span, help=help))


READERS: Final[Mapping[str, Callable[[Scalar, FieldType], Any]]] = {
    "double": _read_double,
    "float": _read_float,
    "int32": _read_integer,
    "int64": _read_integer,
    "uint32": _read_integer,
    "uint64": _read_integer,
    "bool": _read_bool,
    "string": _read_string,
    "bytes": _read_bytes,
    "enum": _read_enum,
}
"""Scalar and field -> the field's value; each raises NetcError where the scalar does not fit."""
