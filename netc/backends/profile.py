"""Where a run's time goes: several runs timed step by step, and the mean of those in the middle.

The shortest time of each step would not do: on a machine that does something else besides, each
step is lucky in another run, and their sum is a run that never was. The slow and the fast quarter
of the runs are left out, so that what a single interruption costs is too.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from netc.backends.base import Executable, StepTime
from netc.ir.graph import Array

_MIN_RUNS = 4  # runs, so that there is a middle
_STEADY = 1.25  # how far apart the quartiles of the runs' times may be
_APART = 0.1  # how far the rows may add up to something else than the median run


class RunProfile(NamedTuple):
    """Times in seconds.

    Args:
        run: the median of all runs.
        quartiles: half of the runs took a time between these.
        steps: each step's share of a run, in order; steps of one name are one.
        outside: what a run takes besides its steps: arrays for its results, and Python.
    """

    run: float
    quartiles: tuple[float, float]
    steps: tuple[StepTime, ...]
    outside: float

    @property
    def total(self) -> float:
        """Seconds of all rows."""
        return self.outside + sum(step.seconds for step in self.steps)

    @property
    def busy(self) -> bool:
        """True if other work on the machine makes the times unreliable."""
        low, high = self.quartiles
        return high > _STEADY * low or abs(self.total - self.run) > _APART * self.run


class Roof(NamedTuple):
    """What a machine can do: operations and bytes a second, with the threads that a net has.

    ``shares`` are of steps that make fewer multiplications than their layers are defined by.
    """

    operations: float
    bytes: float
    shares: Mapping[str, float] = MappingProxyType({})

    def floor(self, macs: float, moved: float) -> float:
        """Seconds of so many multiply-adds and bytes at least: the longer of the two."""
        return max(2 * macs / self.operations, moved / self.bytes)


class _Run(NamedTuple):
    seconds: float
    steps: list[StepTime]


def profile(executable: Executable, feeds: Mapping[str, Array], rounds: int) -> RunProfile:
    """Run a net some times and tell what its steps took.

    Args:
        executable: what runs.
        feeds: input value -> array.
        rounds: how many runs are timed, at least 4; one more goes before.

    Raises:
        NetcError: an op met values that it cannot take.
    """
    executable.run(feeds)
    return summarized([_timed(executable, feeds) for _ in range(max(_MIN_RUNS, rounds))])


def _timed(executable: Executable, feeds: Mapping[str, Array]) -> _Run:
    start = time.perf_counter()
    _, steps = executable.timed(feeds)
    return _Run(time.perf_counter() - start, steps)


def summarized(runs: Sequence[tuple[float, list[StepTime]]]) -> RunProfile:
    """The profile of at least 4 runs, given as (seconds of it all, its steps)."""
    ordered = sorted((_Run(*run) for run in runs), key=lambda run: run.seconds)
    quarter = len(ordered) // 4
    middle = ordered[quarter : len(ordered) - quarter]
    spent: dict[str, float] = {}
    compiled: dict[str, bool] = {}
    for step in (step for run in middle for step in run.steps):
        spent[step.name] = spent.get(step.name, 0.0) + step.seconds / len(middle)
        compiled[step.name] = compiled.get(step.name, True) and step.compiled
    whole = statistics.fmean(run.seconds for run in middle)
    return RunProfile(
        statistics.median(run.seconds for run in ordered),
        (middle[0].seconds, middle[-1].seconds),
        tuple(StepTime(name, compiled[name], seconds) for name, seconds in spent.items()),
        max(0.0, whole - sum(spent.values())),
    )
