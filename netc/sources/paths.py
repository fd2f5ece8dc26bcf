"""Where the files are that a solver or a net names.

Caffe looks from the current folder alone, so that a text works from one folder only. netc looks
there first, then from the text's own folder and from each folder above it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError, Span


def find(name: str, folder: Path | None, what: str, span: Span | None = None) -> Path:
    """The file or folder of this name.

    Args:
        name: as the text has it.
        folder: of the text; None where it is in no file.
        what: what the name is of, for the complaint: "the train net".
        span: where the name stands.

    Raises:
        NetcError: file-not-found, with every place that was looked at.
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
