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

Who may access what, and when:
    the area      this rank's until all meet in the first ``finish``; then each rank reads its own
                  slices of it until the end of the update, behind which all ranks meet again (the
                  solver takes the mean of the losses there). A mean is written to the slice that
                  only this rank reads
    parameters    all ranks read them until the first ``finish``: no rank updates before the
                  last has ended its backward pass. Then each slice is its rank's until all meet
                  behind the update
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from netc.ir.graph import Array
from netc.ops.ranks import Ranks, Slot, room, slice_of
from netc.ranks.sums import mean_in_order


class SharedSums:
    """Averages, for each rank, its own slices of all ranks' gradients.

    Args:
        ranks: the group, all on one machine.
        memory: float32 shared memory; arrays are allocated from its front, in the same order on
            all ranks.
        elements: of a rank's gradients, each with its :func:`~netc.ops.ranks.room`.
    """

    def __init__(self, ranks: Ranks, memory: Array, elements: int) -> None:
        self._ranks, self._memory, self._taken = ranks, memory, 0
        self._areas = [self.take(elements) for _ in range(ranks.size)]
        #: Memory in which this rank's gradients may lie, at the offsets of their slots.
        self.gradients = self._areas[ranks.rank]
        self._handed: dict[int, Array] = {}
        self._met = False

    def take(self, elements: int) -> Array:
        """Allocate a float32 array of zeros in the shared memory, the same on all ranks."""
        begin = self._taken
        self._taken += room(elements)
        assert self._taken <= self._memory.size, "the arrays of a run are counted beforehand"
        return self._memory[begin : begin + elements]

    def start(self, at: Slot, gradient: Array) -> None:
        """Write the slices that other ranks update to this rank's area, unless they are there."""
        ranks, flat = self._ranks, gradient.reshape(-1)
        self._met = False
        area = self.gradients[at.offset : at.offset + flat.size]
        if area.ctypes.data != flat.ctypes.data:
            begin, end = slice_of(flat.size, ranks.rank, ranks.size)
            for first, last in ((0, begin), (end, flat.size)):
                np.copyto(area[first:last], flat[first:last])
        self._handed[at.bucket] = gradient

    def start_rows(self, offset: int, arrays: Sequence[Array]) -> None:
        """Write arrays to this rank's area, one behind the other."""
        self._met = False
        area = self.gradients
        for begin, array in _places(offset, arrays):
            area[begin : begin + array.size] = array.reshape(-1)

    def finish_rows(self, offset: int, arrays: Sequence[Array]) -> list[Array]:
        """The arrays of each rank, those of rank 0 first."""
        self._meet()
        return [
            area[begin : begin + array.size].reshape(array.shape)
            for area in self._areas
            for begin, array in _places(offset, arrays)
        ]

    def _meet(self) -> None:
        """Wait until all ranks have ended their backward passes."""
        if not self._met:
            self._ranks.meet()
            self._met = True

    def finish(self, at: Slot) -> Array:
        """The gradient, whose own slice of this rank has been replaced by the mean."""
        self._meet()
        gradient, rank = self._handed[at.bucket], self._ranks.rank
        begin, end = slice_of(gradient.size, rank, self._ranks.size)
        rows = [area[at.offset + begin : at.offset + end] for area in self._areas]
        rows[rank] = gradient.reshape(-1)[begin:end]
        mean_in_order(rows, rows[rank])
        return gradient


def _places(offset: int, arrays: Sequence[Array]) -> Iterator[tuple[int, Array]]:
    """Where each array begins, from an offset on."""
    for array in arrays:
        yield offset, array
        offset += array.size
