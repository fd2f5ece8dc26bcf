"""The part of a net that some blobs depend on."""

from __future__ import annotations

from collections.abc import Iterable

from netc.schema.message import Message


def layers_before(net: Message, blobs: Iterable[str]) -> Message:
    """The net without layers that none of these blobs depends on, whatever those may be.

    Args:
        net: a NetParameter in the current format.
        blobs: names of blobs, ``blob@layer`` for one before a later layer rewrites it. With a name
            that is no layer's top the net stays as it is, for a later complaint.
    """
    entries = net.entries.get("layer", ())
    tops = {top for entry in entries for top in entry.value.get("top")}
    needed = {name if name in tops else name.partition("@")[0] for name in blobs}
    if not needed <= tops:
        return net
    kept = []
    for entry in reversed(entries):
        if needed.intersection(entry.value.get("top")):
            needed.update(entry.value.get("bottom"))
            kept.append(entry)
    return net.with_entries(layer=tuple(reversed(kept)))
