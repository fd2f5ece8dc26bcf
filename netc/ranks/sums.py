"""Averages buckets of gradients over ranks, on a separate thread and in a fixed order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from queue import SimpleQueue

import numpy as np

from netc.ir.graph import Array
from netc.memory import check_memory
from netc.ops.ranks import Slot


def bounds(elements: int, ranks: int) -> list[int]:
    """The ``ranks`` + 1 bounds of the slices of a flat array; rank r sums slice r of all ranks."""
    return [elements * rank // ranks for rank in range(ranks + 1)]


def slices_of(flat: Array, ranks: int) -> list[Array]:
    """The slices themselves."""
    return [flat[begin:end] for begin, end in pairwise(bounds(flat.size, ranks))]


class Bucket:
    """The gradients that are averaged in one message.

    A single gradient is sent from its own memory; several are packed one after the other.

    Args:
        rank: this rank's number, from 0.
        ranks: the number of ranks.
        count: the number of gradients in the bucket.
    """

    def __init__(self, rank: int, ranks: int, count: int) -> None:
        self._rank, self._ranks = rank, ranks
        self.gradients: list[Array | None] = [None] * count
        self._missing = count
        self._packed: Array | None = None
        self._received: Array | None = None
        self.done = threading.Event()

    def add(self, index: int, gradient: Array) -> bool:
        """Add a gradient in C order at its index; True if the bucket is now complete."""
        if self._missing == 0:  # the next iteration
            self.done.clear()
            self._missing = len(self.gradients)
        self.gradients[index] = gradient
        self._missing -= 1
        return self._missing == 0

    def flat(self) -> Array:
        """All elements as one flat array, to be replaced by their means."""
        given = [g.reshape(-1) for g in self.gradients if g is not None]
        if len(given) == 1:
            return given[0]
        elements = sum(g.size for g in given)
        if self._packed is None or self._packed.size != elements:
            check_memory(4 * elements, "gradients packed for one message")
            self._packed = np.empty(elements, np.float32)
        return np.concatenate(given, out=self._packed)

    def received(self, elements: int) -> Array:
        """Memory for this rank's slice from every rank: one row per rank."""
        begin, end = bounds(elements, self._ranks)[self._rank : self._rank + 2]
        if self._received is None or self._received.shape[1] != end - begin:
            check_memory(4 * (end - begin) * self._ranks, "gradients of other ranks")
            self._received = np.empty((self._ranks, end - begin), np.float32)
        return self._received

    def hand_back(self, flat: Array) -> None:
        """Copy the means in ``flat`` back to the gradients."""
        given = [g for g in self.gradients if g is not None]
        ends = np.cumsum([0, *(g.size for g in given)])
        if len(given) > 1:
            for gradient, (begin, end) in zip(given, pairwise(ends), strict=True):
                gradient.reshape(-1)[...] = flat[begin:end]
        self.done.set()


def mean_in_order(rows: Sequence[Array], out: Array) -> None:
    """The float32 mean of some arrays, summed in their order; ``out`` may be one of them.

    The order of a sum must not depend on which rank is ready first, and MPI_Allreduce may use
    another order for another placement of ranks. A block is summed and divided while it is in the
    cache, so that memory is read once for each row and written once.
    """
    share = np.float32(1 / len(rows))
    total = np.empty(min(_BLOCK, len(out)), np.float32)
    for begin in range(0, len(out), _BLOCK):
        block = total[: min(_BLOCK, len(out) - begin)]
        end = begin + len(block)
        np.add(rows[0][begin:end], rows[1][begin:end], out=block)
        for row in rows[2:]:
            block += row[begin:end]
        np.multiply(block, share, out=out[begin:end])


_BLOCK = 1 << 15  # elements: 128 KB of each row


class Sums:
    """Averages buckets one after the other on a thread of its own: reduce-scatter, then all-gather.

    ``exchange`` sends every other rank its slice: it is called with a bucket's flat array and a row
    for each rank to receive into, except its own. ``collect`` is the all-gather: it is called with
    the flat array, in which this rank's slice is already the mean. The thread makes all calls of
    the communication library for sums, in the order in which buckets are completed; that follows
    from the graph and so is the same on all ranks.
    """

    def __init__(
        self,
        rank: int,
        ranks: int,
        exchange: Callable[[Array, Array], None],
        collect: Callable[[Array], None],
    ) -> None:
        self._rank, self._ranks = rank, ranks
        self._exchange, self._collect = exchange, collect
        self._buckets: dict[int, Bucket] = {}
        self._failed: BaseException | None = None
        self._queue: SimpleQueue[Bucket | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self, at: Slot, gradient: Array) -> None:
        """Hand over a gradient; the last one of a bucket starts its sum."""
        bucket = self._buckets.get(at.bucket)
        if bucket is None or len(bucket.gradients) != at.members:
            bucket = self._buckets[at.bucket] = Bucket(self._rank, self._ranks, at.members)
        if not bucket.add(at.place, gradient):
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="netc ranks", daemon=True)
            self._thread.start()
        self._queue.put(bucket)

    def finish(self, at: Slot) -> Array:
        """Wait for the bucket of this slot; returns the gradient, now the mean over all ranks."""
        bucket = self._buckets[at.bucket]
        bucket.done.wait()
        if self._failed is not None:
            raise self._failed
        gradient = bucket.gradients[at.place]
        assert gradient is not None
        return gradient

    def close(self) -> None:
        """End the thread once it has processed what it was given."""
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (bucket := self._queue.get()) is not None:
            try:
                flat = bucket.flat()
                received = bucket.received(flat.size)
                own = slices_of(flat, self._ranks)[self._rank]
                self._exchange(flat, received)
                rows = [own if rank == self._rank else row for rank, row in enumerate(received)]
                mean_in_order(rows, own)
                self._collect(flat)
                bucket.hand_back(flat)
            except BaseException as error:  # raised in the thread that waits
                self._failed = error
                bucket.done.set()
