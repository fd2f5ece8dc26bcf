"""Caffe's log as commands write it: to a file, or to standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netc.files import cannot_write
from netc.solver.log import CaffeLog


@contextmanager
def opened_log(path: str | None) -> Iterator[CaffeLog | None]:
    """The log at a path, to whose end lines are added; None for no path.

    Args:
        path: `-` is standard output.

    Raises:
        NetcError: cannot-write.
    """
    if path is None or path == "-":
        yield None if path is None else CaffeLog(sys.stdout)
        return
    try:
        stream = open(path, "a", encoding="utf-8")
    except OSError as error:
        raise cannot_write(Path(path), error) from None
    with stream:
        yield CaffeLog(stream)
