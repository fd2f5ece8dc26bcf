"""Fields that are sizes or alternatives: checks that many layers share."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import fields, is_dataclass

from netc.diagnostics import Diagnostic, NetcError
from netc.schema.message import Message

LARGEST = 2**31 - 1  # Caffe keeps sizes in an int


def number(message: Message, name: str, least: int) -> int:
    """The value of a field that is a number of elements.

    Raises:
        NetcError: out-of-range, where it is below ``least`` or no C int.
    """
    value: int = message.get(name)
    check_number(message, name, value, least)
    return value


def required_number(message: Message, name: str) -> int:
    """The value of a field that must be written and at least 1.

    Raises:
        NetcError: missing-field or out-of-range.
    """
    if not message.has(name):
        raise message.error(
            None, "missing-field", f"`{name}` is not given", f"add `{name}: N`, N at least 1"
        )
    return number(message, name, 1)


def check_number(message: Message, name: str, value: int, least: int, index: int = -1) -> None:
    """Check one value of a field.

    Raises:
        NetcError: out-of-range, where it is below ``least`` or no C int.
    """
    if least <= value <= LARGEST:
        return
    low = value < least
    rule = f"at least {least}" if low else f"at most {LARGEST}"
    help = (f"write `{name}: {least}` or more",) if low else ("sizes are kept in 32 bits",)
    text = f"`{name}` must be {rule}, it is {value}"
    place = message.span_of(name, index)
    raise NetcError(Diagnostic("out-of-range", text, place, help=help))


def all_finite(params: object) -> bool:
    """Whether no number of a layer's parameters is infinite or none at all.

    Kernels are written for numbers; what a definition makes of others, it makes itself.
    """
    if not is_dataclass(params):
        return True
    values = [getattr(params, entry.name) for entry in fields(params)]
    return all(math.isfinite(value) for value in values if isinstance(value, float))


def conflict(message: Message, name: str, other: str) -> NetcError:
    """The error for two fields of which only one may be written."""
    return message.error(
        name,
        "conflicting-fields",
        f"`{name}` and `{other}` are both given",
        f"remove `{name}` or `{other}`",
    )


def lone(message: Message, name: str, absent: str) -> NetcError:
    """The error for a field that is written without the one that goes with it."""
    return message.error(
        name,
        "missing-field",
        f"`{name}` is given without `{absent}`",
        f"add `{absent}: {message.get(name)}`",
    )


def one_of(message: Message, name: str, supported: Collection[str]) -> str:
    """The value of an enum field, where it is one that is computed.

    Raises:
        NetcError: unsupported-value, for an identifier that only a fork has.
    """
    value: str = message.get(name)
    if value not in supported:
        raise message.error(
            name,
            "unsupported-value",
            f"`{name}` {value} is not one that netc computes",
            "use one of " + ", ".join(supported),
        )
    return value
