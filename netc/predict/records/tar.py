"""Images in a `.tar`, a shard as WebDataset writes them: found once, read where they lie."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from netc.boundary import reason, strangers_bytes
from netc.diagnostics import Diagnostic, NetcError
from netc.image_files import Encoded
from netc.memory import check_memory
from netc.predict.records.base import Content, FileIdentity, InputRecord
from netc.predict.records.files import SUFFIXES


class TarPart(NamedTuple):
    """Some images of an archive: name, offset and size of each."""

    file: FileIdentity
    members: tuple[tuple[str, int, int], ...]

    def __len__(self) -> int:
        return len(self.members)

    def read(self) -> Iterator[InputRecord]:
        """The images' bytes."""
        with open(self.file.path, "rb") as file:
            for name, offset, size in self.members:
                file.seek(offset)
                yield InputRecord(name, self._content(file.read(size), name, size))

    def _content(self, content: bytes, name: str, size: int) -> Content:
        if len(content) < size:
            return _bad(self.file, f"`{name}` is cut off")
        return Encoded(content, f"{self.file}/{name}")


class TarRecords:
    """All images of an archive, in its order; nothing is unpacked, and links are passed over."""

    images = True

    def __init__(self, path: str) -> None:
        self._file = file = FileIdentity.of(path)
        self._members: list[tuple[str, int, int]] = []
        with strangers_bytes(lambda error: _bad(file, reason(error))):
            with tarfile.open(path, "r:") as archive:
                for member in archive:
                    self._add(member)
                    archive.members.clear()  # type: ignore[attr-defined]
                self._check_end(archive.offset)

    def _check_end(self, offset: int) -> None:
        """Refuse an archive that goes on behind its last entry: tarfile stops there in silence."""
        with open(self._file.path, "rb") as file:
            file.seek(offset)
            if any(file.read(tarfile.BLOCKSIZE)):
                raise _bad(self._file, f"its entry at byte {offset:,} is damaged")

    def _add(self, member: tarfile.TarInfo) -> None:
        if member.isreg() and PurePosixPath(member.name).suffix.lower() in SUFFIXES:
            check_memory(member.size, f"`{member.name}` of `{self._file}`")
            self._members.append((member.name, member.offset_data, member.size))

    def __len__(self) -> int:
        return len(self._members)

    def part(self, first: int, last: int) -> TarPart:
        """See :class:`netc.predict.records.base.Records`."""
        return TarPart(self._file, tuple(self._members[first:last]))

    def identity(self) -> str:
        """The archive's size, and how many images it has."""
        return f"{os.path.basename(self._file.path)} {self._file.stamp[0]} {len(self)}"


def _bad(file: FileIdentity, why: str) -> NetcError:
    return NetcError(Diagnostic("input-format", f"`{file}`: {why}"))
