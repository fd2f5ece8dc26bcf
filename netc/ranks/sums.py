"""Means of buckets over ranks, taken by a thread of their own in a fixed order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from queue import SimpleQueue

import numpy as np

from netc.ir.graph import Array
from netc.memory import check_memory
from netc.ops.ranks import Slot


def bounds(elements: int, ranks: int) -> list[int]:
    """Where the slices of a flat array begin, and its end; rank r adds up slice r of all ranks."""
    return [elements * rank // ranks for rank in range(ranks + 1)]


class Bucket:
    """Some gradients of one message.

    A gradient that has a bucket of its own travels from where it lies. Several are packed one after
    the other.

    Args:
        rank: of how many ranks this is.
        ranks: how many there are.
        count: of the gradients.
    """

    def __init__(self, rank: int, ranks: int, count: int) -> None:
        self._rank, self._ranks = rank, ranks
        self.gradients: list[Array | None] = [None] * count
        self._missing = count
        self._packed: Array | None = None
        self._received: Array | None = None
        self.done = threading.Event()

    def add(self, index: int, gradient: Array) -> bool:
        """Take a gradient in C order; whether it was the last."""
        if self._missing == 0:  # the next iteration
            self.done.clear()
            self._missing = len(self.gradients)
        self.gradients[index] = gradient
        self._missing -= 1
        return self._missing == 0

    def flat(self) -> Array:
        """All elements as one array, which is to become their means."""
        given = [g.reshape(-1) for g in self.gradients if g is not None]
        if len(given) == 1:
            return given[0]
        elements = sum(g.size for g in given)
        if self._packed is None or self._packed.size != elements:
            check_memory(4 * elements, "gradients packed for one message")
            self._packed = np.empty(elements, np.float32)
        return np.concatenate(given, out=self._packed)

    def received(self, elements: int) -> Array:
        """Memory for this rank's slice of all ranks, a row for each."""
        begin, end = bounds(elements, self._ranks)[self._rank : self._rank + 2]
        if self._received is None or self._received.shape[1] != end - begin:
            check_memory(4 * (end - begin) * self._ranks, "gradients of other ranks")
            self._received = np.empty((self._ranks, end - begin), np.float32)
        return self._received

    def hand_back(self, flat: Array) -> None:
        """Let the gradients be what became of ``flat``."""
        given = [g for g in self.gradients if g is not None]
        ends = np.cumsum([0, *(g.size for g in given)])
        if len(given) > 1:
            for gradient, (begin, end) in zip(given, pairwise(ends), strict=True):
                gradient.reshape(-1)[...] = flat[begin:end]
        self.done.set()


def mean_of(received: Array) -> Array:
    """The mean of the rows, added up in the order of the ranks; the first row's memory is taken.

    The order of a sum must not depend on who is ready first; an MPI library's own sums may take
    another order for another placement of the ranks.
    """
    total: Array = received[0]
    for part in received[1:]:
        total += part
    total *= np.float32(1 / len(received))
    return total


class Sums:
    """Buckets handed to one thread, which sums them one after the other.

    ``exchange`` lets every rank have its slice of all (called with a bucket's flat array and the
    rows for what is received), ``collect`` gives every rank all summed slices (called with its own
    and the flat array). All calls of the communication library for sums come from the one thread,
    in the order in which buckets were filled, which is that of the graph and so one order on all
    ranks.
    """

    def __init__(
        self,
        rank: int,
        ranks: int,
        exchange: Callable[[Array, Array], None],
        collect: Callable[[Array, Array], None],
    ) -> None:
        self._rank, self._ranks = rank, ranks
        self._exchange, self._collect = exchange, collect
        self._buckets: dict[int, Bucket] = {}
        self._failed: BaseException | None = None
        self._queue: SimpleQueue[Bucket | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self, at: Slot, gradient: Array) -> None:
        """Take a gradient; with the last one of a bucket its sums begin."""
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
        """Wait for a bucket's means; the gradient of the slot is its mean now."""
        bucket = self._buckets[at.bucket]
        bucket.done.wait()
        if self._failed is not None:
            raise self._failed
        gradient = bucket.gradients[at.place]
        assert gradient is not None
        return gradient

    def close(self) -> None:
        """End the thread after what it was given."""
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (bucket := self._queue.get()) is not None:
            try:
                flat = bucket.flat()
                received = bucket.received(flat.size)
                self._exchange(flat, received)
                self._collect(mean_of(received), flat)
                bucket.hand_back(flat)
            except BaseException as error:  # raised in the thread that waits
                self._failed = error
                bucket.done.set()
