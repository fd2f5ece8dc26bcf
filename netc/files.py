"""Files that are written whole or not at all, and only where a file may be written.

A path means a regular file, or none yet: a device, pipe or socket is never replaced by a file, nor
is what a link leads to outside of its own folder. What a command was given to read it does not
overwrite (:func:`keeping`).
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
    """Have none of these files, nor any in these folders, overwritten inside."""
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
    """A path to write to that takes the place of ``path`` when all went well.

    Raises:
        NetcError: cannot-write, not-a-file, overwrites-input.
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
    """The file that a path means; a link within its own folder stays one, and what it means counts.

    Raises:
        NetcError: not-a-file, overwrites-input, cannot-write.
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
    """The error for what the system refuses to write; to be raised by the caller."""
    reason = getattr(error, "strerror", None) or str(error)
    message = f"`{path}` cannot be written: {reason.lower()}"
    help: tuple[str, ...] = ()
    if isinstance(error, FileNotFoundError) and not Path(os.path.realpath(path)).parent.is_dir():
        help = (f"there is no folder `{path.parent}`",)
    return NetcError(Diagnostic("cannot-write", message, help=help))
