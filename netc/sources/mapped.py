"""Checks that memory-mapped bytes can be read: reading beyond the file's end raises SIGBUS.

LMDB returns records as pointers into a mapped file. If a damaged file says that a record extends
beyond the end of the file, copying it would kill the process; a system call that is given such an
address fails with EFAULT instead.
"""

from __future__ import annotations

import mmap
import os
import threading
import weakref

_AT_ONCE = 1000  # places in one system call; POSIX grants 1024 where it has writev


class Probe:
    """Checks addresses by a system call; thread-safe. Without ``os.writev`` it checks nothing."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        weakref.finalize(self, os.close, self._read)
        weakref.finalize(self, os.close, self._write)
        self._lock = threading.Lock()

    def check(self, view: memoryview) -> None:
        """Check that all bytes can be read, by testing one byte of each page and the last byte.

        Raises:
            ValueError: they extend beyond the end of the file.
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
