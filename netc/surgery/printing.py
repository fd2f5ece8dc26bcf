"""Prints a net after surgery, with the comments of the original text."""

from __future__ import annotations

from collections.abc import Iterable

from netc.migrate.change import Change
from netc.schema.convert import to_document
from netc.schema.message import Message
from netc.surgery.build import dropped_spans
from netc.syntax.moved import in_written_order, print_moved


def printed(before: Message, after: Message, upgrades: Iterable[Change] = ()) -> str:
    """The prototxt of ``after``; comments in or directly above removed layers are removed too.

    Args:
        before: the original net or solver, in the current format.
        after: the result of the surgery.
        upgrades: the changes that brought ``before`` to the current format.
    """
    document = to_document(after)
    if not any(change.step in ("v0", "v1") for change in upgrades):
        document = in_written_order(document)
    gone = dropped_spans(before, after) if "layer" in after.type.fields else ()
    return print_moved(document, gone)
