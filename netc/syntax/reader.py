"""Files to texts."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError, Source


def read_source(path: str | PathLike[str]) -> Source:
    """Read a prototxt file.

    Raises:
        NetcError: when there is no such file, or it is no text.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise NetcError(Diagnostic("unreadable-file", f"cannot read `{path}`: {reason}")) from None
    return Source(str(path), data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape"))
