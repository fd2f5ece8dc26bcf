"""Image files: of a folder and those below it, of a pattern, of a list."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError
from netc.image_files import FORMATS
from netc.memory import check_memory
from netc.predict.records.base import InputRecord, Path
from netc.syntax.reader import unreadable

SUFFIXES = frozenset(suffix for named in FORMATS.values() for suffix in named)
_LINE = 256  # bytes, about, that a name takes in memory


class FilePart(NamedTuple):
    """Some image files, by their names and where they lie."""

    names: tuple[str, ...]
    folder: str

    def __len__(self) -> int:
        return len(self.names)

    def read(self) -> Iterator[InputRecord]:
        """The files; one that is none, such as a pipe, is never opened."""
        for name in self.names:
            path = os.path.join(self.folder, name)
            yield InputRecord(name, _regular(path, name) or Path(path))


def _regular(path: str, name: str) -> NetcError | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        reason = error if isinstance(error, OSError) else OSError(str(error))
        return NetcError(unreadable(name, reason))
    if not stat.S_ISREG(status.st_mode):
        return NetcError(Diagnostic("not-a-file", f"`{name}` is no regular file"))
    return None


class Files:
    """Image files in the order of their names, or of a list.

    Args:
        names: as the output calls them; from the current folder on.
    """

    images = True

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._folder = os.getcwd()

    def __len__(self) -> int:
        return len(self._names)

    def part(self, first: int, last: int) -> FilePart:
        """See :class:`netc.predict.records.base.Records`."""
        return FilePart(tuple(self._names[first:last]), self._folder)

    def identity(self) -> str:
        """A hash of all names."""
        digest = hashlib.sha256()
        for name in self._names:
            digest.update(os.fsencode(name) + b"\0")
        return digest.hexdigest()


def images_below(folder: str) -> list[str]:
    """The images of a folder and of the folders in it, by their names; hidden ones are left out.

    Links to folders are not followed.
    """
    found: list[str] = []
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += (
            os.path.join(where, name)
            for name in files
            if not name.startswith(".") and FilePath(name).suffix.lower() in SUFFIXES
        )
        check_memory(_LINE * len(found), f"the names of the images in `{folder}`")
    return sorted(found)


def listed(path: str) -> list[str]:
    """The files that a list names, one a line, as Caffe's ImageData has it.

    A line may end with a label, which is passed over. Paths start from the list's folder, or else
    from the current one.

    Raises:
        NetcError: missing-file, too-little-memory; input-format, for a list of nothing.
    """
    try:
        check_memory(4 * os.path.getsize(path), f"the lines of `{path}`")
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise NetcError(unreadable(path, error)) from None
    return named_files(text, FilePath(path).parent, path)


def named_files(text: bytes, folder: FilePath, name: str) -> list[str]:
    """The files that the lines of a list name.

    Args:
        text: of the list.
        folder: that paths start from first.
        name: of the list, for the complaint.

    Raises:
        NetcError: input-format, for a list of nothing.
    """
    lines = [line.strip() for line in text.decode("utf-8-sig", "replace").splitlines()]
    found = [_in(folder, _without_label(line, folder)) for line in lines if line]
    if not found:
        kinds = ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))
        help = (f"images may be {kinds}",)
        message = f"the list `{name}` names no file"
        raise NetcError(Diagnostic("input-format", message, help=help))
    return found


def _in(folder: FilePath, line: str) -> str:
    inside = folder / line
    return str(inside) if _exists(inside) or not _exists(FilePath(line)) else line


def _without_label(line: str, folder: FilePath) -> str:
    path, _, label = line.replace("\t", " ").rpartition(" ")
    if not path or not _is_number(label):
        return line
    whole = _exists(folder / line) or _exists(FilePath(line))
    return line if whole else path.strip()


def _exists(path: FilePath) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, or has a zero byte
        return False


def _is_number(text: str) -> bool:
    return text.lstrip("+-").replace(".", "", 1).isdecimal()
