"""Reading of files as texts."""

from __future__ import annotations

import os
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError, Source, did_you_mean
from netc.syntax.limits import MAX_BYTES
from netc.syntax.sniff import binary_kind, not_prototxt, too_large

_HEAD = 8192
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_source(path: str | os.PathLike[str]) -> Source:
    """Read a prototxt file.

    Bytes that are not UTF-8 are kept as lone surrogates, so that a string or comment in another
    encoding is no error and gives the same bytes back. A byte-order mark is dropped, and a file
    in UTF-16, as Windows writes it, is decoded as such.

    Raises:
        NetcError: missing-file, is-a-directory, unreadable-file, too-large, or the code of a binary
            file's kind. A text of another format (a page, a schema) is reported by the parser.
    """
    name = os.fspath(path)
    data = _bytes(Path(path), name)
    size = Path(path).stat().st_size if len(data) > MAX_BYTES else 0
    return source_of_bytes(name, data, size)


def source_of_bytes(name: str, data: bytes, size: int = 0) -> Source:
    """The text in a file's bytes, which may come from elsewhere than a file.

    Args:
        name: what messages call it.
        data: the bytes, at least one more than the limit where they exceed it.
        size: how many there are, where ``data`` is not all of them.

    Raises:
        NetcError: too-large, or the code of a binary file's kind.
    """
    utf16 = data.startswith(_UTF16_MARKS) and len(data) % 2 == 0
    kind = None if utf16 else binary_kind(data[:_HEAD])
    if kind is None and len(data) > MAX_BYTES:
        raise NetcError(too_large(name, max(size, len(data))))
    if kind:
        raise NetcError(not_prototxt(name, kind))
    return Source(name, _text(data, utf16))


def _text(data: bytes, utf16: bool) -> str:
    if utf16:
        return data.decode("utf-16", "replace")
    return data.removeprefix(_UTF8_MARK).decode("utf-8", "surrogateescape")


def _bytes(path: Path, name: str) -> bytes:
    """The file's bytes, at most one more than the limit."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise NetcError(unreadable(name, error)) from None


NETS = (".prototxt", ".pbtxt")


def unreadable(
    name: str, error: OSError | ValueError, suffixes: tuple[str, ...] = NETS
) -> Diagnostic:
    """The error of a file that cannot be opened: missing-file, is-a-directory or unreadable-file.

    Args:
        name: of the file.
        error: what opening it raised.
        suffixes: of the files in a folder to suggest, where the name is a folder's.
    """
    path = Path(name)
    if isinstance(error, FileNotFoundError):
        message, help = f"there is no file `{name}`", _near(path)
        return Diagnostic("missing-file", message, help=help)
    if isinstance(error, IsADirectoryError):
        return Diagnostic("is-a-directory", f"`{name}` is a folder", help=_inside(path, suffixes))
    if isinstance(error, PermissionError):
        help = ("change its permissions, or run as a user who may read it",)
        return Diagnostic("unreadable-file", f"you may not read `{name}`", help=help)
    reason = (getattr(error, "strerror", None) or str(error)).lower()
    return Diagnostic("unreadable-file", f"`{name}` cannot be read: {reason}")


def _near(path: Path) -> tuple[str, ...]:
    """Files in the same folder with a like name; or the first folder that is not there."""
    if path.is_symlink():
        return (f"it is a link to `{os.readlink(path)}`, which is not there",)
    for folder in path.parents:
        if folder.is_dir():
            break
    else:
        return ()
    if folder != path.parent:
        missing = folder / path.relative_to(folder).parts[0]
        return (f"there is no folder `{missing}`", *did_you_mean(missing.name, _names(folder)))
    return did_you_mean(path.name, _names(folder))


def _inside(path: Path, suffixes: tuple[str, ...]) -> tuple[str, ...]:
    """The files in a folder that may have been meant."""
    found = [name for name in _names(path) if name.endswith(suffixes)]
    if not found:
        return (f"give a {suffixes[0]} file",)
    return ("give one of its files: " + ", ".join(f"`{path / name}`" for name in found[:5]),)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder))[:5000]
    except OSError:
        return []
