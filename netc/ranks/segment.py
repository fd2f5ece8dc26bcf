"""Shared memory between processes of one user on one machine.

It is an anonymous file (memfd_create, Linux 3.17), which other processes open through /proc of the
process that made it. So it has no name, and nothing is left behind when processes are killed.
"""

from __future__ import annotations

import mmap
import os
from typing import NamedTuple

import numpy as np

from netc.ir.graph import Array
from netc.memory import check_memory


class SegmentAddress(NamedTuple):
    """Where a segment is: process, its file descriptor there, and the file's device and inode."""

    process: int = 0
    descriptor: int = 0
    device: int = 0
    inode: int = 0


class Segment(NamedTuple):
    """Mapped shared memory, zeros at first."""

    place: SegmentAddress
    memory: mmap.mmap

    @classmethod
    def made(cls, size: int, reserved: bool = False) -> Segment | None:
        """Allocate ``size`` bytes; None where the system has no memfd_create.

        What is ``reserved`` is not asked for: a page is allocated when it is first written to.

        The descriptor stays open, so that other processes can open it, until :meth:`close`.

        Raises:
            NetcError: too-little-memory.
        """
        if not reserved:
            check_memory(size, "parameters, history and gradients that ranks share")
        try:
            descriptor = os.memfd_create("netc")
            os.ftruncate(descriptor, max(1, size))
            found = os.fstat(descriptor)
            place = SegmentAddress(os.getpid(), descriptor, found.st_dev, found.st_ino)
            return cls(place, mmap.mmap(descriptor, max(1, size)))
        except (AttributeError, OSError, ValueError):
            return None

    @classmethod
    def found(cls, place: SegmentAddress, size: int) -> Segment | None:
        """Map memory that another process has made; None where that is not possible.

        In another container the same pid may be another process, so that device and inode are
        compared before the file is opened.
        """
        path = f"/proc/{place.process}/fd/{place.descriptor}"
        try:
            seen = os.stat(path)
            if (seen.st_dev, seen.st_ino) != (place.device, place.inode):
                return None
            own = os.open(path, os.O_RDWR)
        except OSError:
            return None
        try:
            return cls(place, mmap.mmap(own, max(1, size)))
        except (OSError, ValueError):
            return None
        finally:
            os.close(own)

    def close(self) -> None:
        """Close the descriptor, in the process that made it, after all others have mapped it."""
        os.close(self.place.descriptor)

    def array(self) -> Array:
        """The memory as a float32 array of one axis."""
        return np.frombuffer(self.memory, np.float32)
