"""A file read in pieces: structure through a small window, numbers directly into arrays.

Nothing is read twice and nothing is buffered beyond the window, so that the peak memory of loading
a caffemodel is the size of its arrays.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO

import numpy as np
from numpy.typing import NDArray

from netc.diagnostics import NetcError
from netc.syntax.reader import unreadable
from netc.weights.faults import fault, truncated

_WINDOW = 8192  # bytes; small, since it is filled anew after each large blob


class ByteFile:
    """Random access to the bytes of an open file; ``size`` is its size in bytes at opening."""

    def __init__(self, file: FileIO, path: str) -> None:
        self.path = path
        self.size = os.fstat(file.fileno()).st_size
        self._file = file
        self._start = 0
        self._window = b""

    def peek(self, at: int, count: int) -> bytes:
        """The bytes from ``at``: ``count`` of them, fewer only at the end of the file."""
        skip = at - self._start
        if skip < 0 or skip + count > len(self._window):
            self._window = self.read(at, max(0, min(max(count, _WINDOW), self.size - at)))
            self._start, skip = at, 0
        return self._window[skip : skip + count]

    def read(self, at: int, count: int) -> bytes:
        """Exactly ``count`` bytes from ``at``.

        Raises:
            NetcError: truncated-weights, as :meth:`read_into`.
        """
        target = np.empty(count, dtype=np.uint8)
        self.read_into(at, target)
        return target.tobytes()

    def read_into(self, at: int, target: NDArray[np.uint8]) -> None:
        """Fill a contiguous array of bytes from ``at`` on.

        Raises:
            NetcError: truncated-weights, the file became shorter while it was read.
        """
        view = target.data
        self._file.seek(at)
        done = 0
        while done < len(view):
            got = self._file.readinto(view[done:])
            if not got:
                raise truncated(self.path, at + done, len(view) - done, "the record read here")
            done += got


SUFFIXES = (".caffemodel", ".h5", ".npz", ".binaryproto")


@contextmanager
def open_bytes(path: str | os.PathLike[str]) -> Iterator[ByteFile]:
    """Open a regular file for reading.

    Raises:
        NetcError: missing-file, is-a-directory, or unreadable-file (also for a pipe or device).
    """
    name = os.fspath(path)
    try:
        file = FileIO(name, "r", opener=_open)
    except (OSError, ValueError) as error:
        raise NetcError(unreadable(name, error, SUFFIXES)) from None
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise fault(
                "unreadable-file",
                name,
                "this is not a regular file",
                "weights are read in pieces; save them to a file first",
            )
        yield ByteFile(file, name)


def _open(path: str, flags: int) -> int:
    # A pipe without a writer would otherwise wait for one for ever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
