"""Detects ranks whose process has ended, so that the others do not wait for ever.

MPI does not reliably report a lost rank: a receive from it just blocks. On Linux a process can see
in /proc whether another one of the same machine still runs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def identity() -> tuple[int, int]:
    """This process's pid and the inode of its pid namespace; 0 where there is no /proc."""
    try:
        return os.getpid(), os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return os.getpid(), 0


def first_ended(processes: Sequence[tuple[int, int]]) -> int | None:
    """The index of the first process that has ended, or None.

    Args:
        processes: the :func:`identity` of each; those of other pid namespaces are not checked.
    """
    _, own = identity()
    ended = (i for i, (number, space) in enumerate(processes) if space == own and _ended(number))
    return next(ended, None) if own else None


def _ended(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    except (OSError, IndexError):
        return False
    return state in "ZX"  # ended, and its parent has not asked yet
