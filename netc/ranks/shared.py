"""Gradient averaging in shared memory, for ranks of one machine; each updates its own slices.

Parameters, the solver's history and all ranks' gradients are in shared memory, and each rank
updates its own slice of each parameter. So nothing is sent: a kernel writes a gradient to its
rank's area, and the other ranks read their slices there::

    dW = Gradient(...)   in the area of this rank
    finish(dW):          (first of an iteration: all ranks meet)
                         own slice of dW  <-  mean of it and of that slice in the others' areas
    Update:              own slice of W and of its history

A gradient that lies elsewhere is copied, but for the slice of its own rank. What a large gradient
is made of may be written in its place (:meth:`SharedSums.start_rows`), and all ranks read all of
it. Nothing runs beside the backward pass: the cores that would move messages are those that
compute.

Where the norm of all gradients is needed (``clip_gradients``) every rank gets whole means: the
first ``finish`` takes the means of all own slices and writes them to every area, and all meet
again. With several passes an iteration, the sums over them are variables that lie in the area.

Who may access what, and when:
    the area      this rank's until all meet in the first ``finish``; then each rank reads its own
                  slices of it, and with whole means writes to them, until the end of the update,
                  behind which all ranks meet again. A mean is written to slices that only this rank
                  reads before; whole means are read behind the second meeting
    parameters    all ranks read them until the first ``finish``: no rank updates before the
                  last has ended its backward pass. Then each slice is its rank's until all meet
                  behind the update
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
        self._ranks, self._memory, self._taken, self._whole = ranks, memory, 0, whole
        self._areas = [self.take(elements) for _ in range(ranks.size)]
        #: Memory in which this rank's gradients may lie, at the offsets of their slots.
        self.gradients = self._areas[ranks.rank]
        self._handed: dict[Slot, Array] = {}
        self._met = False

    def take(self, elements: int) -> Array:
        """Allocate a float32 array of zeros in the shared memory, the same on all ranks."""
        begin = self._taken
        self._taken += room(elements)
        assert self._taken <= self._memory.size, "the arrays of a run are counted beforehand"
        return self._memory[begin : begin + elements]

    def meet(self) -> None:
        """Wait for all ranks; behind an update, what they have written is seen."""
        self._ranks.meet()

    def start(self, at: Slot, gradient: Array) -> None:
        """Write the slices that other ranks update to this rank's area, unless they are there."""
        flat = gradient.reshape(-1)
        self._begin()
        area = _at(self.gradients, at, 0, flat.size)
        if not _same_place(area, flat):
            begin, end = at.part
            for first, last in ((0, begin), (end, flat.size)):
                np.copyto(area[first:last], flat[first:last])
        self._handed[at] = gradient

    def start_rows(self, offset: int, arrays: Sequence[Array]) -> None:
        """Write arrays to this rank's area, one behind the other."""
        self._begin()
        area = self.gradients
        for begin, array in _places(offset, arrays):
            area[begin : begin + array.size] = array.reshape(-1)

    def finish_rows(self, offset: int, arrays: Sequence[Array]) -> list[Array]:
        """The arrays of each rank, those of rank 0 first."""
        self._end()
        return [
            area[begin : begin + array.size].reshape(array.shape)
            for area in self._areas
            for begin, array in _places(offset, arrays)
        ]

    def finish(self, at: Slot) -> Array:
        """The gradient: this rank's slice has been replaced by the mean, or all of it has."""
        self._end()
        gradient = self._handed[at]
        if not self._whole:
            self._mean(at)
        elif not _same_place(area := _at(self.gradients, at, 0, gradient.size), gradient):
            np.copyto(gradient.reshape(-1), area)
        return gradient

    def _begin(self) -> None:
        """Forget what an iteration before handed over."""
        if self._met:
            self._handed, self._met = {}, False

    def _end(self) -> None:
        """Wait until all ranks have ended their backward passes."""
        if not self._met:
            self._met = True
            self.meet()
            if self._whole:
                self._share_means()

    def _mean(self, at: Slot) -> Array:
        """Take the mean of this rank's slice, where the gradient lies."""
        begin, end = at.part
        rows = [_at(area, at, begin, end) for area in self._areas]
        own = rows[self._ranks.rank] = self._handed[at].reshape(-1)[begin:end]
        mean_in_order(rows, own)
        return own

    def _share_means(self) -> None:
        """Take the means of all of this rank's slices, and write them to every area."""
        for at in self._handed:
            mean = self._mean(at)
            for area in self._areas:
                target = _at(area, at, *at.part)
                if not _same_place(target, mean):
                    np.copyto(target, mean)
        self.meet()


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
