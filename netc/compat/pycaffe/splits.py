"""Caffe's Split layers, by name: what several layers read goes through one (insert_splits.cpp).

netc needs none; they are there for scripts that count layers or look up blobs by Caffe's names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Place = tuple[int, int]  # of a top: its layer's and its own


class Named(NamedTuple):
    """A layer's names; ``losses`` has the weight of each top."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    losses: tuple[float, ...] = ()


def with_splits(layers: Sequence[Named]) -> list[tuple[int, Named]]:
    """The layers with Split layers among them, each with its number; that of a Split is -1."""
    sources, readers = _reading(layers)
    used: Counter[Place] = Counter()
    found: list[tuple[int, Named]] = []
    for number, layer in enumerate(layers):
        bottoms = list(layer.bottoms)
        for index, blob in enumerate(layer.bottoms):
            place = sources.get((number, index))
            if place is not None and readers[place] > 1:
                bottoms[index] = _blob(layers, place, blob, used[place])
                used[place] += 1
        found.append(
            (number, layer._replace(bottoms=tuple(bottoms), losses=_kept(layer, number, readers)))
        )
        for index, blob in enumerate(layer.tops):
            place = (number, index)
            if readers[place] > 1:
                found.append((-1, _split(layers, place, blob, readers[place])))
                used[place] += bool(_loss(layer, index))
    return found


def _reading(layers: Sequence[Named]) -> tuple[Mapping[Place, Place], Counter[Place]]:
    """Each bottom's source, and how often each top is read; a use as a loss counts too."""
    last: dict[str, Place] = {}
    sources: dict[Place, Place] = {}
    readers: Counter[Place] = Counter()
    for number, layer in enumerate(layers):
        for index, blob in enumerate(layer.bottoms):
            if blob in last:
                sources[number, index] = last[blob]
                readers[last[blob]] += 1
        for index, blob in enumerate(layer.tops):
            last[blob] = (number, index)
        for index, blob in enumerate(layer.tops):
            readers[last[blob]] += bool(_loss(layer, index))
    return sources, readers


def _loss(layer: Named, index: int) -> float:
    return layer.losses[index] if index < len(layer.losses) else 0.0


def _kept(layer: Named, number: int, readers: Counter[Place]) -> tuple[float, ...]:
    """The losses that are not moved to a Split layer."""
    return tuple(
        0.0 if readers[number, index] > 1 else loss for index, loss in enumerate(layer.losses)
    )


def _split(layers: Sequence[Named], place: Place, blob: str, number: int) -> Named:
    name = _name(layers, place, blob)
    tops = tuple(f"{name}_{index}" for index in range(number))
    loss = _loss(layers[place[0]], place[1])
    return Named(name, "Split", (blob,), tops, (loss,) if loss else ())


def _name(layers: Sequence[Named], place: Place, blob: str) -> str:
    return f"{blob}_{layers[place[0]].name}_{place[1]}_split"


def _blob(layers: Sequence[Named], place: Place, blob: str, index: int) -> str:
    return f"{_name(layers, place, blob)}_{index}"
