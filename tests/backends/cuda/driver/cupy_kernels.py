"""CuPy's own kernels (copies, functions of elements, reductions) compiled for the processor."""

from __future__ import annotations

import ctypes
import re
import threading
from pathlib import Path
from typing import Any

from tests.backends.cuda.driver.library import Driver
from tests.backends.cuda.emulator import device as emulator

_ARRAYS = Path(__file__).resolve().parent / "arrays.h"
_NAME = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\)\s*)?(\w+)\(')
_TURN = threading.Lock()  # two kernels of one name may be made at once


def follow(driver: Driver) -> None:
    """Register each kernel that CuPy generates, by its text, before CuPy has it compiled."""
    from cupy.cuda import compiler

    original = compiler._compile_module_with_cache

    def compile_both(source: str, *given: Any, **named: Any) -> Any:
        with _TURN:
            if "cupy/" in source:
                register(driver, source)
            return original(source, *given, **named)

    compiler._compile_module_with_cache = compile_both


def register(driver: Driver, source: str) -> None:
    """Compile what CuPy generated and hand it to the driver."""
    name = _NAME.search(source)
    assert name, source
    body = re.sub(r'#include [<"]cupy/[^\n]*', "", source)
    start = (
        f'extern "C" int start(const unsigned* shape, int order, void** values) {{\n'
        f"    return emulator::start({name[1]}, shape, order, values);\n}}\n"
    )
    library = ctypes.CDLL(str(emulator._compiled(_ARRAYS.read_text() + body + start)))
    driver.register(name[1], library.start)
