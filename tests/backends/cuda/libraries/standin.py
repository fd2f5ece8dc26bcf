"""Stand-ins for NVIDIA's libraries, that compute on the processor."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from netc.backends.cuda.libraries.cublas import Cublas
from netc.backends.cuda.libraries.cudnn import Cudnn
from netc.backends.cuda.libraries.operation import Library, LibraryAlgorithm
from netc.backends.cuda.products.choice import guessed
from netc.backends.cuda.products.library import operation_of, split_epilogue
from netc.backends.cuda.products.tiles import PLAIN, ProductConfig
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


def algorithms_of(
    loaded: Mapping[str, Library], emission: Any, product: Any
) -> list[LibraryAlgorithm]:
    """What libraries propose, for a product with what follows it, and for the product alone."""
    found: list[LibraryAlgorithm] = []
    for fused in (True, False):
        operation = operation_of(emission, product, split_epilogue(emission, product, fused))
        for library in loaded.values() if operation else ():
            found += [
                algorithm._replace(fuses_epilogue=fused)
                for algorithm in library.algorithms(operation)
            ]
    return found


def by_library(loaded: Mapping[str, Library], number: int = 0) -> Any:
    """Takes a library's way of each product that it knows."""

    def choose(emission: Any, product: Any) -> ProductConfig:
        algorithms = algorithms_of(loaded, emission, product)
        algorithm = algorithms[number % len(algorithms)] if algorithms else None
        return (
            ProductConfig(PLAIN[-1], algorithm=algorithm)
            if algorithm
            else guessed(emission, product)
        )

    return choose
