"""Finds the files that a solver or a data layer names.

Caffe resolves paths from the current folder only, so that a text works in one folder only. netc
tries that first, then the text's own folder and each folder above it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError, Span


class ResolvedPath(NamedTuple):
    """A path that a text names, and the file or folder that it was resolved to."""

    what: str
    name: str
    path: Path

    def __str__(self) -> str:
        return f"{self.what} `{self.name}` is `{self.path.resolve()}`"


_FOUND: ContextVar[list[ResolvedPath] | None] = ContextVar("found", default=None)


@contextmanager
def recorded() -> Iterator[list[ResolvedPath]]:
    """Record what :func:`find` resolves in this context, in the order of the calls."""
    found: list[ResolvedPath] = []
    token = _FOUND.set(found)
    try:
        yield found
    finally:
        _FOUND.reset(token)


def find(name: str, folder: Path | None, what: str, span: Span | None = None) -> Path:
    """Resolve a path written in a text to an existing file or folder, and record it.

    See :func:`recorded`. :func:`resolve` is for the pictures of a list, and records nothing.

    Args:
        name: the path as written.
        folder: the text's folder; None where it is from no file.
        what: what the path names, for the message: "the train net".
        span: where the path is written.

    Raises:
        NetcError: file-not-found, with every place that was tried.
    """
    path, found = resolve(name, folder, what, span), _FOUND.get()
    if found is not None:
        found.append(ResolvedPath(what.rstrip(","), name, path))
    return path


def resolve(name: str, folder: Path | None, what: str, span: Span | None = None) -> Path:
    """As :func:`find`, for the many files that a list names: nothing is recorded.

    Raises:
        NetcError: file-not-found, with every place that was tried.
    """
    tried = list(dict.fromkeys(_places(name, folder)))
    for path in tried:
        if path.exists():
            return path
    raise NetcError(
        Diagnostic(
            "file-not-found",
            f"{what} `{name}` is not there",
            span,
            help=("looked for: " + ", ".join(f"`{path}`" for path in tried),),
        )
    )


def _places(name: str, folder: Path | None) -> Iterator[Path]:
    path = Path(name)
    yield path
    if path.is_absolute() or folder is None:
        return
    here = folder.resolve()
    for above in (here, *here.parents):
        yield above / path
