"""Gradient averaging in shared memory, for ranks of one machine; each updates its own slices.

Parameters and the solver's history are in shared memory once for all ranks, and each rank updates
its own slice of each parameter. So neither parameters nor means are sent: a rank writes the slices
of its gradients that others update, and reads theirs::

    start(dW):   area of this rank  <-  the others' slices of dW
    finish(dW):  (first of an iteration: all ranks meet)
                 own slice of dW    <-  mean of it and of this rank's slice in the others' areas
    Update:      own slice of W and of its history

A rank of two reads and writes half as many bytes as with messages, about as many as one rank alone
does for its update. Nothing runs beside the backward pass: the cores that would move messages are
those that compute.

Who may access what, and when:
    the area      this rank's until all meet in the first ``finish``; then the others read it until
                  the end of the update, behind which all ranks meet again (the solver takes the
                  mean of the losses there)
    parameters    all ranks read them until the first ``finish``: no rank updates before the
                  last has ended its backward pass. Then each slice is its rank's until all meet
                  behind the update
"""

from __future__ import annotations

import numpy as np

from netc.ir.graph import Array
from netc.ops.ranks import Ranks, Slot, slice_of
from netc.ranks.sums import mean_in_order

_LINE = 16  # elements: arrays begin at cache lines


def room(elements: int) -> int:
    """An array's number of elements rounded up, so that the next one starts at a cache line."""
    return -(-elements // _LINE) * _LINE


class SharedSums:
    """Averages, for each rank, its own slices of all ranks' gradients.

    Args:
        ranks: the group, all on one machine.
        memory: float32 shared memory; arrays are allocated from its front, in the same order on
            all ranks.
    """

    def __init__(self, ranks: Ranks, memory: Array) -> None:
        self._ranks, self._memory, self._taken = ranks, memory, 0
        self._areas: dict[int, list[Array]] = {}
        self._gradients: dict[int, Array] = {}
        self._met = False

    def take(self, elements: int) -> Array:
        """Allocate a float32 array of zeros in the shared memory, the same on all ranks."""
        begin = self._taken
        self._taken += room(elements)
        assert self._taken <= self._memory.size, "the arrays of a run are counted beforehand"
        return self._memory[begin : begin + elements]

    def start(self, at: Slot, gradient: Array) -> None:
        """Write the slices of a gradient that other ranks update to this rank's area."""
        ranks, flat = self._ranks, gradient.reshape(-1)
        self._met = False
        if at.bucket not in self._areas:
            self._areas[at.bucket] = [self.take(flat.size) for _ in range(ranks.size)]
        area = self._areas[at.bucket][ranks.rank]
        begin, end = slice_of(flat.size, ranks.rank, ranks.size)
        for first, last in ((0, begin), (end, flat.size)):
            np.copyto(area[first:last], flat[first:last])
        self._gradients[at.bucket] = gradient

    def finish(self, at: Slot) -> Array:
        """The gradient, whose own slice of this rank has been replaced by the mean."""
        if not self._met:
            self._ranks.meet()
            self._met = True
        gradient, rank = self._gradients[at.bucket], self._ranks.rank
        own = slice(*slice_of(gradient.size, rank, self._ranks.size))
        rows = [area[own] for area in self._areas[at.bucket]]
        rows[rank] = gradient.reshape(-1)[own]
        mean_in_order(rows, rows[rank])
        return gradient
