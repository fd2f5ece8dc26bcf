"""A lock on an output folder, so that one run at a time writes it; it ends with the process."""

from __future__ import annotations

import importlib
import os
import weakref
from pathlib import Path
from typing import Any

from netc.diagnostics import Diagnostic, NetcError


class FolderLock:
    """Locks a folder until it is released or the process ends, even by a signal.

    On systems and file systems without such locks it does nothing.

    Raises:
        NetcError: output-in-use, where another process holds the lock.
    """

    def __init__(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY) if os.name == "posix" else None
        self.release = weakref.finalize(self, _close, descriptor)
        if descriptor is None:
            return
        fcntl: Any = importlib.import_module("fcntl")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            message = f"another run is writing answers to `{folder}`"
            help = ("wait until it has ended", "or name another output with -o")
            raise NetcError(Diagnostic("output-in-use", message, help=help)) from None
        except OSError:  # of a file system without locks
            pass


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
