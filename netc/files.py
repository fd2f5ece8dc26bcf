"""Atomic writing: a file is written completely or not at all, and only where that is safe.

The path must be a regular file or not exist: a device, pipe or socket is never replaced, nor is the
target of a symbolic link outside of the link's folder. A command does not overwrite the files that
it was given to read (:func:`keeping`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError

_Identity = tuple[int, int]  # a file's device and number there
_KEPT: ContextVar[frozenset[_Identity]] = ContextVar("kept", default=frozenset())


@contextmanager
def keeping(paths: Iterable[str]) -> Iterator[None]:
    """A context in which writing to these files, or to existing files in these folders, fails.

    The error is ``overwrites-input``. Paths that do not exist are ignored.
    """
    token = _KEPT.set(frozenset(filter(None, map(_identity, paths))))
    try:
        yield
    finally:
        _KEPT.reset(token)


def _identity(path: str | Path) -> _Identity | None:
    with suppress(OSError, ValueError):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A context with a temporary path in the same folder, renamed to ``path`` at its end.

    If an exception leaves the context, the temporary file is removed and ``path`` is unchanged.

    Raises:
        NetcError: cannot-write; not-a-file, where ``path`` is a device, pipe, socket or a link out
            of its folder; overwrites-input, where it is a file that :func:`keeping` protects.
    """
    target = target_of(path)
    temporary = target.with_name(f".{target.name[:200]}.{os.urandom(8).hex()}")
    try:
        yield temporary
        if target.exists():
            temporary.chmod(target.stat().st_mode)
        os.replace(temporary, target)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def target_of(path: Path) -> Path:
    """The file to write for a path, symbolic links within its folder resolved.

    Raises:
        NetcError: not-a-file, overwrites-input, cannot-write: as :func:`replacing`.
    """
    try:
        target = Path(os.path.realpath(path))
        folder = Path(os.path.realpath(path.parent))
        kind = _kind(target)
    except (OSError, ValueError) as error:
        raise cannot_write(path, error) from None
    if path.is_symlink() and not target.is_relative_to(folder):
        help = f"to overwrite that file, name it: {target}"
        raise _refused("not-a-file", f"`{path}` is a link that leads out of its folder", help)
    if kind:
        raise _refused("not-a-file", f"`{path}` is {kind}, and only files are written")
    kept = _KEPT.get()
    if kept and (_identity(target) in kept or (target.exists() and _identity(folder) in kept)):
        message = f"`{path}` is what this command reads, and is not overwritten"
        raise _refused("overwrites-input", message, "give --force to overwrite it")
    return target


def _kind(target: Path) -> str:
    """What stands there, where it is no file that could be replaced."""
    try:
        mode = os.lstat(target).st_mode
    except FileNotFoundError:
        return ""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # a folder is told of by the system
        return ""
    names = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFLNK: "a link to itself"}
    return names.get(stat.S_IFMT(mode), "a device")


def _refused(code: str, message: str, *help: str) -> NetcError:
    return NetcError(Diagnostic(code, message, help=help))


def cannot_write(path: Path, error: OSError | ValueError) -> NetcError:
    """A ``cannot-write`` error with the system's reason; to be raised by the caller."""
    reason = getattr(error, "strerror", None) or str(error)
    message = f"`{path}` cannot be written: {reason.lower()}"
    help: tuple[str, ...] = ()
    if isinstance(error, FileNotFoundError) and not Path(os.path.realpath(path)).parent.is_dir():
        help = (f"there is no folder `{path.parent}`",)
    return NetcError(Diagnostic("cannot-write", message, help=help))
