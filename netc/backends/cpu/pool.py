"""Threads that wait on a lock while there is nothing to do."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Workers:
    """Persistent daemon threads that each run one job when woken.

    Args:
        jobs: one a thread; a job must not raise.
    """

    def __init__(self, jobs: list[Callable[[], object]]) -> None:
        self._gates = [_new_gate() for _ in jobs]
        self._stopping = [False]
        for job, gate in zip(jobs, self._gates, strict=True):
            arguments = (job, gate, self._stopping)
            threading.Thread(target=_serve, args=arguments, name="netc", daemon=True).start()

    def wake(self) -> None:
        """Let every thread run its job once more; one that still runs does so afterwards."""
        for gate in self._gates:
            if gate.locked():
                gate.release()

    def stop(self) -> None:
        """Let the threads end; only one caller may wake or stop at a time."""
        self._stopping[0] = True
        self.wake()


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
