"""`netc run` on many files: runs the batches, joins the outputs, and averages over crops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from netc.cli.feeds import LoadedFeeds
from netc.cli.items import Feed
from netc.compiled import CompiledNet
from netc.ir.graph import Array
from netc.predict.boxes import FedPicture

TOGETHER = 64  # files that are read and run at once


@dataclass(frozen=True, slots=True)
class Answers:
    """Outputs for all items, and what the items are called.

    Attributes:
        results: output blob -> array.
        items: a name for each; empty where none is known.
        pictures: of each item, None where it was no image.
    """

    results: dict[str, Array]
    items: list[str]
    pictures: list[FedPicture | None]


def batches(files: Sequence[Feed]) -> list[list[Feed]]:
    """The files in batches, as long as they are all for one input."""
    if len({item.blob for item in files}) != 1 or any(not item.blob for item in files):
        return [list(files)]
    return [list(files[at : at + TOGETHER]) for at in range(0, len(files), TOGETHER)]


def answers(
    net: CompiledNet,
    first: LoadedFeeds,
    others: Sequence[Sequence[Feed]],
    load: Callable[[Sequence[Feed]], LoadedFeeds],
    boxes: frozenset[str],
    everything: Sequence[Feed],
) -> Answers:
    """Run all batches.

    A net with an output that has no entry per item, such as a loss, is run on all files at once.

    Args:
        net: compiled for the first batch.
        first: what the first batch holds.
        others: the files of the batches after it.
        load: reads a batch.
        boxes: the outputs that are rows of boxes, each with its item's number in front.
        everything: the files of all batches.
    """
    start = answer(net, first)
    if not others:
        return start
    if not _per_item(start, boxes):
        return answer(net, load(everything))
    parts = [start, *(answer(net, load(batch)) for batch in others)]
    return _joined(parts, boxes)


def answer(net: CompiledNet, loaded: LoadedFeeds) -> Answers:
    """Run one batch; outputs of ten crops of each item are averaged."""
    blob = _main(loaded)
    items = loaded.names.get(blob, [])
    crops = loaded.crops.get(blob, 1)
    results = net(loaded.arrays)
    if crops > 1:
        results = {name: _mean(a, crops, len(items)) for name, a in results.items()}
    return Answers(dict(results), items, loaded.pictures.get(blob, []))


def _main(loaded: LoadedFeeds) -> str:
    """The input whose files answers are called by: of images, else the first."""
    with_images = [blob for blob, known in loaded.pictures.items() if any(known)]
    return next(iter([*with_images, *loaded.names]), "")


def _mean(array: Array, crops: int, items: int) -> Array:
    if array.ndim == 0 or array.shape[0] != crops * items:
        return array
    return np.asarray(array.reshape(items, crops, *array.shape[1:]).mean(1), dtype=np.float32)


def _per_item(part: Answers, boxes: frozenset[str]) -> bool:
    number = len(part.items)
    return all(
        name in boxes or (array.ndim > 0 and array.shape[0] == number)
        for name, array in part.results.items()
    )


def _joined(parts: Sequence[Answers], boxes: frozenset[str]) -> Answers:
    results = {
        name: _rows(parts, name)
        if name in boxes
        else np.concatenate([part.results[name] for part in parts])
        for name in parts[0].results
    }
    return Answers(
        results,
        [name for part in parts for name in part.items],
        [picture for part in parts for picture in part.pictures],
    )


def _rows(parts: Sequence[Answers], name: str) -> Array:
    """Rows of boxes of all batches, the items counted on; one row of -1 where there are none."""
    found = list(_counted(parts, name))
    kept = [rows[rows[:, 0] >= 0] for rows in found]
    rows = np.concatenate(kept)
    return (rows if len(rows) else found[0][:1])[None, None]


def _counted(parts: Sequence[Answers], name: str) -> Iterator[Array]:
    start = 0
    for part in parts:
        rows = part.results[name].reshape(-1, part.results[name].shape[-1]).copy()
        rows[rows[:, 0] >= 0, 0] += start
        start += len(part.items)
        yield rows
