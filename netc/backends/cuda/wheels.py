"""CUDA's libraries in NVIDIA's packages of pip, which CuPy 13 does not look into."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import util
from pathlib import Path
from types import ModuleType

LIBRARIES = ("nvrtc", "cublas")  # what compiles kernels, and what CuPy multiplies matrices by


def folders() -> tuple[Path, ...]:
    """Where NVIDIA's packages lie: folders of libraries and headers below these."""
    spec = util.find_spec("nvidia")
    return tuple(map(Path, (spec and spec.submodule_search_locations) or ()))


def files(name: str, major: int) -> Iterator[Path]:
    """A library's files.

    Args:
        name: the library's, such as ``nvrtc``.
        major: of CUDA, which is in the file's name.
    """
    for folder in folders():
        # nvidia/cuda_nvrtc/lib in packages for CUDA 12, nvidia/cu13/lib since
        yield from sorted(folder.glob(f"*/*/{file_name(name, major)}"))


def file_name(name: str, major: int) -> str:
    """What a library's file is called on this system."""
    if sys.platform == "win32":
        return f"{name}64_{major}.dll"
    return f"lib{name}.so.{major}"


def library(name: str, major: int) -> ctypes.CDLL | None:
    """A library from pip's packages, or from where the system's loader looks."""
    return _loaded((*files(name, major), file_name(name, major)))


def cuda_major(cupy: ModuleType) -> int:
    """The major version of CUDA that CuPy was made for."""
    return int(cupy.cuda.runtime.runtimeGetVersion()) // 1000


def preload(cupy: ModuleType) -> None:
    """Load the libraries for CuPy's version of CUDA, where pip has installed them.

    A loader asked for a library's name gives the one that is loaded already. So CuPy 13 finds what
    it would look for in a CUDA toolkit only, and CuPy 14 that of its own version where packages for
    several versions of CUDA are installed. What cannot be loaded is left for CuPy to tell of.
    """
    with suppress(cupy.cuda.runtime.CUDARuntimeError):
        for name in LIBRARIES:
            _loaded(files(name, cuda_major(cupy)))


def _loaded(candidates: Iterable[Path | str]) -> ctypes.CDLL | None:
    """The first that the loader takes."""
    for file in candidates:
        with suppress(OSError):
            return ctypes.CDLL(str(file))
    return None
