"""Whether mapped memory can be read, asked of the kernel: a read behind a file's end is fatal.

LMDB hands out records as places in a mapped file. Where a damaged file says that a record goes on
behind the file's end, copying it would end the process (SIGBUS); a system call that is given such
a place says that it is a bad address.
"""

from __future__ import annotations

import mmap
import os
import threading
import weakref

_AT_ONCE = 1000  # places in one system call; POSIX grants 1024 where it has writev


class Probe:
    """Asks the kernel; may be used by several threads. Without ``writev`` it says nothing."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        weakref.finalize(self, os.close, self._read)
        weakref.finalize(self, os.close, self._write)
        self._lock = threading.Lock()

    def check(self, view: memoryview) -> None:
        """Make sure that bytes can be read, by one of each page and the last.

        Raises:
            ValueError: they go on behind the end of the file.
        """
        if not hasattr(os, "writev") or not view:
            return
        places = [*range(0, len(view), mmap.PAGESIZE), len(view) - 1]
        for first in range(0, len(places), _AT_ONCE):
            self._ask([view[at : at + 1] for at in places[first : first + _AT_ONCE]])

    def _ask(self, bytes_: list[memoryview]) -> None:
        with self._lock:
            try:
                count = os.writev(self._write, bytes_)
            except OSError:
                count = 0
            os.read(self._read, count)
        if count < len(bytes_):
            raise ValueError("a record goes on behind the end of the file")
