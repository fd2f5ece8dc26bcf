"""Memory that several processes of one user and machine map.

It has no name that could stay behind when processes are killed: it is a file without a folder
(memfd_create, Linux 3.17), which other processes open by way of the one that made it.
"""

from __future__ import annotations

import mmap
import os
from typing import NamedTuple

import numpy as np

from netc.ir.graph import Array
from netc.memory import check_memory


class Place(NamedTuple):
    """The process that made a segment, its descriptor there, and which file that is."""

    process: int = 0
    descriptor: int = 0
    device: int = 0
    inode: int = 0


class Segment(NamedTuple):
    """Memory, mapped; zeros at first."""

    place: Place
    memory: mmap.mmap

    @classmethod
    def made(cls, size: int) -> Segment | None:
        """New memory of some bytes; None where the system has none of this kind.

        Its descriptor stays open, so that others can find it, until it is closed.

        Raises:
            NetcError: too-little-memory.
        """
        check_memory(size, "parameters, history and gradients that ranks share")
        try:
            descriptor = os.memfd_create("netc")
            os.ftruncate(descriptor, max(1, size))
            found = os.fstat(descriptor)
            place = Place(os.getpid(), descriptor, found.st_dev, found.st_ino)
            return cls(place, mmap.mmap(descriptor, max(1, size)))
        except (AttributeError, OSError, ValueError):
            return None

    @classmethod
    def found(cls, place: Place, size: int) -> Segment | None:
        """The memory that another process has made; None where it cannot be had.

        Processes in containers of their own may count processes differently: what lies at the place
        is looked at before it is opened.
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
        """Give the descriptor back, in the process that made it, when all have found it."""
        os.close(self.place.descriptor)

    def array(self) -> Array:
        """It as float32."""
        return np.frombuffer(self.memory, np.float32)
