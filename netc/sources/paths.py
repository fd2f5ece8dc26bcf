"""Finds the files that a solver or a data layer names.

Caffe resolves paths from the current folder only, so that a text works in one folder only. netc
tries that first, then the text's own folder and each folder above it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError, Span


def find(name: str, folder: Path | None, what: str, span: Span | None = None) -> Path:
    """Resolve a path written in a text to an existing file or folder.

    Args:
        name: the path as written.
        folder: the text's folder; None where it is from no file.
        what: what the path names, for the message: "the train net".
        span: where the path is written.

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
