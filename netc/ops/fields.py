"""Checks of a layer's fields that many layers share. Each error points at the field."""

from __future__ import annotations

from typing import Any

from netc.diagnostics import NetcError
from netc.schema.message import Message


def reject_unknown_fields(message: Message, *known: str) -> Message:
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


def bad_value(message: Message, name: str, rule: str, *help: str) -> NetcError:
    """The error for a field whose value breaks a rule; to be raised by the caller.

    Args:
        message: the message that has the field.
        name: the field.
        rule: what must be, e.g. "must be at least 0".
        help: what to do.
    """
    text = f"`{name}` {rule}, it is {message.get(name)}"
    return message.error(name, "out-of-range", text, *help)


def fork_field(message: Message, name: str, default: object) -> Any:
    """A field that only forks have: its value, or ``default`` where the schema does not know it."""
    return message.get(name) if name in message.type.fields else default
