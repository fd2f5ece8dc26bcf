"""Open LMDB environments: LMDB refuses to be opened twice in a process, so they are shared."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from types import ModuleType

from netc.diagnostics import Diagnostic, NetcError
from netc.sources.trial import check_survival


def missing_package(package: str, extra: str, kind: str) -> NetcError:
    """The error where a database needs a package that is not installed."""
    return NetcError(
        Diagnostic(
            "missing-package",
            f"{kind} databases need the package `{package}`, which is not installed",
            help=(f"pip install '{extra}'",),
        )
    )


def lmdb_module() -> ModuleType:
    """The module lmdb.

    Raises:
        NetcError: missing-package, where it is not installed.
    """
    try:
        import lmdb
    except ImportError:
        raise missing_package("lmdb", "lmdb", "LMDB") from None
    return lmdb


class LmdbEnvironment:
    """An open LMDB, closed when nobody has it any more."""

    def __init__(self, path: Path) -> None:
        lmdb, folder = lmdb_module(), path.is_dir()
        check_survival(lmdb, path)
        self.lmdb: ModuleType = lmdb.open(
            str(path), readonly=True, lock=False, readahead=False, subdir=folder, create=False
        )
        weakref.finalize(self, self.lmdb.close)
        self._check_length(path / "data.mdb" if folder else path)

    def _check_length(self, file: Path) -> None:
        """Refuse a file that was cut off: LMDB maps it, and reads behind its end kill the process.

        Raises:
            ValueError: the file is shorter than its own header says.
        """
        needed = (self.lmdb.info()["last_pgno"] + 1) * self.lmdb.stat()["psize"]
        if file.stat().st_size < needed:
            raise ValueError(f"it has {file.stat().st_size:,} bytes, and says it has {needed:,}")


# LMDB refuses to be opened twice in a process, and the nets of a solver, or two solvers, may read
# one database. File -> what is open; a database made anew in its place is another file.
_OPEN: weakref.WeakValueDictionary[tuple[int, int], LmdbEnvironment] = weakref.WeakValueDictionary()
_OPENING = threading.Lock()


def environment(path: Path) -> LmdbEnvironment:
    """The environment of a path, which those who read it at the same time share."""
    file = (path / "data.mdb" if path.is_dir() else path).stat()
    key = (file.st_dev, file.st_ino)
    with _OPENING:
        found = _OPEN.get(key)
        if found is None:
            found = _OPEN[key] = LmdbEnvironment(path)
        return found
