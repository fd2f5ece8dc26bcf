"""Finds and classifies the files of a project, without following links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["text", "weights", "mean", "script", "shell", "state"]

MAX_FILES = 50_000
MAX_DEPTH = 40
_SKIPPED = frozenset({".git", ".hg", ".svn", "__pycache__", "node_modules", ".venv", "venv"})
_KINDS: dict[str, Kind] = {
    ".prototxt": "text",
    ".netc": "text",
    ".pbtxt": "text",
    ".caffemodel": "weights",
    ".solverstate": "state",
    ".binaryproto": "mean",
    ".py": "script",
    ".ipynb": "script",
    ".sh": "shell",
}


@dataclass
class ProjectFile:
    """A file of the project, and what was found about it.

    Attributes:
        path: the file's path.
        name: its path relative to the project's folder, with slashes.
        kind: what it is; for a text it becomes "net", "solver", "label map" or "other".
        told: what was found and done, in order.
        left: what the user still has to do about it.
        written: files made from it, relative to the result's folder.
        failed: whether it could not be read.
    """

    path: Path
    name: str
    kind: str
    told: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    failed: bool = False


@dataclass
class ProjectFiles:
    """The files of a project; ``cut`` is set where there were more files than the limit."""

    folder: Path
    items: list[ProjectFile]
    cut: bool = False

    def of(self, *kinds: str) -> Iterator[ProjectFile]:
        """The items of some kinds, in order."""
        return (item for item in self.items if item.kind in kinds)


def find(folder: Path, leaving_out: Path) -> ProjectFiles:
    """The files of a project, in the order of their names.

    Args:
        folder: the project's folder.
        leaving_out: a folder within it that is skipped: the result's.
    """
    found, seen, cut = [], 0, False
    for path, name in _walk(folder, leaving_out):
        seen += 1
        if seen > MAX_FILES:
            cut = True
            break
        kind = kind_of(path.name)
        if kind is not None:
            found.append(ProjectFile(path, name, kind))
    return ProjectFiles(folder, sorted(found, key=lambda item: item.name), cut)


def kind_of(name: str) -> Kind | None:
    """The kind of a file by its name; None for files that a migration ignores."""
    lower = name.lower()
    if lower.endswith((".caffemodel.h5", ".caffemodel.hdf5")):
        return "weights"
    if lower.endswith((".solverstate.h5", ".solverstate.hdf5")):
        return "state"
    return _KINDS.get(os.path.splitext(lower)[1])


def _walk(folder: Path, leaving_out: Path) -> Iterator[tuple[Path, str]]:
    base = str(folder)
    out = leaving_out.resolve()
    for place, folders, files in os.walk(base, followlinks=False):
        relative = os.path.relpath(place, base)
        depth = 0 if relative == "." else relative.count(os.sep) + 1
        folders[:] = sorted(
            name
            for name in folders
            if name not in _SKIPPED
            and depth < MAX_DEPTH
            and Path(place, name).resolve() != out
            and not Path(place, name).is_symlink()
        )
        for name in sorted(files):
            path = Path(place, name)
            if not path.is_symlink() and path.is_file():
                yield path, Path(os.path.relpath(path, base)).as_posix()
