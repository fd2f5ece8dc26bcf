"""Which of the libraries are installed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from types import ModuleType

from netc.backends.cuda.libraries.cublas import NAME as CUBLAS
from netc.backends.cuda.libraries.cublas import Cublas
from netc.backends.cuda.libraries.cudnn import NAME as CUDNN
from netc.backends.cuda.libraries.cudnn import Cudnn
from netc.backends.cuda.libraries.operation import Library, LibraryError
from netc.backends.cuda.wheels import cuda_major, library


def libraries(cupy: ModuleType) -> Mapping[str, Library]:
    """The libraries that can be used beside this CuPy on the current device, by name."""
    found: dict[str, Library] = {}
    loaded = library("cublasLt", cuda_major(cupy))
    with suppress(LibraryError, AttributeError):  # no device, or not the library it seems
        if loaded is not None:
            found[CUBLAS] = Cublas(loaded)
    interface = _interface()
    with suppress(LibraryError):  # the interface is there, and cuDNN itself is not
        if interface is not None:
            found[CUDNN] = Cudnn(interface)
    return found


def _interface() -> ModuleType | None:
    """nvidia-cudnn-frontend's module; None where it is not installed or cannot be loaded."""
    try:
        return import_module("cudnn")
    except Exception:  # whatever a library that it loads raises
        return None
