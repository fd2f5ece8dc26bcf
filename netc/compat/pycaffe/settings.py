"""Functions of pycaffe for settings that have no effect in netc, and its timer."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass


@dataclass(slots=True)
class _Solvers:
    count: int = 1
    rank: int = 0


_solvers = _Solvers()


def init_log(level: int = 0, suppress: bool = False) -> None:
    """Begin Caffe's log, which netc has none of."""


def log(text: str) -> None:
    """Write a line where Caffe's log goes, to standard error."""
    print(text, file=sys.stderr)


def set_multiprocess(multiprocess: bool) -> None:
    """Whether solvers run in processes of their own; netc trains in one."""


def solver_count() -> int:
    """How many solvers there are, as a script has set it."""
    return _solvers.count


def set_solver_count(count: int) -> None:
    """Set what ``solver_count`` gives."""
    _solvers.count = int(count)


def solver_rank() -> int:
    """The number of this solver, as a script has set it."""
    return _solvers.rank


def set_solver_rank(rank: int) -> None:
    """Set what ``solver_rank`` gives."""
    _solvers.rank = int(rank)


def has_nccl() -> bool:
    """Whether several GPUs can train together; False."""
    return False


class Timer:
    """A stop watch; ``ms`` and ``us`` are what passed between ``start`` and ``stop``."""

    def __init__(self) -> None:
        self._begun = self._ended = 0.0

    def start(self) -> None:
        """Begin."""
        self._begun = self._ended = time.perf_counter()

    def stop(self) -> None:
        """End."""
        self._ended = time.perf_counter()

    @property
    def ms(self) -> float:
        """Milliseconds."""
        return (self._ended - self._begun) * 1e3

    @property
    def us(self) -> float:
        """Microseconds."""
        return (self._ended - self._begun) * 1e6
