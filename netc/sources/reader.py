"""Reads the data layers of a compiled net, one batch per call."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.ir.types import Shape
from netc.lower.rules import NetState
from netc.schema.message import Message
from netc.sources.catalog import SOURCES, NetSources, open_sources


class DataReader:
    """Returns batches one after the other; thread-safe.

    Args:
        sources: the sources of the net's data layers.
    """

    def __init__(self, sources: NetSources) -> None:
        self._sources = sources
        self._lock = threading.Lock()
        self._position = 0
        first = sources(0)
        self.shapes: dict[str, Shape] = {name: tuple(a.shape) for name, a in first.items()}
        self._first: Mapping[str, Array] | None = first

    def lacking(self, given: Collection[str]) -> Mapping[str, Array]:
        """Blob -> array of the next batch, for blobs not given; if all are, none is consumed."""
        if all(name in given for name in self.shapes):
            return {}
        with self._lock:
            batch = self._sources(self._position) if self._first is None else self._first
            self._first = None
            self._position += 1
        return {name: array for name, array in batch.items() if name not in given}


def data_reader(message: Message, state: NetState, folder: Path | None, seed: int) -> DataReader:
    """The reader of a net's data layers.

    Args:
        message: the NetParameter.
        state: the NetState, which selects its layers.
        folder: the folder of the net's file, from which paths are resolved.
        seed: of random crops, mirroring and shuffling.

    Raises:
        NetcError: no-data, where the net has no data layer that can be read; file-not-found,
            bad-record and others, at a layer.
    """
    sources = open_sources(message, state, folder, seed, steady=True)
    if sources is None:
        known = ", ".join(f"`{name}`" for name in SOURCES)
        text = f"the net has no data layer in phase {state.phase} that can be read"
        raise NetcError(Diagnostic("no-data", text, help=(f"layers that are read: {known}",)))
    return DataReader(sources)
