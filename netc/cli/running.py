"""A run in training as it is seen: a live line on a terminal, and a line for each test."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from netc.cli.output import say
from netc.solver import events
from netc.solver.rows import flattened
from netc.solver.solver import Solver


class Running:
    """Prints a run's events; on a terminal with a line that moves.

    Args:
        solver: the run.
        quiet: print nothing on standard output; the live line stays.
    """

    def __init__(self, solver: Solver, *, quiet: bool = False) -> None:
        self._solver, self._quiet = solver, quiet
        self._line: Any = None
        self._rate = 0.0
        self._last = self._live = (time.monotonic(), solver.iteration)
        self._pace = ""

    def __enter__(self) -> Running:
        if sys.stderr.isatty():
            self._line = _live_line(self._solver)
            self._line.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._line is not None:
            self._line.stop()

    def __call__(self, event: events.Event) -> None:
        """Show an event."""
        if isinstance(event, events.Stepped) and self._line is not None:
            self._move(event.iteration)
        elif isinstance(event, events.Displayed):
            speed = self._speed(event.iteration)
            self._say(f"iteration {event.iteration:<7} loss {event.loss:<10.6g} {speed}")
        elif isinstance(event, events.Tested):
            named = flattened(event.scores).items()
            scores = "  ".join(f"{name} {value:.6g}" for name, value in named)
            self._say(f"iteration {event.iteration:<7} test {event.net}: {scores}")
        elif isinstance(event, events.Snapshotted):
            self._say(f"snapshot: {event.state}")
        elif isinstance(event, events.Finished):
            early = ", stopped early" if event.early else ""
            self._say(f"done after {event.iteration} iterations{early}")

    def _move(self, iteration: int) -> None:
        """The live line, its rate and speed anew once a second."""
        before, done = self._live
        seconds = time.monotonic() - before
        if not self._pace or seconds >= 1:
            images = self._solver.batch * (iteration - done)
            speed = f" {images / seconds:.0f} images/s" if seconds > 0 else ""
            self._pace = f"rate {self._solver.rate:.4g}{speed}"
            self._live = (before + seconds, iteration)
        loss = f"loss {self._solver.smoothed_loss:.5g} {self._pace}"
        self._line.update(self._line.task_ids[0], completed=iteration, loss=loss)

    def _speed(self, iteration: int) -> str:
        before, done = self._last
        self._last = (time.monotonic(), iteration)
        number, seconds = iteration - done, self._last[0] - before
        images = self._solver.batch * number
        rate = f"rate {self._solver.rate:<9.4g}"
        return f"{rate} {images / seconds:.0f} images/s" if number and seconds > 0 else rate

    def _say(self, text: str) -> None:
        if not self._quiet:
            say(text)
            sys.stdout.flush()


def _live_line(solver: Solver) -> object:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    line = Progress(
        TextColumn("training"),
        BarColumn(bar_width=8),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    total = solver.settings.max_iter
    line.add_task("training", total=total, completed=solver.iteration, loss="")
    return line
