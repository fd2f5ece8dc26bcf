"""Fields that are numbers or one of some names: checks that many layers share."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import fields, is_dataclass

from netc.diagnostics import Diagnostic, NetcError
from netc.schema.message import Message

LARGEST = 2**31 - 1  # Caffe keeps sizes in an int


def number(message: Message, name: str, minimum: int) -> int:
    """The value of an integer field.

    Raises:
        NetcError: out-of-range, where it is below ``minimum`` or above 2^31 - 1.
    """
    value: int = message.get(name)
    check_number(message, name, value, minimum)
    return value


def required_number(message: Message, name: str) -> int:
    """The value of an integer field that must be written.

    Raises:
        NetcError: missing-field, where it is not; out-of-range, where it is below 1.
    """
    if not message.has(name):
        raise message.error(
            None, "missing-field", f"`{name}` is not given", f"add `{name}: N`, N at least 1"
        )
    return number(message, name, 1)


def check_number(message: Message, name: str, value: int, minimum: int, index: int = -1) -> None:
    """Check one value of an integer field; ``index`` is its place where the field is repeated.

    Raises:
        NetcError: out-of-range, where it is below ``minimum`` or above 2^31 - 1.
    """
    if minimum <= value <= LARGEST:
        return
    low = value < minimum
    rule = f"at least {minimum}" if low else f"at most {LARGEST}"
    help = (f"write `{name}: {minimum}` or more",) if low else ("sizes are kept in 32 bits",)
    text = f"`{name}` must be {rule}, it is {value}"
    place = message.span_of(name, index)
    raise NetcError(Diagnostic("out-of-range", text, place, help=help))


def all_finite(params: object) -> bool:
    """Whether none of a layer's float parameters is infinite or NaN.

    Compiled kernels take finite parameters only; layers with others run by their definition.
    """
    if not is_dataclass(params):
        return True
    values = [getattr(params, entry.name) for entry in fields(params)]
    return all(math.isfinite(value) for value in values if isinstance(value, float))


def conflict(message: Message, name: str, other: str) -> NetcError:
    """The error conflicting-fields, to be raised, for two fields of which one may be written."""
    return message.error(
        name,
        "conflicting-fields",
        f"`{name}` and `{other}` are both given",
        f"remove `{name}` or `{other}`",
    )


def lone(message: Message, name: str, absent: str) -> NetcError:
    """The error missing-field for a field that is written without ``absent``; to be raised."""
    return message.error(
        name,
        "missing-field",
        f"`{name}` is given without `{absent}`",
        f"add `{absent}: {message.get(name)}`",
    )


def one_of(message: Message, name: str, supported: Collection[str]) -> str:
    """The value of an enum field that must be one of ``supported``.

    Raises:
        NetcError: unsupported-value, for another, which a fork may have.
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
