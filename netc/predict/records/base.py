"""What a source of records is.

Records have numbers from 0, which never change while the source does not. A :class:`Part` is some
of them, one after another; it pickles as names and places, so that another process can read it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from netc.diagnostics import NetcError
from netc.image_files import Encoded
from netc.ir.graph import Array
from netc.syntax.reader import unreadable


class Pixels(NamedTuple):
    """A decoded picture of a database: bytes, (channels, height, width), BGR or grey."""

    values: NDArray[np.uint8]


class Path(NamedTuple):
    """An image file."""

    path: str


# What a record holds; arrays are by input blob. An error says why it cannot be read.
Content = Path | Encoded | Pixels | Mapping[str, Array] | NetcError


class InputRecord(NamedTuple):
    """One input, and what it is called in the output."""

    name: str
    content: Content


class Part(Protocol):
    """Records one after another."""

    def __len__(self) -> int:
        """How many there are."""

    def read(self) -> Iterator[InputRecord]:
        """All of them, in order; one that cannot be read has an error for its content."""


class Records(Protocol):
    """All records of a source."""

    @property
    def images(self) -> bool | None:
        """Whether they are images, False for arrays, None where either may come."""

    def __len__(self) -> int:
        """How many there are."""

    def part(self, first: int, last: int) -> Part:
        """The records from ``first`` to before ``last``."""

    def identity(self) -> str:
        """A text that differs where the records are others, or in another order."""


class FileIdentity(NamedTuple):
    """A file: what it is called, where it lies, and what tells that it is still the same one."""

    name: str
    path: str
    stamp: tuple[int, int]

    @classmethod
    def of(cls, name: str) -> FileIdentity:
        """The file of a name, which may start from the current folder.

        Raises:
            NetcError: what the system says of a file that cannot be looked at.
        """
        path = os.path.abspath(name)
        try:
            status = os.stat(path)
        except OSError as error:
            raise NetcError(unreadable(name, error)) from None
        return cls(name, path, (status.st_size, status.st_mtime_ns))

    def __str__(self) -> str:
        return self.name


class JoinedPart(NamedTuple):
    """Parts of several sources, one after another."""

    parts: tuple[Part, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def read(self) -> Iterator[InputRecord]:
        """All records."""
        for part in self.parts:
            yield from part.read()
