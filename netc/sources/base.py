"""What a source is, and what all of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.schema.message import Message


class DataLayer(NamedTuple):
    """A data layer of a net, and what its reading depends on besides its text.

    Args:
        layer: the LayerParameter.
        phase: "TRAIN" or "TEST".
        folder: of the text; None where it is in no file.
        seed: of random crops, mirroring and shuffling.
    """

    layer: Message
    phase: str
    folder: Path | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.layer.get("name"))

    @property
    def tops(self) -> tuple[str, ...]:
        """The blobs it makes."""
        return tuple(self.layer.get("top"))

    def fault(self, code: str, message: str, field: str | None = None, *help: str) -> NetcError:
        """An error at the layer, to be raised by the caller; ``field`` is "block.field" of it."""
        at, span = self.layer, self.layer.span
        if field is not None:
            block, _, name = field.rpartition(".")
            at = self.layer.get(block) if block else self.layer
            span = at.span_of(name)
        text = f"layer `{self.name}` ({self.layer.get('type')}): {message}"
        return NetcError(Diagnostic(code, text, span, help=help))


class DataSource(Protocol):
    """Batches of one data layer."""

    def batch(self, position: int) -> Mapping[str, Array]:
        """The batch of a pass, from 0: top -> float32 array.

        Raises:
            NetcError: bad-record, with the key, line or row of what cannot be read.
        """


@runtime_checkable
class NamesRecords(Protocol):
    """A source that can tell which records a batch is made of."""

    def batch(self, position: int) -> Mapping[str, Array]:
        """As of :class:`DataSource`."""

    def names(self, position: int) -> list[str]:
        """Each record of a pass, by its key, line or row."""


class Epochs:
    """In which order records are read: as they stand, or in another order in each epoch.

    The order of an epoch follows from the seed, the layer and the epoch alone.
    """

    def __init__(self, count: int, *, shuffle: bool = False, seed: int = 0, name: str = "") -> None:
        self.count, self.shuffle = count, shuffle
        self._key = (seed, name)
        self._known: tuple[int, np.ndarray[tuple[int], np.dtype[np.int64]]] | None = None

    def records(self, position: int, size: int) -> list[int]:
        """The records of a pass: ``size`` of them, going over the ends of epochs."""
        first = position * size
        return [self._record(index) for index in range(first, first + size)]

    def _record(self, index: int) -> int:
        epoch, place = divmod(index, self.count)
        return int(self._order(epoch)[place]) if self.shuffle else place

    def _order(self, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        if self._known is None or self._known[0] != epoch:
            order = draws(self._key[0], self._key[1], epoch).permutation(self.count)
            self._known = (epoch, order)
        return self._known[1]


def draws(seed: int, name: str, *counters: int) -> np.random.Generator:
    """A generator that depends on a seed, a layer's name and counters alone (Philox)."""
    words = [seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF, *name.encode(), *counters]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))


def stacked(arrays: Sequence[Array], source: DataLayer, what: Sequence[str]) -> Array:
    """Pictures of one batch, which must have one shape.

    Raises:
        NetcError: bad-record, naming two that differ.
    """
    for array, name in zip(arrays, what, strict=True):
        if array.shape != arrays[0].shape:
            raise source.fault(
                "bad-record",
                f"{name} is {array.shape}, and {what[0]} of the same batch is {arrays[0].shape}",
                None,
                "resize or crop them to one size, or take batches of one",
            )
    return np.stack(arrays)
