"""The Split layers that Caffe inserts where a blob is used more than once.

netc needs no copies and has no such layers; Caffe's logs and weight files have their names
(BVLC/caffe src/caffe/util/insert_splits.cpp).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from netc.schema.message import Message


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


def splits(layers: Sequence[Message]) -> tuple[Split, ...]:
    """The Split layers of a net, in the order of the layers that produce their blobs.

    A weight in the loss that is written counts as a reader. That of a loss layer without
    `loss_weight` does not: it is set when the layer is set up, after the Splits are made.

    Args:
        layers: those of the net in its state, in order.
    """
    made: list[tuple[str, str, int, float]] = []  # blob, layer, which of its tops, loss
    latest: dict[str, int] = {}
    readers: Counter[int] = Counter()
    for layer in layers:
        for blob in layer.get("bottom"):
            if blob in latest:
                readers[latest[blob]] += 1
        losses = tuple(layer.get("loss_weight"))
        for index, blob in enumerate(layer.get("top")):
            loss = float(losses[index]) if index < len(losses) else 0.0
            latest[blob] = len(made)
            readers[len(made)] += bool(loss)
            made.append((blob, layer.get("name"), index, loss))
    return tuple(
        Split(blob, name, index, readers[number], loss)
        for number, (blob, name, index, loss) in enumerate(made)
        if readers[number] > 1
    )


def split_names(layers: Sequence[Message]) -> tuple[str, ...]:
    """The names of the Split layers of a net; see :func:`splits`."""
    return tuple(split.name for split in splits(layers))
