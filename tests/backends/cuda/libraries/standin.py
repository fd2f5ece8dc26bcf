"""Stand-ins for NVIDIA's libraries, that compute on the processor."""

from __future__ import annotations

import ctypes
import os
import subprocess
from functools import cache
from pathlib import Path

from netc.backends.cuda.libraries.cublas import Cublas
from netc.backends.cuda.libraries.cudnn import Cudnn
from netc.cache import cache_dir, content_key
from tests.backends.cuda.emulator.device import COMPILER
from tests.backends.cuda.libraries import cudnn_module

SOURCE = Path(__file__).with_name("cublaslt.cpp")
FLAGS = ("-std=c++17", "-O2", "-shared", "-fPIC", "-Wall", "-Wno-unused-parameter")
_FOLDER = cache_dir()  # before any test has another one


@cache
def cublaslt() -> ctypes.CDLL:
    """A library with cuBLASLt's functions."""
    assert COMPILER is not None and _FOLDER is not None
    target = _FOLDER / f"cublaslt-{content_key(SOURCE.read_bytes())}.so"
    if not target.exists():
        own = target.with_suffix(f".{os.getpid()}")
        subprocess.run([COMPILER, *FLAGS, str(SOURCE), "-o", str(own)], check=True)
        own.replace(target)
    return ctypes.CDLL(str(target))


def cublas() -> Cublas:
    return Cublas(cublaslt())


def cudnn() -> Cudnn:
    return Cudnn(cudnn_module)
