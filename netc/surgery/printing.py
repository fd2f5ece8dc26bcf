"""The text of a net that was operated on, with the comments of the text that it came from."""

from __future__ import annotations

from collections.abc import Iterable

from netc.migrate.change import Change
from netc.schema.convert import to_document
from netc.schema.message import Message
from netc.surgery.build import dropped_spans
from netc.syntax.moved import in_written_order, print_moved


def printed(before: Message, after: Message, upgrades: Iterable[Change] = ()) -> str:
    """The prototxt of ``after``; comments in or right above layers that went go with them.

    Args:
        before: the net that was operated on, in the current format; or a solver.
        after: what became of it.
        upgrades: what had been changed to bring ``before`` to the current format.
    """
    document = to_document(after)
    if not any(change.step in ("v0", "v1") for change in upgrades):
        document = in_written_order(document)
    gone = dropped_spans(before, after) if "layer" in after.type.fields else ()
    return print_moved(document, gone)
