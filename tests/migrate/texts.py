"""Texts to messages and messages to plain values, for the tests of upgrades."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from netc.diagnostics import Diagnostic, NetcError, Source
from netc.migrate.generations import bind_net
from netc.migrate.upgrade import upgrade_net
from netc.schema.load import load_schema
from netc.schema.message import Entry, Message
from netc.syntax.parser import parse_document


def net_of(text: str, type: str = "NetParameter", name: str = "a.prototxt") -> Message:
    return bind_net(parse_document(Source(name, text)), load_schema().message(type))


def plain(value: Any) -> Any:
    """A message as dicts and lists, without places."""
    if not isinstance(value, Message):
        return value
    return {
        name: [plain(entry.value) for entry in entries] for name, entries in value.entries.items()
    }


def upgraded(text: str) -> Message:
    return upgrade_net(net_of(text))[0]


def check_upgrade(old: str, new: str) -> None:
    """The old text upgrades to the new one, which is left alone."""
    current = net_of(new)
    assert plain(upgraded(old)) == plain(current)
    again, changes = upgrade_net(current)
    assert again is current
    assert changes == ()


def refusal(text: str) -> Diagnostic:
    """The only error of upgrading a text."""
    message = net_of(text)
    with pytest.raises(NetcError) as caught:
        upgrade_net(message)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def place(diagnostic: Diagnostic) -> tuple[int, int]:
    assert diagnostic.span is not None
    return diagnostic.span.line, diagnostic.span.column


def entries_of(message: Message) -> Iterator[Entry]:
    """All entries of a message and of those in it."""
    for entries in message.entries.values():
        for entry in entries:
            yield entry
            if isinstance(entry.value, Message):
                yield from entries_of(entry.value)
