"""A bar for long work: on a terminal, on standard error, and only when something takes long."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from netc.backends.base import Progress


def compiling() -> AbstractContextManager[Progress | None]:
    """A bar for kernels that are compiled for the first time; None where nobody would see it."""
    return bar("compiling kernels, once on this machine")


@contextmanager
def bar(what: str) -> Iterator[Progress | None]:
    """A bar for something that takes long; None where nobody would see it."""
    if not sys.stderr.isatty():
        yield None
        return
    stop: list[Callable[[], None]] = []
    try:
        yield _bar(what, stop)
    finally:
        for end in stop:
            end()


def _bar(what: str, stop: list[Callable[[], None]]) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn(what),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bars.add_task(what, total=None)

    def report(done: int, total: int, name: str) -> None:
        if not stop:
            bars.start()
            stop.append(bars.stop)
        bars.update(task, completed=done, total=total)

    return report
