"""A cache on disk for what is costly to compute and depends on its source alone.

Entries are named by a hash of what they were made from, so they are never stale. Some are machine
code, which is executed. So each entry starts with a SHA-256 digest of its name, its content and the
kind of machine: an entry that was swapped, truncated or garbled is a miss. A folder that another
user owns or may write to is not used.

The folder is ``$NETC_CACHE_DIR``, else ``$XDG_CACHE_HOME/netc``, else ``~/.cache/netc``, else,
where these are refused, a temporary one that is removed when the process ends. Without a writable
folder netc gives the same results, more slowly.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import stat
import struct
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcWarning, render

_MAGIC = b"netc cache 1\n"
_DIGEST = 32  # bytes of SHA-256
_LARGEST = 2**28  # bytes of an entry
_POSIX = hasattr(os, "geteuid") and os.open in os.supports_dir_fd


class CacheWarning(NetcWarning):
    """A cache folder is not used, since others could put code into it."""


class _RefusedError(Exception):
    """Why a folder is not to be trusted."""


def cache_dir() -> Path | None:
    """The cache folder, created if it does not exist; None where none can be written."""
    with _folder() as found:
        return found[0] if found else None


def content_key(*parts: bytes) -> str:
    """The name of the entry made from these bytes: 32 hex digits of their SHA-256."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:32]


def read_entry(name: str) -> bytes | None:
    """The bytes of a cache entry; None where it is absent or its digest does not match."""
    with _folder() as found, suppress(OSError):
        entry = _read(name, *found) if found else b""
        start = len(_MAGIC) + _DIGEST
        if entry[:start] == _MAGIC + _digest(name, entry[start:]):
            return entry[start:]
    return None


def write_entry(name: str, data: bytes) -> None:
    """Write a cache entry atomically; a failure to write is ignored."""
    with _folder() as found, suppress(OSError):
        if found:
            _write(name, _MAGIC + _digest(name, data) + data, *found)


def _digest(name: str, data: bytes) -> bytes:
    """What binds an entry to its name, its content and the machine."""
    digest = hashlib.sha256()
    for part in (_machine(), name.encode(), data):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def _processor() -> str:
    """The kind of processor; what ``platform`` says, which takes long to import."""
    if hasattr(os, "uname"):
        return os.uname().machine
    import platform

    return platform.machine()


@cache
def _machine() -> bytes:
    words = (sys.platform, _processor(), sys.byteorder, struct.calcsize("P"))
    return repr(words).encode()


# Files. On POSIX a folder is opened once and its entries through it, so that what was checked is
# what is read and written, whatever is renamed meanwhile.


def _read(name: str, folder: Path, handle: int | None) -> bytes:
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    if handle is None:
        opened = os.open(folder / name, flags)
    else:
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        opened = os.open(name, flags, dir_fd=handle)
    with os.fdopen(opened, "rb") as file:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode) or not _private(status):
            return b""
        return file.read(_LARGEST)


def _write(name: str, data: bytes, folder: Path, handle: int | None) -> None:
    temporary = f".{name}.{os.urandom(8).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    if handle is None:
        opened = os.open(folder / temporary, flags, 0o600)
    else:
        flags |= os.O_NOFOLLOW | os.O_CLOEXEC
        opened = os.open(temporary, flags, 0o600, dir_fd=handle)
    paths = (folder / temporary, folder / name) if handle is None else (temporary, name)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(data)
        os.replace(*paths, src_dir_fd=handle, dst_dir_fd=handle)
    except OSError:
        with suppress(OSError):
            os.unlink(paths[0], dir_fd=handle)
        raise


# The folder


@contextmanager
def _folder() -> Iterator[tuple[Path, int | None] | None]:
    """The folder, and on POSIX a handle of it; None where none can be had."""
    found = _first()
    try:
        yield found
    finally:
        if found and found[1] is not None:
            os.close(found[1])


def _first() -> tuple[Path, int | None] | None:
    """The first of the folders that can be trusted, if it can be written too."""
    for place in _places():
        try:
            return _opened(place)
        except _RefusedError as why:
            _warn(place, str(why))
        except (OSError, RuntimeError, ValueError):
            return None
    with suppress(OSError):
        return _opened(_for_this_process())
    return None


def _places() -> Iterator[Path]:
    given, home = os.environ.get("NETC_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME", "")
    if given:
        yield Path(given)
    if os.path.isabs(home):  # the standard says to pass over others
        yield Path(home) / "netc"
        return
    with suppress(RuntimeError):  # a user without a home
        yield Path.home() / ".cache" / "netc"


def _opened(path: Path) -> tuple[Path, int | None]:
    """A folder that exists, is this user's alone, and can be written.

    Raises:
        _RefusedError: it cannot be trusted.
        OSError: it cannot be made or written.
    """
    if not path.is_absolute():
        raise _RefusedError("is no absolute path, and the current folder may be anyone's")
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = None
    if _POSIX:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if handle is not None:
            _check(os.fstat(handle))
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(path)
    except BaseException:
        if handle is not None:
            os.close(handle)
        raise
    return path, handle


def _check(status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise _RefusedError(f"belongs to another user (number {status.st_uid})")
    if not _private(status):
        raise _RefusedError("may be written by other users; `chmod go-w` mends that")


def _private(status: os.stat_result) -> bool:
    """Whether nobody else can have written this; Windows has other means for it."""
    if not _POSIX:
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@cache
def _warn(path: Path, why: str) -> None:
    """Say once that a folder is not used."""
    message = f"the cache folder `{path}` {why}: it is not used, since its code would be run"
    help = ("NETC_CACHE_DIR names another",)
    warning = render(Diagnostic("unsafe-cache", message, severity="warning", help=help))
    warnings.warn(warning, CacheWarning, stacklevel=2)


@cache
def _for_this_process() -> Path:
    """A new folder of this process alone, gone at its end.

    Raises:
        OSError: there is no place for one.
    """
    import shutil
    import tempfile

    path = Path(tempfile.mkdtemp(prefix="netc-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path
