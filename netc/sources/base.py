"""The interface of data sources, and what all of them share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.schema.message import Message
from netc.sources.parallel import Readers

Made = TypeVar("Made")


class DataLayer(NamedTuple):
    """A data layer of a net, and what reading depends on besides its text.

    Args:
        layer: the LayerParameter.
        phase: "TRAIN" or "TEST"; the layer's own `phase`, where it has one, else the net's.
        folder: of the text; None where it is in no file.
        seed: of random crops, mirroring and shuffling.
        broken: collects the error message of each record that is skipped; None where a record
            that cannot be read is an error.
    """

    layer: Message
    phase: str
    folder: Path | None = None
    seed: int = 0
    broken: set[str] | None = None

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.layer.get("name"))

    @property
    def tops(self) -> tuple[str, ...]:
        """The names of the layer's tops."""
        return tuple(self.layer.get("top"))

    def fault(self, code: str, message: str, field: str | None = None, *help: str) -> NetcError:
        """An error at the layer, or at its field "block.field"; to be raised by the caller."""
        at, span = self.layer, self.layer.span
        if field is not None:
            block, _, name = field.rpartition(".")
            at = self.layer.get(block) if block else self.layer
            span = at.span_of(name)
        where = f"layer `{self.name}` ({self.layer.get('type')}): " if span else ""
        return NetcError(Diagnostic(code, f"{where}{message}", span, help=help))


class DataSource(Protocol):
    """Batches of one data layer."""

    def batch(self, position: int) -> Mapping[str, Array]:
        """The batch of pass ``position``, counted from 0: top -> float32 array, the batch first.

        Raises:
            NetcError: bad-record, with the key, line or row of the record; file-not-found;
                too-little-memory.
        """


@runtime_checkable
class NamesRecords(Protocol):
    """A source that can name the records in a batch."""

    def batch(self, position: int) -> Mapping[str, Array]:
        """See :meth:`DataSource.batch`."""

    def names(self, position: int) -> list[str]:
        """The name of each record in the batch of a pass: its key, line or row."""


@runtime_checkable
class Ragged(Protocol):
    """A source whose batches have tops of a size that depends on the records."""

    def batch(self, position: int) -> Mapping[str, Array]:
        """See :meth:`DataSource.batch`."""

    def steady(self, batch: Mapping[str, Array]) -> Mapping[str, Array]:
        """The batch with such tops filled up to one of few sizes, by what means nothing."""


class Epochs:
    """The order in which ``count`` records are read: as stored, or shuffled in each epoch.

    The order of an epoch depends only on the seed, the layer's name and the epoch's number.
    ``skip`` records are left out at the start of the first epoch.
    """

    def __init__(
        self, count: int, *, shuffle: bool = False, seed: int = 0, name: str = "", skip: int = 0
    ) -> None:
        self.count, self.shuffle, self.skip = count, shuffle, skip
        self._broken: set[int] = set()
        self._readers = Readers()
        self._key = (seed, name)
        self._known: tuple[int, np.ndarray[tuple[int], np.dtype[np.int64]]] | None = None

    def records(self, position: int, size: int) -> list[int]:
        """The indices of the ``size`` records of a pass; a batch may span two epochs."""
        first = position * size + self.skip
        return [self._standing(index) for index in range(first, first + size)]

    def _standing(self, index: int) -> int:
        """The record of an index, or the one that stands in for it, once it was read."""
        for further in range(self.count if self._broken else 0):
            record = self._record(index + further)
            if record not in self._broken:
                return record
        return self._record(index)

    def whole(
        self, position: int, size: int, source: DataLayer, read: Callable[[int, int], Made]
    ) -> list[Made]:
        """Read the records of a pass: ``read`` is called with a record's index and its place.

        It is called by several threads at once where records are large. Where the source may skip
        broken records, the next readable record takes the place of each.

        Raises:
            NetcError: what ``read`` raises, unless it concerns a record that may be skipped and
                another one can be read.
        """
        first = position * size + self.skip
        return self._readers.read(size, lambda at: self._whole(first + at, at, source, read))

    def _whole(
        self, index: int, place: int, source: DataLayer, read: Callable[[int, int], Made]
    ) -> Made:
        for further in range(self.count):
            try:
                return read(self._record(index + further), place)
            except NetcError as error:
                fault = error.diagnostics[0]
                if source.broken is None or fault.code not in ("bad-record", "file-not-found"):
                    raise
                source.broken.add(fault.message)
                self._broken.add(self._record(index + further))
        raise source.fault("bad-record", f"none of {self.count} records can be read")

    def _record(self, index: int) -> int:
        epoch, place = divmod(index, self.count)
        return int(self._order(epoch)[place]) if self.shuffle else place

    def _order(self, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        known = self._known  # another thread may be at another epoch
        if known is None or known[0] != epoch:
            order = draws(self._key[0], self._key[1], epoch).permutation(self.count)
            known = self._known = (epoch, order)
        return known[1]


def check_known(source: DataLayer, message: Message, known: Collection[str]) -> None:
    """Refuse fields that a kind of layer has no definition of, unless they have their defaults.

    Raises:
        NetcError: unsupported-data-field, at the field.
    """
    for name in message.entries:
        field = message.type.fields[name]
        plain = field.kind != "message" and message.get(name) == field.default
        if name not in known and not plain:
            raise message.error(
                name,
                "unsupported-data-field",
                f"layer `{source.name}` ({source.layer.get('type')}): `{name}` is a field of some "
                "forks that netc does not read data by",
                "remove it, or feed the net the arrays themselves",
            )


def draws(seed: int, name: str, *counters: int) -> np.random.Generator:
    """A random generator (Philox) that depends only on a seed, a layer's name and counters."""
    words = [seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF, *name.encode(), *counters]
    # An array of words is what a list of them is made into, word by word: a third of the time.
    entropy = words if max(words) >> 32 else np.array(words, np.uint32)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))


def stacked(arrays: Sequence[Array], source: DataLayer, what: Sequence[str]) -> Array:
    """Stack pictures of (channels, height, width) to a batch; ``what`` names each for messages.

    Raises:
        NetcError: bad-record, naming two whose shapes differ.
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
