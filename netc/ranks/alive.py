"""Which of the processes that wait for each other are still there.

MPI tells of a lost rank when it feels like it: a message that nobody will send is waited for in
silence. Processes of one machine can look (Linux).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def identity() -> tuple[int, int]:
    """This process's number, and which processes count so: 0 where nothing tells."""
    try:
        return os.getpid(), os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return os.getpid(), 0


def first_ended(processes: Sequence[tuple[int, int]]) -> int | None:
    """The index of the first that has ended, of those that this one can see; None for none.

    Args:
        processes: the identity of each.
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
