"""What the backend asks of a device; CuPy's is one, the tests' emulator another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike

from netc.backends.base import Progress
from netc.backends.cuda.libraries.operation import LibraryAlgorithm, LibraryKernel, LibraryProduct
from netc.backends.cuda.source import Kernel
from netc.ops.array import AnyArray

SHARED = 48 * 1024  # bytes of shared memory that every device gives a block


@dataclass(frozen=True, slots=True)
class Facts:
    """A device's properties, as far as kernels are chosen by them.

    Args:
        name: the maker's name of the device.
        capability: the compute capability, e.g. (9, 0).
        processors: streaming multiprocessors.
        memory: bytes of device memory.
        shared: the most bytes of shared memory that a block may have.
    """

    name: str
    capability: tuple[int, int]
    processors: int
    memory: int = 0
    shared: int = SHARED


class DeviceBuffer(Protocol):
    """Device memory; it is given back when nothing refers to it any more."""

    @property
    def address(self) -> int:
        """Its address on the device."""

    @property
    def size(self) -> int:
        """Its bytes."""


Code = Kernel | LibraryKernel  # what a call runs


class DeviceError(Exception):
    """The device or a library will not do what was asked of it."""


class KernelCall(NamedTuple):
    """A kernel started with a grid, threads a block, and arguments: NumPy scalars.

    A library's operation has no grid of ours, and its arguments are addresses.
    """

    kernel: Code
    grid: tuple[int, int, int]
    threads: int
    arguments: tuple[np.generic, ...]


class StreamSlot(NamedTuple):
    """The stream that a call runs in, and the calls of other streams that it waits for."""

    lane: int
    after: tuple[int, ...] = ()


class Mark(Protocol):
    """A place in a stream's work."""

    def synchronize(self) -> None:
        """Wait until it is reached."""


class Device(Protocol):
    """A device, its memory, and the arrays that lie in it.

    Arrays are those of the device's array library: CuPy's, in a run with a GPU.
    """

    @property
    def facts(self) -> Facts:
        """The device's properties."""

    def active(self) -> AbstractContextManager[object]:
        """Makes it the current device of the thread meanwhile."""

    def build(self, kernels: Iterable[Code], progress: Progress | None = None) -> None:
        """Have the machine code of all of these ready, and tell how far it is.

        Raises:
            DeviceError: one cannot be had; all others are ready.
        """

    def algorithms(self, operation: LibraryProduct) -> Sequence[LibraryAlgorithm]:
        """The algorithms that installed libraries have for a product."""

    @property
    def libraries(self) -> str:
        """The libraries that :meth:`algorithms` asks, with their versions."""

    def allocate(self, size: int) -> DeviceBuffer:
        """Uninitialised memory of ``size`` bytes.

        Raises:
            MemoryError: there is not as much.
        """

    def upload(self, array: AnyArray) -> DeviceBuffer:
        """A NumPy array's bytes, on the device."""

    def view(
        self,
        buffer: DeviceBuffer,
        offset: int,
        shape: Sequence[int],
        strides: Sequence[int],
        dtype: DTypeLike,
    ) -> AnyArray:
        """An array over a buffer's bytes from ``offset`` on, strides in bytes."""

    def asarray(self, value: object) -> AnyArray:
        """A value as an array on this device: without a copy where it is there already."""

    def empty(self, shape: Sequence[int], dtype: DTypeLike) -> AnyArray:
        """A new array in C order."""

    def to_host(self, array: object) -> AnyArray:
        """An array's values as a NumPy array, when all work before is done."""

    def owns(self, value: object) -> bool:
        """True if a value lies in device memory, so that results should too."""

    def address(self, array: AnyArray) -> int:
        """Where an array's first element lies."""

    def launch(self, call: KernelCall) -> None:
        """Start a kernel on the current stream.

        Raises:
            DeviceError: it cannot be started.
        """

    def record(
        self, calls: Sequence[KernelCall], slots: Sequence[StreamSlot]
    ) -> Callable[[], None] | None:
        """What starts all calls at once, each in its slot; None where they cannot be recorded."""

    def wait(self) -> None:
        """Until all work of the current stream is done."""

    def release(self) -> None:
        """Give back device memory that nothing uses."""

    def mark(self) -> Mark:
        """A mark in the current stream, for :meth:`follow`."""

    def follow(self, mark: Mark | None) -> None:
        """Let the current stream wait until a mark is reached."""

    def reach(self, mark: Mark | None) -> None:
        """Wait until a mark is reached."""

    def measure(self, work: Callable[[], None], rounds: int) -> float:
        """The median of the seconds that ``work`` takes on the device."""
