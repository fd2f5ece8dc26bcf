"""Checks that the parameters of many layers share. Each complaint points at the field."""

from __future__ import annotations

from collections.abc import Collection

from netc.diagnostics import Diagnostic, NetcError
from netc.schema.message import Message

LARGEST = 2**31 - 1  # Caffe keeps sizes in an int


def number(message: Message, name: str, least: int) -> int:
    """The value of a field that is a number of elements.

    Raises:
        NetcError: value-out-of-range, where it is below ``least`` or no C int.
    """
    value: int = message.get(name)
    check_number(message, name, value, least)
    return value


def required_number(message: Message, name: str) -> int:
    """The value of a field that must be written and at least 1.

    Raises:
        NetcError: missing-field or value-out-of-range.
    """
    if not message.has(name):
        raise message.error(
            None, "missing-field", f"`{name}` is not given", f"add `{name}: N`, N at least 1"
        )
    return number(message, name, 1)


def check_number(message: Message, name: str, value: int, least: int, index: int = -1) -> None:
    """Check one value of a field.

    Raises:
        NetcError: value-out-of-range, where it is below ``least`` or no C int.
    """
    if least <= value <= LARGEST:
        return
    low = value < least
    rule = f"at least {least}" if low else f"at most {LARGEST}"
    help = (f"write `{name}: {least}` or more",) if low else ("sizes are kept in 32 bits",)
    text = f"`{name}` must be {rule}, it is {value}"
    place = message.span_of(name, index)
    raise NetcError(Diagnostic("value-out-of-range", text, place, help=help))


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


def only(message: Message, *known: str) -> Message:
    """The message, refusing fields of forks that would change the result.

    Args:
        message: a layer's parameter message.
        known: the fields that are computed with, and those that never change a result; `engine`
            always is one.

    Raises:
        NetcError: unsupported-field, at another field that has not its default value.
    """
    for name in message.entries:
        default = message.type.fields[name].default
        if name in known or name == "engine" or message.get(name) == default:
            continue
        raise message.error(
            name,
            "unsupported-field",
            f"`{name}` of a Caffe fork changes the result, and netc does not compute it",
            f"remove `{name}` if the layer does without it",
        )
    return message


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
