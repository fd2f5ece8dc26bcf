"""The sources of all data layers of a net, with read-ahead."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from netc.diagnostics import Collector, NetcError
from netc.ir.graph import Array
from netc.lower.complaints import passed_over
from netc.lower.rules import NetState, filter_layers, merged_state
from netc.schema.message import Message
from netc.sources.annotated import AnnotatedSource
from netc.sources.base import DataLayer, DataSource, NamesRecords, Ragged
from netc.sources.database import DatabaseSource
from netc.sources.dense_images import DenseImageSource
from netc.sources.hdf5_rows import Hdf5Source
from netc.sources.image_list import ImageListSource
from netc.sources.image_seg import ImageSegSource
from netc.sources.share import WHOLE, RankShare
from netc.sources.windows import WindowSource

SOURCES: Mapping[str, Callable[[DataLayer], DataSource]] = MappingProxyType(
    {
        "AnnotatedData": AnnotatedSource,
        "Data": DatabaseSource,
        "DenseImageData": DenseImageSource,
        "HDF5Data": Hdf5Source,
        "ImageData": ImageListSource,
        "ImageSegData": ImageSegSource,
        "WindowData": WindowSource,
    }
)

Wrong = Callable[[Array], NDArray[np.bool_]]

_AHEAD = 2  # batches that are read before they are asked for
_MOMENT = 0.001  # seconds in which a step gets into machine code


class NetSources:
    """The batches of all data layers of a net: call it with the number of a pass, from 0."""

    def __init__(
        self,
        sources: Mapping[str, DataSource],
        broken: Collection[str] | None = None,
        share: RankShare = WHOLE,
        *,
        steady: bool = False,
    ) -> None:
        self.sources = sources
        self._steady = steady
        self.share = share
        self.broken = broken  # what is wrong with each record that was left out
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="netc data")
        self._ahead: dict[int, Future[dict[str, Array]]] = {}
        self._hurry = Event()  # a batch is waited for

    def __call__(self, position: int) -> Mapping[str, Array]:
        """The batch of a pass: blob -> array. The next ones are read meanwhile."""
        wanted = range(position, position + 1 + _AHEAD)
        self._ahead = {p: f for p, f in self._ahead.items() if p in wanted}
        for place in wanted:
            if place not in self._ahead:
                task = self._read if place == position else self._read_ahead
                self._ahead[place] = self._threads.submit(copy_context().run, task, place)
        self._hurry.set()
        found = self._ahead.pop(position).result()
        self._hurry.clear()
        return found

    def _read_ahead(self, position: int) -> dict[str, Array]:
        """Read the batch of a later pass, once the step of the last one is under way.

        Python runs one thread at a time: until the step is in machine code this one would hold it
        up. Nobody waits a moment for batches that are late.
        """
        self._hurry.wait(_MOMENT)
        return self._read(position)

    def records_where(self, position: int, wrong: Wrong, *, labels: bool) -> list[str]:
        """The names of the records of a pass that have a wrong number.

        Args:
            position: the number of the pass.
            wrong: array -> mask of its wrong numbers.
            labels: whether to check all tops of a layer but the first, which has the pictures.
        """
        return self._threads.submit(self._where, position, wrong, labels).result()

    def _where(self, position: int, wrong: Wrong, labels: bool) -> list[str]:
        found: dict[str, None] = {}
        for source in self.sources.values():
            if isinstance(source, NamesRecords):
                batch = self.share.batch(position)
                arrays = list(source.batch(batch).values())[1 if labels else 0 :]
                names = source.names(batch)
                for number, name in enumerate(names):
                    own = (_of_record(array, number, len(names)) for array in arrays)
                    if any(wrong(array).any() for array in own):
                        found[name] = None
        return list(found)

    def _read(self, position: int) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for source in self.sources.values():
            batch = source.batch(self.share.batch(position))
            if self._steady and isinstance(source, Ragged):
                batch = source.steady(batch)
            found.update(batch)
        return found


def _of_record(array: Array, number: int, count: int) -> Array:
    """What of a top belongs to a record: its item, or the rows of a list that begin with it."""
    if len(array) == count:
        return np.asarray(array[number])
    rows = array.reshape(-1, array.shape[-1])
    return np.asarray(rows[rows[:, 0] == number])


def open_sources(
    net: Message,
    state: NetState,
    folder: Path | None = None,
    seed: int = 0,
    *,
    skip_broken: bool = False,
    share: RankShare = WHOLE,
    steady: bool = False,
) -> NetSources | None:
    """The sources of a net's data layers in a NetState; None where it has none that netc reads.

    With ``skip_broken`` records that cannot be read are skipped, and the next ones take their
    place. ``share`` says which of the run's batches this rank takes. With ``steady`` lists of
    boxes are filled up, so that few shapes come: each shape is planned for itself.

    Raises:
        NetcError: unknown-data-field, file-not-found, bad-record, out-of-range, missing-package,
            at the layer.
    """
    layers = filter_layers(net, merged_state(net, state), Collector())
    _check_known([layer for layer in layers if layer.get("type") in SOURCES])
    broken: set[str] | None = set() if skip_broken else None
    found = {
        layer.get("name"): SOURCES[layer.get("type")](
            DataLayer(layer, _phase(layer, state), folder, seed, broken)
        )
        for layer in layers
        if layer.get("type") in SOURCES
    }
    return NetSources(found, broken, share, steady=steady) if found else None


def _check_known(layers: Sequence[Message]) -> None:
    """Check that no field of data layers was passed over: their data would be read otherwise.

    Raises:
        NetcError: unknown-data-field.
    """
    errors = [replace(d, severity="error") for layer in layers for d in passed_over(layer)]
    if errors:
        raise NetcError(errors)


def _phase(layer: Message, state: NetState) -> str:
    """A layer's own `phase`, else the net's (net.cpp, Init)."""
    return str(layer.get("phase")) if layer.has("phase") else state.phase
