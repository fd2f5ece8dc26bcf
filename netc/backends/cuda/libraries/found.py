"""Which of the libraries are installed."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netc.backends.cuda.libraries.cublas import NAME as CUBLAS
from netc.backends.cuda.libraries.cublas import Cublas
from netc.backends.cuda.libraries.operation import Library, LibraryError


def shared_library(name: str, major: int) -> ctypes.CDLL | None:
    """One of CUDA's libraries: from pip's packages, or where the loader looks.

    Args:
        name: without prefix and suffix, e.g. ``cublasLt``.
        major: CUDA's version.
    """
    file = f"{name}64_{major}.dll" if sys.platform == "win32" else f"lib{name}.so.{major}"
    for candidate in (*_from_packages(file), file):
        try:
            return ctypes.CDLL(str(candidate))
        except OSError:
            continue
    return None


def _from_packages(file: str) -> list[Path]:
    """Where NVIDIA's packages have a file: below nvidia/cublas/lib and the like, or nvidia/cu13."""
    try:
        import nvidia
    except ImportError:
        return []
    folders = [Path(folder) for folder in nvidia.__path__]
    return sorted(path for folder in folders for path in folder.glob(f"*/*/{file}"))


def libraries(cupy: Any) -> Mapping[str, Library]:
    """The libraries that can be used beside this CuPy on the current device, by name."""
    found: dict[str, Library] = {}
    major = cupy.cuda.runtime.runtimeGetVersion() // 1000
    loaded = shared_library("cublasLt", major)
    if loaded is not None:
        try:
            found[CUBLAS] = Cublas(loaded)
        except (LibraryError, AttributeError):  # no device, or not the library it seems
            pass
    return found
