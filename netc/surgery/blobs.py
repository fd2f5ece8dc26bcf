"""Which blobs follow from trained layers, and which nothing reads."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from netc.schema.message import Message
from netc.surgery.heads import learns, role


def learned_blobs(layers: Sequence[Message]) -> frozenset[str]:
    """The tops of layers with trained arrays, and of all layers that depend on them.

    Where no layer has trained arrays, the tops of all layers but data sources.
    """
    found: set[str] = set()
    for layer in layers:
        if learns(layer) or found.intersection(layer.get("bottom")):
            found.update(layer.get("top"))
    if not found:
        found = {top for x in layers if role(x) != "source" for top in x.get("top")}
    return frozenset(found)


def unread_blobs(
    layers: Sequence[Message],
    body: Sequence[Message],
    learned: Collection[str],
    given: Collection[str],
) -> Iterator[str]:
    """Blobs of trained layers that no layer of the body reads: answers besides predictions.

    Args:
        layers: all of them. A blob that one of their losses read is an answer through the loss,
            and one that a layer rewrites is read by that.
        body: the layers that stay.
        learned: blobs that follow from trained layers.
        given: the answers that there are already.
    """
    lost = {b for x in layers if role(x) == "loss" for b in x.get("bottom")}
    read = {b for x in body for b in x.get("bottom") if b not in x.get("top")}
    for layer in body:
        for top in layer.get("top"):
            if top in learned and top not in read and top not in lost and top not in given:
                yield top
