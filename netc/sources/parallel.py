"""Records of a batch read by several threads, in the batch's order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

import numpy as np

from netc.backends.threads import thread_count

Made = TypeVar("Made")

_MAX_THREADS = 8  # threads for one layer
_WORTH = 1 << 16  # bytes of a record's arrays: smaller ones are read before a thread has woken up


class Readers:
    """Threads that read the records of one layer; they are started when there is work for them.

    A record is read by one of them alone and results do not depend on which. Decoding runs beside
    other threads; what Python itself does, such as reading small records, does not, so small ones
    are read by the caller. No more records are in work than a batch has.

    Args:
        threads: how many; None for as many as run a net, at most 8.

    Raises:
        NetcError: thread-count, where ``NETC_NUM_THREADS`` is no number.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._threads = min(_MAX_THREADS, thread_count(None)) if threads is None else threads
        self._pool: ThreadPoolExecutor | None = None

    def read(self, count: int, read: Callable[[int], Made]) -> list[Made]:
        """``read(place)`` for each place of a batch, in order.

        The first is read before all others: it is the one that checks whether there is memory.

        Raises:
            what ``read`` raises at the first place where it does.
        """
        made = [read(place) for place in range(min(count, 1))]
        if count < 3 or self._threads < 2 or _size(made[0]) < _WORTH:
            return made + [read(place) for place in range(1, count)]
        return made + list(self._together(range(1, count), read))

    def _together(self, places: range, read: Callable[[int], Made]) -> Iterator[Made]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="netc decoding")
        # Each task has a copy of the context: limits of memory are found in it.
        tasks: list[Future[Made]] = [
            self._pool.submit(copy_context().run, read, place) for place in places
        ]
        try:
            for task in tasks:
                yield task.result()
        finally:
            for task in tasks:
                task.cancel()


def _size(made: object) -> int:
    """Bytes of a record's arrays."""
    parts = made if isinstance(made, tuple) else (made,)
    return sum(part.nbytes for part in parts if isinstance(part, np.ndarray))
