"""The names of the Split layers that Caffe inserts where several layers read a blob.

netc needs no copies and has no such layers; Caffe's logs and weight files have their names
(BVLC/caffe src/caffe/util/insert_splits.cpp, SplitLayerName).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from netc.schema.message import Message


def split_names(layers: Sequence[Message]) -> tuple[str, ...]:
    """The names of a net's Split layers, in the order of the layers that produce their blobs.

    Args:
        layers: those of the net in its state, in order.
    """
    made: list[tuple[str, str, int]] = []  # blob, layer, which of its tops
    latest: dict[str, int] = {}
    readers: Counter[int] = Counter()
    for layer in layers:
        for blob in layer.get("bottom"):
            if blob in latest:
                readers[latest[blob]] += 1
        for index, blob in enumerate(layer.get("top")):
            latest[blob] = len(made)
            made.append((blob, layer.get("name"), index))
    return tuple(
        f"{blob}_{name}_{index}_split"
        for number, (blob, name, index) in enumerate(made)
        if readers[number] > 1
    )
