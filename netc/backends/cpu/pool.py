"""Threads that wait on a lock while there is nothing to do.

A system may put a thread that wakes on the processor of the one that woke it, where another
program's thread spins on the next one, and leave it there when that ends; then both take turns for
the whole of a run. So threads are kept off the processor that their waker is on, where Linux lets
them be.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache


class Workers:
    """Persistent daemon threads that each run one job when woken.

    Args:
        jobs: one a thread; a job must not raise.
    """

    def __init__(self, jobs: list[Callable[[], object]]) -> None:
        self._gates = [_new_gate() for _ in jobs]
        self._stopping = [False]
        self._threads = [
            threading.Thread(
                target=_serve, args=(job, gate, self._stopping), name="netc", daemon=True
            )
            for job, gate in zip(jobs, self._gates, strict=True)
        ]
        self._avoided: int | None = None
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Let every thread run its job once more; one that still runs does so afterwards."""
        if self._threads:
            self._avoid(current_processor())
        for gate in self._gates:
            if gate.locked():
                gate.release()

    def _avoid(self, processor: int | None) -> None:
        """Keep the threads off a processor, if there are others."""
        if processor is None or processor == self._avoided:
            return
        self._avoided = processor
        with suppress(OSError):  # a thread has ended, or none of the others may be used
            others = os.sched_getaffinity(0) - {processor}
            for thread in self._threads if others else ():
                if thread.native_id is not None:
                    os.sched_setaffinity(thread.native_id, others)

    def stop(self) -> None:
        """Let the threads end; only one caller may wake or stop at a time."""
        self._stopping[0] = True
        self.wake()


def current_processor() -> int | None:
    """The processor that the calling thread is on; None where the system does not tell."""
    ask = _asking()
    found = -1 if ask is None else int(ask())
    return None if found < 0 else found


@cache
def _asking() -> Callable[[], int] | None:
    if not hasattr(os, "sched_setaffinity"):
        return None
    with suppress(OSError, TypeError):
        return getattr(ctypes.CDLL(None), "sched_getcpu", None)
    return None


def _new_gate() -> threading.Lock:
    gate = threading.Lock()
    gate.acquire()
    return gate


def _serve(job: Callable[[], object], gate: threading.Lock, stopping: list[bool]) -> None:
    while True:
        gate.acquire()
        if stopping[0]:
            return
        job()
