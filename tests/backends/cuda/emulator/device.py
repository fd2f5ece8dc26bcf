"""A device that is the processor: kernels are compiled as C++, memory is NumPy's."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from netc.backends.base import Progress
from netc.backends.cuda.device import Code, DeviceBuffer, DeviceError, Facts, KernelCall, StreamSlot
from netc.backends.cuda.libraries.operation import (
    Library,
    LibraryAlgorithm,
    LibraryError,
    LibraryKernel,
    LibraryProduct,
)
from netc.backends.cuda.source import Kernel, module_text
from netc.cache import cache_dir, content_key
from tests.backends.cuda.emulator import arrays

SHIM = Path(__file__).resolve().parent / "shim.h"
COMPILER = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
if sys.platform != "linux":  # whose coroutines the shim uses
    COMPILER = None
# A device faults where an address is no multiple of what is read or written there: so it is here.
ALIGNED = ("-fsanitize=alignment", "-fsanitize-undefined-trap-on-error")
FLAGS = (
    *("-std=c++17", "-O1", "-shared", "-fPIC", "-w", "-U_FORTIFY_SOURCE", "-fno-strict-aliasing"),
    *ALIGNED,
)


class Memory:
    """Bytes at a multiple of 256, with guards of NaN around them."""

    def __init__(self, size: int) -> None:
        self._raw = np.full(size + 1024, 0xFF, np.uint8)
        start = -self._raw.ctypes.data % 256 + 256
        self.bytes = self._raw[start : start + size]
        self.size = size
        self._edges = (self._raw[:start], self._raw[start + size :])

    @property
    def address(self) -> int:
        return int(self.bytes.ctypes.data)

    def check(self) -> None:
        """Nothing may have been written before or after it."""
        for edge in self._edges:
            assert (edge == 0xFF).all(), "a kernel wrote outside its memory"


class EmulatedDevice:
    """Runs kernels in a chosen order of threads: 0 forward, 1 backward, 2 shuffled."""

    def __init__(
        self, order: int = 0, processors: int = 8, loaded: Mapping[str, Library] | None = None
    ) -> None:
        self.loaded = loaded or {}
        self.facts = Facts("emulator", (9, 0), processors, 1 << 30, 227 << 10)
        self.order = order
        self.launches = 0
        self.measured = 0
        self.up: list[int] = []  # bytes of each copy from the host
        self.down: list[int] = []  # and to it
        self._memory: list[Memory] = []

    def active(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def build(self, kernels: Iterable[Code], progress: Progress | None = None) -> None:
        build(kernel for kernel in kernels if isinstance(kernel, Kernel))

    def algorithms(self, operation: LibraryProduct) -> Sequence[LibraryAlgorithm]:
        return [
            algorithm for found in self.loaded.values() for algorithm in found.algorithms(operation)
        ]

    @property
    def libraries(self) -> str:
        return " ".join(self.loaded)

    def allocate(self, size: int) -> DeviceBuffer:
        memory = Memory(size)
        self._memory.append(memory)
        return memory

    def upload(self, array: Any) -> DeviceBuffer:
        self.up.append(array.nbytes)
        memory = self.allocate(array.nbytes)
        assert isinstance(memory, Memory)
        memory.bytes[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        return memory

    def view(
        self,
        buffer: DeviceBuffer,
        offset: int,
        shape: Sequence[int],
        strides: Sequence[int],
        dtype: Any,
    ) -> Any:
        assert isinstance(buffer, Memory)
        last = sum(max(0, n - 1) * s for n, s in zip(shape, strides, strict=True))
        if all(shape):
            assert 0 <= offset and offset + last + np.dtype(dtype).itemsize <= buffer.size
        start = buffer.bytes[offset:] if all(shape) else np.zeros(16, np.uint8)
        flat = start[: start.size // 4 * 4].view(dtype)
        return arrays.wrap(np.lib.stride_tricks.as_strided(flat, tuple(shape), tuple(strides)))

    def asarray(self, value: Any) -> Any:
        if self.owns(value):
            return value
        copy = np.array(value, copy=True)
        self.up.append(copy.nbytes)
        return arrays.wrap(copy)

    def empty(self, shape: Sequence[int], dtype: Any) -> Any:
        return arrays.wrap(np.full(tuple(shape), np.nan, dtype))

    def to_host(self, array: Any) -> Any:
        copy = np.array(arrays.unwrap(array), copy=True)
        self.down.append(copy.nbytes)
        return copy

    def owns(self, value: Any) -> bool:
        return isinstance(value, arrays.Array)

    def address(self, array: Any) -> int:
        return int(arrays.unwrap(array).ctypes.data)

    def launch(self, call: KernelCall) -> None:
        self.launches += 1
        if isinstance(call.kernel, LibraryKernel):
            self._start(call.kernel, [int(a) for a in call.arguments])
            return
        assert all(0 < n for n in call.grid) and 0 < call.threads <= 1024
        assert call.grid[1] <= 65535 and call.grid[2] <= 65535
        values = [np.array(a) for a in call.arguments]
        pointers = (ctypes.c_void_p * len(values))(*[v.ctypes.data for v in values])
        assert call.kernel.shared <= self.facts.shared
        shape = (ctypes.c_uint * 5)(*call.grid, call.threads, call.kernel.shared)
        with _TURN:  # a library's coroutines are one at a time
            failed = _function(call.kernel)(shape, self.order, pointers)
        assert not failed, f"{call.kernel.name}: threads wait at a barrier that others never reach"

    def _start(self, kernel: LibraryKernel, addresses: Sequence[int]) -> None:
        try:
            self.loaded[kernel.algorithm.library].start(kernel)(addresses, 0)
        except LibraryError as error:
            raise DeviceError(str(error)) from error

    def record(
        self, calls: Sequence[KernelCall], slots: Sequence[StreamSlot]
    ) -> Callable[[], None] | None:
        """Starts the calls in another order: of all that may be next, the last lane's."""
        order, done = [], set[int]()
        lanes: dict[int, list[int]] = {}
        for index, slot in enumerate(slots):
            lanes.setdefault(slot.lane, []).append(index)
        while any(lanes.values()):
            ready = [q for q in lanes.values() if q and done.issuperset(slots[q[0]].after)]
            index = ready[-1].pop(0)
            order.append(index)
            done.add(index)

        def start() -> None:
            for index in order:
                self.launch(calls[index])

        return start

    def wait(self) -> None:
        pass

    def release(self) -> None:
        pass

    def mark(self) -> Any:
        for memory in self._memory:
            memory.check()
        return None

    def follow(self, mark: Any) -> None:
        pass

    def reach(self, mark: Any) -> None:
        pass

    def measure(self, work: Callable[[], None], rounds: int) -> float:
        """Does the work once; a number that says nothing, so that all ways come to be chosen."""
        work()
        self.measured += 1
        return 1e-4 * (self.measured * 37 % 11 + 1)


