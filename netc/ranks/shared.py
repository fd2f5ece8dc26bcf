"""Gradient averaging in shared memory, for ranks of one machine; each updates its own slices.

Parameters, the solver's history and all ranks' gradients are in shared memory, and each rank
updates its own slice of each parameter. So nothing is sent: a kernel writes a gradient to its
rank's area, and the other ranks read their slices there::

    dW = Gradient(...)   in the area of this rank
    wait():              all ranks meet
    Update:              own slice of W and of its history  <-  that slice of dW in all areas

An update that reads all areas takes the mean itself. For others ``finish`` does, where the gradient
lies. A gradient that lies elsewhere is copied, but for the slice of its own rank. What a large
gradient is made of may be written in its place (:meth:`SharedSums.start_rows`), and all ranks read
all of it. Nothing runs beside the backward pass: the cores that would move messages are those that
compute.

Where the norm of all gradients is needed (``clip_gradients``) every rank gets whole means: the
first ``wait`` takes the means of all own slices and writes them to every area, and all meet
again. With several passes an iteration, the sums over them are variables that lie in the area.

Who may access what, and when:
    the area      this rank's until all meet in the first ``wait``; then each rank reads its own
                  slices of it, and with whole means writes to them, until the end of the update,
                  behind which all ranks meet again. A mean is written to slices that only this rank
                  reads before; whole means are read behind the second meeting
    parameters    all ranks read them until the first ``wait``: no rank updates before the
                  last has ended its backward pass. Then each slice is its rank's until all meet
                  behind the update
    packed        weights as kernels read them (netc.backends.shared.joint): as the parameters, but
                  made behind the update, and all meet once more
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from netc.ir.graph import Array
from netc.ops.ranks import Ranks, Slot, room
from netc.ranks.sums import mean_in_order


class SharedSums:
    """Averages, for each rank, its own slices of all ranks' gradients.

    Args:
        ranks: the group, all on one machine.
        memory: float32 shared memory; arrays are allocated from its front, in the same order on
            all ranks.
        elements: of a rank's gradients, each with its :func:`~netc.ops.ranks.room`.
        whole: every rank gets the means of all elements, not of its slices alone.
    """

    def __init__(self, ranks: Ranks, memory: Array, elements: int, whole: bool = False) -> None:
        self._ranks, self._memory, self._taken = ranks, memory, 0
        #: Whether every rank gets whole means.
        self.whole = whole
        #: (ranks, elements): memory in which the gradients of each rank may lie, at the offsets of
        #: their slots.
        self.areas = self.take(ranks.size * room(elements)).reshape(ranks.size, room(elements))
        self.gradients = self.areas[ranks.rank]
        #: Called behind each update, when all have met; then they meet again.
        self.behind_update: Callable[[], None] | None = None
        self._handed: dict[Slot, Array] = {}
        self._met = False

    def take(self, elements: int) -> Array:
        """Allocate a float32 array of zeros in the shared memory, the same on all ranks."""
        begin = self._taken
        self._taken += room(elements)
        assert self._taken <= self._memory.size, "the arrays of a run are counted beforehand"
        return self._memory[begin : begin + elements]

    def updated(self) -> None:
        """End an iteration on all ranks: each sees what the others have written."""
        self._handed, self._met = {}, False
        self._ranks.meet()
        if self.behind_update is not None:
            self.behind_update()
            self._ranks.meet()

    def start(self, at: Slot, gradient: Array) -> None:
        """Write the slices that other ranks update to this rank's area, unless they are there.

        A gradient that lies there need not be started where each rank has its slices alone.
        """
        flat = gradient.reshape(-1)
        area = _at(self.gradients, at, 0, flat.size)
        if not _same_place(area, flat):
            begin, end = at.part
            for first, last in ((0, begin), (end, flat.size)):
                np.copyto(area[first:last], flat[first:last])
        self._handed[at] = gradient

    def start_rows(self, offset: int, arrays: Sequence[Array]) -> None:
        """Write arrays to this rank's area, one behind the other."""
        area = self.gradients
        for begin, array in _places(offset, arrays):
            area[begin : begin + array.size] = array.reshape(-1)

    def finish_rows(self, offset: int, arrays: Sequence[Array]) -> list[Array]:
        """The arrays of each rank, those of rank 0 first."""
        self.wait()
        return [
            area[begin : begin + array.size].reshape(array.shape)
            for area in self.areas
            for begin, array in _places(offset, arrays)
        ]

    def finish(self, at: Slot) -> Array:
        """The gradient: this rank's slice has been replaced by the mean, or all of it has.

        One that was not started lies in this rank's area: flat, and only its slice is given.
        """
        self.wait()
        gradient = self._handed.get(at)
        if gradient is None or not self.whole:
            mean = self._mean(at)
            return mean if gradient is None else gradient
        if not _same_place(area := _at(self.gradients, at, 0, gradient.size), gradient):
            np.copyto(gradient.reshape(-1), area)
        return gradient

    def wait(self) -> None:
        """Wait until all ranks have ended their backward passes; later calls do nothing."""
        if not self._met:
            self._met = True
            self._ranks.meet()
            if self.whole:
                self._share_means()

    def _mean(self, at: Slot) -> Array:
        """Take the mean of this rank's slice, where the gradient lies."""
        begin, end = at.part
        rows = [_at(area, at, begin, end) for area in self.areas]
        if at in self._handed:
            rows[self._ranks.rank] = self._handed[at].reshape(-1)[begin:end]
        own = rows[self._ranks.rank]
        mean_in_order(rows, own)
        return own

    def _share_means(self) -> None:
        """Take the means of all of this rank's slices, and write them to every area."""
        for at in self._handed:
            mean = self._mean(at)
            for area in self.areas:
                target = _at(area, at, *at.part)
                if not _same_place(target, mean):
                    np.copyto(target, mean)
        self._ranks.meet()


def _at(area: Array, at: Slot, begin: int, end: int) -> Array:
    """Elements ``begin`` to ``end`` of a gradient in an area."""
    return area[at.offset + begin : at.offset + end]


def _same_place(one: Array, other: Array) -> bool:
    return one.ctypes.data == other.ctypes.data


def _places(offset: int, arrays: Sequence[Array]) -> Iterator[tuple[int, Array]]:
    """Where each array begins, from an offset on."""
    for array in arrays:
        yield offset, array
        offset += array.size
