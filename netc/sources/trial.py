"""Reads an LMDB's keys in another process first, because a damaged one can kill its reader.

LMDB maps its file and follows the offsets in it. It reports most damage as an error, but some
offsets lead beyond the end of the file, which raises SIGBUS or SIGSEGV. So a separate process
iterates over all keys first. It is started isolated (``python -I``), so that nothing is imported
from the current folder or the database's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

_AT_LEAST, _PER_BYTE = 60.0, 1e-7  # seconds: a disk reads 10 MB of scattered pages in a second
_RAISED = 1  # Python's exit status after an exception, which this process will meet itself
_SCRIPT = """
import sys
folder, path, is_folder = sys.argv[1:]
sys.path.append(folder)
import lmdb
database = lmdb.open(
    path, readonly=True, lock=False, readahead=False, subdir=is_folder == "True", create=False
)
left = database.stat()["entries"]
with database.begin(buffers=True) as transaction, transaction.cursor() as cursor:
    for key, value in cursor:
        left -= 1
        if left < 0:
            break
        bytes(key[: database.max_key_size()])
"""


def check_survival(lmdb: ModuleType, path: Path) -> None:
    """Check that iterating over an LMDB's keys does not kill the process.

    Args:
        lmdb: the package.
        path: the database's folder, or its file.

    Raises:
        ValueError: it does, or takes longer than any disk.
    """
    file = path / "data.mdb" if path.is_dir() else path
    patience = _AT_LEAST + _PER_BYTE * file.stat().st_size
    where = os.path.dirname(os.path.dirname(os.path.abspath(lmdb.__file__ or "")))
    if getattr(sys, "frozen", False) or not sys.executable:
        return
    arguments = [where, os.path.abspath(path), str(path.is_dir())]
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _SCRIPT, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=patience,
            cwd=os.path.dirname(sys.executable),
            check=False,
        )
    except OSError:  # no process can be started here
        return
    except subprocess.TimeoutExpired:
        raise ValueError(f"its keys were not gone through in {patience:.0f} s") from None
    if done.returncode not in (0, _RAISED):
        raise ValueError("its pages are damaged: they lead behind the end of the file")
