"""The Split layers that Caffe inserts where a blob is used more than once.

netc needs no copies and has no such layers; Caffe's logs and weight files have their names
(BVLC/caffe src/caffe/util/insert_splits.cpp).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from netc.schema.message import Entry, Message


class Split(NamedTuple):
    """A Split layer.

    Args:
        blob: that it copies.
        layer: the name of the layer that makes the blob.
        top: which of that layer's tops it is.
        copies: how many there are.
        loss: the blob's weight in the loss, 0 for none. The first copy has it, and is read by no
            layer, so that it is an output of the net.
    """

    blob: str
    layer: str
    top: int
    copies: int
    loss: float

    @property
    def name(self) -> str:
        """As Caffe calls it (SplitLayerName)."""
        return f"{self.blob}_{self.layer}_{self.top}_split"

    @property
    def first_reader(self) -> int:
        """Which copy the first layer that reads the blob gets."""
        return int(bool(self.loss))


class NumberedLayer(NamedTuple):
    """A layer, and its number among those of the text; None for a Split layer."""

    number: int | None
    layer: Message


Place = tuple[int, int]  # of a top or a bottom: its layer's number and its own


class _Reading(NamedTuple):
    """All tops in order, as Splits of however many copies, and the top that each bottom reads."""

    tops: Mapping[Place, Split]
    sources: Mapping[Place, Place]


def splits(layers: Sequence[Message]) -> tuple[Split, ...]:
    """The Split layers of a net, in the order of the layers that produce their blobs.

    A weight in the loss that is written counts as a reader. That of a loss layer without
    `loss_weight` does not: it is set when the layer is set up, after the Splits are made.

    Args:
        layers: those of the net in its state, in order.
    """
    return tuple(split for split in _read(layers).tops.values() if split.copies > 1)


def split_names(layers: Sequence[Message]) -> tuple[str, ...]:
    """The names of the Split layers of a net; see :func:`splits`."""
    return tuple(split.name for split in splits(layers))


def with_splits(layers: Sequence[Message]) -> tuple[NumberedLayer, ...]:
    """The layers of a net with Caffe's Split layers among them, which their readers read.

    A layer with a weight in the loss that moves to a Split loses all of its weights, those of its
    other tops too, as in Caffe.

    Args:
        layers: those of the net in its state, in order.
    """
    reading, given, found = _read(layers), Counter[Place](), list[NumberedLayer]()
    made: defaultdict[int, list[Split]] = defaultdict(list)
    for (maker, _), split in reading.tops.items():
        if split.copies > 1:
            made[maker].append(split)
    for number, layer in enumerate(layers):
        bottoms = []
        for index, entry in enumerate(layer.entries.get("bottom", ())):
            place = reading.sources.get((number, index))
            read = None if place is None else reading.tops[place]
            if place is not None and read is not None and read.copies > 1:
                copy = read.first_reader + given[place]
                entry = entry._replace(value=f"{read.name}_{copy}")
                given[place] += 1
            bottoms.append(entry)
        own = made[number]
        weights = () if any(split.loss for split in own) else layer.entries.get("loss_weight", ())
        layer = layer.with_entries(bottom=tuple(bottoms), loss_weight=weights)
        found += [
            NumberedLayer(number, layer),
            *(NumberedLayer(None, _layer(layer, split)) for split in own),
        ]
    return tuple(found)


def _read(layers: Sequence[Message]) -> _Reading:
    latest: dict[str, Place] = {}
    sources: dict[Place, Place] = {}
    readers: Counter[Place] = Counter()
    tops: dict[Place, Split] = {}
    for number, layer in enumerate(layers):
        for index, blob in enumerate(layer.get("bottom")):
            if blob in latest:
                sources[number, index] = latest[blob]
                readers[latest[blob]] += 1
        losses = tuple(layer.get("loss_weight"))
        for index, blob in enumerate(layer.get("top")):
            place = latest[blob] = number, index
            loss = float(losses[index]) if index < len(losses) else 0.0
            readers[place] += bool(loss)
            tops[place] = Split(blob, layer.get("name"), index, 0, loss)
    counted = {place: split._replace(copies=readers[place]) for place, split in tops.items()}
    return _Reading(counted, sources)


def _layer(maker: Message, split: Split) -> Message:
    """The Split layer's definition (ConfigureSplitLayer)."""
    weights = (split.loss, *(0.0 for _ in range(split.copies - 1))) if split.loss else ()
    entries = {
        "name": (Entry(split.name),),
        "type": (Entry("Split"),),
        "bottom": (Entry(split.blob),),
        "top": tuple(Entry(f"{split.name}_{copy}") for copy in range(split.copies)),
        "loss_weight": tuple(map(Entry, weights)),
    }
    return Message(maker.type, {name: e for name, e in entries.items() if e}, maker.span)
