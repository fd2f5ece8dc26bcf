"""Ranks as the processes that ``mpiexec`` started, by mpi4py (extra ``mpi``)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netc.diagnostics import Diagnostic, NetcError, Note
from netc.ir.graph import Array
from netc.ranks.alive import first_ended, identity
from netc.ranks.segment import Segment, SegmentAddress
from netc.ranks.sums import Sums, slices_of

LOST = "rank-lost"
_LOOK = 1.0  # seconds between looks whether the other ranks are there
_PAUSE = 1e-4  # seconds between looks at a message: the rank computes meanwhile
_SPIN = 5e-4  # seconds of looks without a pause where the rank has nothing to compute


def mpi() -> ModuleType:
    """The module mpi4py.MPI; MPI is started when it is first imported.

    Raises:
        NetcError: missing-package.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # mpi4py raises both where it finds no library
        raise NetcError(
            Diagnostic(
                "missing-package",
                f"training on several ranks needs mpi4py and an MPI library: {_first_line(error)}",
                help=("pip install 'netc[mpi]' brings both, and mpiexec",),
            )
        ) from None
    module: ModuleType = MPI
    return module


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


class MpiRanks:
    """This process as a rank of MPI_COMM_WORLD; :class:`netc.ops.ranks.Ranks` has its methods.

    Raises:
        NetcError: missing-package; no-mpi, where MPI does not let several threads call it.
    """

    def __init__(self) -> None:
        library = mpi()
        if library.Query_thread() < library.THREAD_MULTIPLE:
            message = "this MPI library does not let several threads call it (MPI_THREAD_MULTIPLE)"
            raise NetcError(Diagnostic("no-mpi", message))
        # Sums have a communicator of their own: their thread and the caller's never meet in one.
        self._sums_of, self._world = library.COMM_WORLD.Dup(), library.COMM_WORLD.Dup()
        self.rank, self.size = int(self._world.rank), int(self._world.size)
        self._sums = Sums(self.rank, self.size, self._exchange, self._collect)
        self.start, self.finish = self._sums.start, self._sums.finish
        self._processes: list[tuple[int, int]] = self._world.allgather(identity())

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """The numbers of every rank, in the order of the ranks, in float64 on the way."""
        mine = np.array(numbers, np.float64)
        found = np.empty((self.size, len(mine)), np.float64)
        self._wait(lambda: [self._world.Iallgather(mine, found)], _SPIN)
        return [list(map(float, row)) for row in found]

    def broadcast(self, array: NDArray[np.generic]) -> None:
        """Overwrite ``array`` with rank 0's."""
        self._wait(lambda: [self._world.Ibcast(array, root=0)])

    def meet(self) -> None:
        """Barrier: wait until all ranks are here."""
        self._wait(lambda: [self._world.Ibarrier()], _SPIN)

    def shared_memory(self, elements: int, reserved: bool = False) -> Array | None:
        """float32 zeros that rank 0 allocates and the others map; see netc.ops.ranks.Ranks.

        None where ranks run on several machines, or where one of them cannot map the memory.
        """
        if self.neighbours() != self.size:
            return None
        made = Segment.made(4 * elements, reserved) if self.rank == 0 else None
        place = np.array(made.place if made else SegmentAddress(), np.uint64)
        self.broadcast(place)
        if self.rank:
            made = Segment.found(SegmentAddress(*map(int, place)), 4 * elements)
        everybody = self.gather([float(made is not None)])  # and all have it open now
        if made is not None and self.rank == 0:
            made.close()
        if made is None or not all(has for (has,) in everybody):
            return None
        return made.array()

    @cached_property
    def _machine(self) -> Any:
        return self._world.Split_type(mpi().COMM_TYPE_SHARED)

    def neighbours(self) -> int:
        """The number of ranks on this machine, this one included."""
        return int(self._machine.size)

    def local_rank(self) -> int:
        """This rank's number among those of its machine, from 0."""
        return int(self._machine.rank)

    def abort(self) -> None:
        """End all ranks at once (MPI_Abort); mpiexec reports which rank called it."""
        mpi().COMM_WORLD.Abort(1)

    def close(self) -> None:
        """End the thread that computes the sums."""
        self._sums.close()

    # Messages of their own for each pair: MPICH's Ialltoallv moves a fiftieth as much while it is
    # polled (90 MB/s against 4.8 GB/s, between two ranks of one machine).

    def _exchange(self, flat: Array, received: Array) -> None:
        slices = slices_of(flat, self.size)
        self._swap(
            lambda peer: self._sums_of.Isend(slices[peer], dest=peer),
            lambda peer: self._sums_of.Irecv(received[peer], source=peer),
        )

    def _collect(self, flat: Array) -> None:
        slices = slices_of(flat, self.size)
        self._swap(
            lambda peer: self._sums_of.Isend(slices[self.rank], dest=peer),
            lambda peer: self._sums_of.Irecv(slices[peer], source=peer),
        )

    def _swap(self, send: Callable[[int], Any], receive: Callable[[int], Any]) -> None:
        """Send to all others and receive from them, each rank beginning with the one behind it."""
        peers = [(self.rank + k) % self.size for k in range(1, self.size)]
        self._wait(lambda: [*map(receive, peers), *map(send, peers)])

    def _wait(self, begin: Callable[[], Sequence[Any]], spin: float = 0) -> None:
        """Send messages, and wait for them without holding the processor as MPI's own wait does.

        ``spin``: for how many seconds to hold it all the same, before the first pause.

        Raises:
            NetcError: rank-lost.
        """
        now = time.monotonic()
        look, pause = now + _LOOK, now + spin
        try:
            for request in begin():
                while not request.Test():
                    if time.monotonic() < pause:
                        continue
                    time.sleep(_PAUSE)
                    if time.monotonic() > look:
                        look = time.monotonic() + _LOOK
                        self._check_others()
        except mpi().Exception as error:
            raise self._lost("another rank", f"MPI says: {_first_line(error)}") from None

    def _check_others(self) -> None:
        ended = first_ended(self._processes)
        if ended is not None:
            raise self._lost(f"rank {ended}", "its process has ended")

    def _lost(self, who: str, why: str) -> NetcError:
        message = f"{who} of {self.size} is lost, and rank {self.rank} cannot go on without it"
        return NetcError(Diagnostic(LOST, message, notes=(Note(why),)))


def started_by_mpiexec() -> bool:
    """Whether this process is one of several started by mpiexec or by a cluster's launcher."""
    sizes = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS")
    return any(os.environ.get(name, "1") not in ("", "1") for name in sizes)
