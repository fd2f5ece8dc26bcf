"""A cache on disk for what is costly to make and follows from its source alone.

Entries are named by a hash of what they were made from, so they are never stale. The folder is
``$NETC_CACHE_DIR``, else ``$XDG_CACHE_HOME/netc``, else ``~/.cache/netc``. Where it cannot be
written netc works as well, only slower.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path


def cache_dir() -> Path | None:
    """The cache folder, made if need be; None where none can be written."""
    given = os.environ.get("NETC_CACHE_DIR")
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        path = Path(given) if given else (Path(home) if home else Path.home() / ".cache") / "netc"
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (OSError, RuntimeError):
        return None
    return path if os.access(path, os.W_OK | os.X_OK) else None


def content_key(*parts: bytes) -> str:
    """A name for what is made from these bytes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:32]


def read_entry(name: str) -> bytes | None:
    """The bytes of a cache entry, None where there is none."""
    folder = cache_dir()
    if folder is None:
        return None
    try:
        return (folder / name).read_bytes()
    except OSError:
        return None


def write_entry(name: str, data: bytes) -> None:
    """Write a cache entry whole or not at all; a failure is silent."""
    folder = cache_dir()
    if folder is None:
        return
    with suppress(OSError):
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, folder / name)
        except OSError:
            os.unlink(temporary)
            raise
