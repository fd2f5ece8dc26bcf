"""Finds the records of a net's data that caused an error in a pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from netc.diagnostics import Diagnostic, NetcError, Note
from netc.ir.graph import Array
from netc.solver.feeds import Feeds
from netc.sources.catalog import NetSources

_LISTED = 3  # records named in one message


@contextmanager
def naming_records(feeds: Feeds) -> Iterator[None]:
    """A context that adds to an error raised inside notes with the records that caused it.

    It searches the batches taken inside, as far as data layers read them, for labels out of range
    and for numbers that are not finite.

    Raises:
        NetcError: the error raised inside, with notes.
    """
    first = feeds.position
    try:
        yield
    except NetcError as error:
        source = feeds.source
        if not isinstance(source, NetSources):
            raise
        taken = range(first, feeds.position)
        raise NetcError(_named(found, source, taken) for found in error.diagnostics) from None


def _named(found: Diagnostic, source: NetSources, taken: range) -> Diagnostic:
    wanted = found.value

    def is_label(array: Array) -> NDArray[np.bool_]:
        return np.asarray(np.trunc(array) == np.float32(0 if wanted is None else wanted))

    def is_not_finite(array: Array) -> NDArray[np.bool_]:
        return np.asarray(~np.isfinite(array))

    if found.code == "label-out-of-range" and wanted is not None:
        what, wrong, labels = f"label {wanted:g} is in", is_label, True
    elif found.code == "not-finite":
        what, wrong, labels = "a number that is not finite is in", is_not_finite, False
    else:
        return found
    names = [name for place in taken for name in source.records_where(place, wrong, labels=labels)]
    if not names:
        return found
    further = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    note = Note(f"{what} {', '.join(names[:_LISTED])}{further}")
    return replace(found, notes=(*found.notes, note))
