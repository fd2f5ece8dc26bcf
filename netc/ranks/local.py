"""Ranks as threads of one process: how distributed training is tested without MPI."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from netc.ir.graph import Array
from netc.ranks.sums import Sums, slices_of


class _Board:
    """Where ranks lay down what the others read."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size)
        self.entries: list[object] = [None] * size

    def exchange(self, rank: int, entry: object) -> list[object]:
        """Every rank's entry, in order."""
        self.entries[rank] = entry
        self.barrier.wait()
        found = list(self.entries)
        self.barrier.wait()
        return found


class LocalRanks:
    """A rank that is one of several threads; see :class:`netc.ops.ranks.Ranks` for its methods.

    Args:
        rank: this rank's number, from 0.
        boards: exchange boards shared by all ranks, one for sums and one for everything else; made
            by :func:`local_ranks`.
    """

    def __init__(self, rank: int, boards: tuple[_Board, _Board]) -> None:
        self.rank, self.size = rank, len(boards[0].entries)
        self._sums_board, self._board = boards
        self._sums = Sums(rank, self.size, self._exchange, self._collect)
        self.start, self.finish, self.close = self._sums.start, self._sums.finish, self._sums.close

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """The numbers of every rank, in the order of the ranks."""
        found = self._board.exchange(self.rank, list(numbers))
        return [entry for entry in found if isinstance(entry, list)]

    def broadcast(self, array: NDArray[np.generic]) -> None:
        """Overwrite ``array`` with rank 0's."""
        array[...] = cast(Array, self._board.exchange(self.rank, array.copy())[0])

    def meet(self) -> None:
        """Barrier: wait until all ranks are here."""
        self._board.exchange(self.rank, None)

    def shared_memory(self, elements: int, reserved: bool = False) -> Array | None:
        """One float32 array of zeros, made by rank 0 and used by all threads."""
        own = np.zeros(elements if self.rank == 0 else 0, np.float32)
        return cast(Array, self._board.exchange(self.rank, own)[0])

    def neighbours(self) -> int:
        """The number of ranks on this machine: all of them."""
        return self.size

    def local_rank(self) -> int:
        """This rank's number among those of its machine: its rank."""
        return self.rank

    def abort(self) -> None:
        """Make ranks that wait raise ``threading.BrokenBarrierError``."""
        self._board.barrier.abort()
        self._sums_board.barrier.abort()

    def _exchange(self, flat: Array, received: Array) -> None:
        for row, other in zip(received, self._sums_board.exchange(self.rank, flat), strict=True):
            row[...] = slices_of(cast(Array, other), self.size)[self.rank]
        self._sums_board.barrier.wait()  # nobody writes before all have read

    def _collect(self, flat: Array) -> None:
        slices = slices_of(flat, self.size)
        means = self._sums_board.exchange(self.rank, slices[self.rank])
        for rank, (target, mean) in enumerate(zip(slices, means, strict=True)):
            if rank != self.rank:
                target[...] = cast(Array, mean)
        self._sums_board.barrier.wait()


def local_ranks(size: int) -> list[LocalRanks]:
    """The ranks of one run, one for each of ``size`` threads."""
    boards = _Board(size), _Board(size)
    return [LocalRanks(rank, boards) for rank in range(size)]