_CACHE = cache_dir()  # before any test has another one
_TURN = threading.Lock()
_FUNCTIONS: dict[Kernel, Any] = {}


def build(kernels: Iterable[Kernel]) -> None:
    """Compile what is not there yet, several kernels at a time."""
    wanted = sorted({k for k in kernels if k not in _FUNCTIONS}, key=lambda k: k.name)
    if not wanted:
        return
    exported = "".join(f"EMULATE({kernel.name})\n" for kernel in wanted)
    library = ctypes.CDLL(str(_compiled(module_text(wanted) + exported)))
    for kernel in wanted:
        _FUNCTIONS[kernel] = getattr(library, f"start_{kernel.name}")


def _function(kernel: Kernel) -> Any:
    assert kernel in _FUNCTIONS, f"{kernel.name} was not built"
    return _FUNCTIONS[kernel]


@cache
def _folder() -> Path:
    return _CACHE or Path(tempfile.mkdtemp())


def _compiled(text: str) -> Path:
    key = content_key(text.encode(), SHIM.read_bytes(), " ".join(FLAGS).encode())
    target = _folder() / f"emulated-{key}.so"
    if target.exists():
        return target
    assert COMPILER is not None
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernels.cpp"
        source.write_text(SHIM.read_text() + text)
        built = Path(folder) / "kernels.so"
        command = [COMPILER, *FLAGS, str(source), "-o", str(built)]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, f"{result.stderr[:4000]}\n{source}"
        temporary = target.with_suffix(f".{os.getpid()}")
        shutil.copy(built, temporary)
        temporary.replace(target)
    return target
