"""A GPU by way of CuPy: arrays, memory pool, streams, graphs, and NVRTC through RawModule."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from types import ModuleType
from typing import Protocol, cast

import numpy as np
from numpy.typing import DTypeLike

from netc.backends.base import Progress
from netc.backends.cuda.device import (
    Code,
    DeviceBuffer,
    DeviceError,
    Facts,
    KernelCall,
    Mark,
    StreamSlot,
)
from netc.backends.cuda.libraries.found import libraries
from netc.backends.cuda.libraries.operation import (
    Library,
    LibraryAlgorithm,
    LibraryError,
    LibraryKernel,
    LibraryProduct,
    Start,
)
from netc.backends.cuda.source import Kernel, module_text
from netc.ops.array import AnyArray

OPTIONS = ("--std=c++17",)


# CuPy has no types of its own; these are what is used of its objects.


class _Pointer(Protocol):
    """cupy.cuda.MemoryPointer."""

    ptr: int

    def __add__(self, offset: int) -> _Pointer: ...


class _Function(Protocol):
    """cupy.cuda.Function: a kernel that is loaded."""

    max_dynamic_shared_size_bytes: int
    preferred_shared_memory_carveout: int

    def __call__(
        self, grid: Sequence[int], block: Sequence[int], args: Sequence[object], *, shared_mem: int
    ) -> None: ...


class _Event(Mark, Protocol):
    """cupy.cuda.Event."""

    def record(self) -> None: ...


class _CupyDevice(Protocol):
    """cupy.cuda.Device."""

    id: int


class _Resident(Protocol):
    """A CuPy array, as far as NumPy's are something else."""

    device: _CupyDevice


class _Stream(AbstractContextManager[object], Protocol):
    """cupy.cuda.Stream."""

    def record(self, event: object) -> Mark: ...

    def wait_event(self, event: Mark) -> None: ...


class _Graph(Protocol):
    """cupy.cuda.Graph: calls that are started together."""

    def launch(self) -> None: ...


class DeviceMemory:
    """Device memory from CuPy's pool."""

    def __init__(self, pointer: _Pointer, size: int) -> None:
        self.pointer = pointer
        self.size = size

    @property
    def address(self) -> int:
        """Its address on the device."""
        return int(self.pointer.ptr)


class CupyDevice:
    """One GPU.

    Args:
        cupy: the module.
        number: the device's.
    """

    def __init__(self, cupy: ModuleType, number: int) -> None:
        self._cupy = cupy
        self._device = cupy.cuda.Device(number)
        self._functions: dict[Kernel, _Function] = {}
        self._starts: dict[LibraryKernel, Start] = {}
        self._libraries: Mapping[str, Library] | None = None
        self.facts = facts(cupy, number)

    def active(self) -> AbstractContextManager[object]:
        """Makes it the thread's current device meanwhile."""
        device: AbstractContextManager[object] = self._cupy.cuda.Device(self._device.id)
        return device

    @property
    def _loaded(self) -> Mapping[str, Library]:
        """The libraries that are installed, started when first asked for."""
        if self._libraries is None:
            with self.active():
                self._libraries = libraries(self._cupy)
        return self._libraries

    @property
    def libraries(self) -> str:
        """Names and versions."""
        return " ".join(f"{name}-{found.version}" for name, found in self._loaded.items())

    def algorithms(self, operation: LibraryProduct) -> Sequence[LibraryAlgorithm]:
        """What each of the installed libraries proposes."""
        return [
            algorithm
            for found in self._loaded.values()
            for algorithm in found.algorithms(operation)
        ]

    def build(self, kernels: Iterable[Code], progress: Progress | None = None) -> None:
        """Compile and load what is not there yet, on several threads; CuPy keeps it on disk.

        Raises:
            DeviceError: something cannot be compiled or loaded; all else is ready.
        """
        tell = progress or _silent
        codes = dict.fromkeys(kernels)
        wanted = [k for k in codes if isinstance(k, Kernel) and k not in self._functions]
        for kernel in codes:
            if isinstance(kernel, LibraryKernel) and kernel not in self._starts:
                self._starts[kernel] = self._started(kernel)
        if not wanted:
            return
        failed: list[DeviceError] = []
        with ThreadPoolExecutor(min(len(wanted), os.cpu_count() or 1)) as pool:
            made = zip(wanted, pool.map(self._attempted, wanted), strict=True)
            for done, (kernel, function) in enumerate(made):
                tell(done, len(wanted), kernel.template)
                if isinstance(function, DeviceError):
                    failed.append(function)
                else:
                    self._functions[kernel] = function
        tell(len(wanted), len(wanted), "")
        if failed:
            raise failed[0]

    def _attempted(self, kernel: Kernel) -> _Function | DeviceError:
        """A kernel's function, or why there is none."""
        cuda = self._cupy.cuda
        try:
            return self._compiled(kernel)
        except (cuda.compiler.CompileException, cuda.driver.CUDADriverError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            return DeviceError(f"kernel {kernel.name}: {reason}")

    def _compiled(self, kernel: Kernel) -> _Function:
        with self.active():
            module = self._cupy.RawModule(code=module_text([kernel]), options=OPTIONS)
            function: _Function = module.get_function(kernel.name)  # which compiles and loads it
            if kernel.shared:
                with suppress(self._cupy.cuda.driver.CUDADriverError):  # launches will tell
                    function.max_dynamic_shared_size_bytes = kernel.shared
                    function.preferred_shared_memory_carveout = 100  # per cent
            return function

    def allocate(self, size: int) -> DeviceBuffer:
        """Memory from CuPy's pool; what the pool keeps unused is given back before it fails."""
        try:
            pointer = self._cupy.cuda.alloc(size)
        except self._cupy.cuda.memory.OutOfMemoryError:
            self._cupy.get_default_memory_pool().free_all_blocks()
            pointer = self._cupy.cuda.alloc(size)
        return DeviceMemory(pointer, size)

    def upload(self, array: AnyArray) -> DeviceBuffer:
        """An array's bytes on the device."""
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        there = self._cupy.asarray(flat)
        return DeviceMemory(there.data, flat.size)

    def view(
        self,
        buffer: DeviceBuffer,
        offset: int,
        shape: Sequence[int],
        strides: Sequence[int],
        dtype: DTypeLike,
    ) -> AnyArray:
        """A CuPy array over a buffer's bytes."""
        assert isinstance(buffer, DeviceMemory)
        array: AnyArray = self._cupy.ndarray(
            tuple(shape), dtype, memptr=buffer.pointer + offset, strides=tuple(strides)
        )
        return array

    def asarray(self, value: object) -> AnyArray:
        """A CuPy array of this device, without a copy where that is what it is."""
        if isinstance(value, self._cupy.ndarray) or hasattr(value, "__cuda_array_interface__"):
            return self._here(self._cupy.asarray(value))
        if self.owns(value):
            return self._here(self._cupy.from_dlpack(value))
        array: AnyArray = self._cupy.asarray(np.asarray(value))
        return array

    def _here(self, array: AnyArray) -> AnyArray:
        """An array of this device: kernels cannot read what lies on another one."""
        return array if cast(_Resident, array).device.id == self._device.id else array.copy()

    def owns(self, value: object) -> bool:
        """True if a value lies in a CUDA device's memory."""
        if hasattr(value, "__cuda_array_interface__"):
            return True
        place = getattr(value, "__dlpack_device__", None)
        return place is not None and int(place()[0]) in _DLPACK_CUDA

    def wait(self) -> None:
        """Until the current stream's work is done."""
        self._cupy.cuda.get_current_stream().synchronize()

    def release(self) -> None:
        """Give back what CuPy's pool keeps unused."""
        self._cupy.get_default_memory_pool().free_all_blocks()

    def empty(self, shape: Sequence[int], dtype: DTypeLike) -> AnyArray:
        """A new CuPy array."""
        array: AnyArray = self._cupy.empty(tuple(shape), dtype)
        return array

    def to_host(self, array: object) -> AnyArray:
        """A NumPy copy; waits for the current stream."""
        copy: AnyArray = self._cupy.asnumpy(self.asarray(array))
        return copy

    def address(self, array: AnyArray) -> int:
        """Where an array's first element lies."""
        return int(cast(_Pointer, array.data).ptr)

    def _started(self, kernel: LibraryKernel) -> Start:
        library = self._loaded.get(kernel.algorithm.library)
        try:
            if library is None:
                raise LibraryError(f"{kernel.algorithm.library} is not there any more")
            return library.start(kernel)
        except LibraryError as error:
            raise DeviceError(str(error)) from error

    def launch(self, call: KernelCall) -> None:
        """Start a kernel on the current stream."""
        code = call.kernel
        try:
            if isinstance(code, LibraryKernel):
                stream = self._cupy.cuda.get_current_stream().ptr
                self._starts[code]([int(address) for address in call.arguments], stream)
            else:
                function, block = self._functions[code], (call.threads, 1, 1)
                function(call.grid, block, call.arguments, shared_mem=code.shared)
        except (LibraryError, self._cupy.cuda.driver.CUDADriverError) as error:
            raise DeviceError(f"{code.name}: {error}") from error

    def record(
        self, calls: Sequence[KernelCall], slots: Sequence[StreamSlot]
    ) -> Callable[[], None] | None:
        """A graph of the calls; None where the driver will not record it."""
        cuda = self._cupy.cuda
        lanes = 1 + max(slot.lane for slot in slots)
        streams = [cuda.Stream(non_blocking=True) for _ in range(lanes)]
        refused = (cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError, DeviceError)
        streams[0].begin_capture()
        try:
            self._fork(streams, calls, slots)
            return _Start(streams[0].end_capture())
        except refused:
            # Whether it is recording may not be asked once an error has spoilt it: CuPy raises a
            # plain RuntimeError. To end it is an error in any case, of a class derived from that.
            with suppress(RuntimeError):
                streams[0].end_capture()
            return None

    def _fork(
        self, streams: Sequence[_Stream], calls: Sequence[KernelCall], slots: Sequence[StreamSlot]
    ) -> None:
        """Start calls on as many streams as there are lanes, and join them in the first."""

        def reached(stream: _Stream) -> Mark:
            return stream.record(self._cupy.cuda.Event(disable_timing=True))

        begun = reached(streams[0])
        for stream in streams[1:]:
            stream.wait_event(begun)
        awaited = {index for slot in slots for index in slot.after}
        marks: dict[int, Mark] = {}
        for index, (call, slot) in enumerate(zip(calls, slots, strict=True)):
            stream = streams[slot.lane]
            for other in slot.after:
                stream.wait_event(marks[other])
            with stream:
                self.launch(call)
            if index in awaited:
                marks[index] = reached(stream)
        for stream in streams[1:]:
            streams[0].wait_event(reached(stream))

    def mark(self) -> Mark:
        """An event in the current stream."""
        event: _Event = self._cupy.cuda.Event(disable_timing=True)
        event.record()
        return event

    def follow(self, mark: Mark | None) -> None:
        """Let the current stream wait for an event."""
        if mark is not None:
            self._cupy.cuda.get_current_stream().wait_event(mark)

    def reach(self, mark: Mark | None) -> None:
        """Wait until an event is reached."""
        if mark is not None:
            mark.synchronize()

    def measure(self, work: Callable[[], None], rounds: int) -> float:
        """The median of the seconds that ``work`` takes, by events."""
        cuda = self._cupy.cuda
        work()
        times = []
        for _ in range(rounds):
            start, end = cuda.Event(), cuda.Event()
            start.record()
            work()
            end.record()
            end.synchronize()
            times.append(1e-3 * cuda.get_elapsed_time(start, end))
        return float(statistics.median(times))


_DLPACK_CUDA = frozenset({2, 13})  # kDLCUDA, kDLCUDAManaged of dlpack.h


def _silent(done: int, total: int, name: str) -> None:
    """Nobody wants to know."""


class _Start:
    """Launches a graph on the current stream; keeps it alive."""

    def __init__(self, graph: _Graph) -> None:
        self._graph = graph

    def __call__(self) -> None:
        self._graph.launch()


def facts(cupy: ModuleType, number: int) -> Facts:
    """The properties of a CUDA device."""
    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(number)
    name = properties["name"]
    return Facts(
        name.decode() if isinstance(name, bytes) else str(name),
        (int(properties["major"]), int(properties["minor"])),
        int(properties["multiProcessorCount"]),
        int(properties["totalGlobalMem"]),
        int(runtime.deviceGetAttribute(runtime.cudaDevAttrMaxSharedMemoryPerBlockOptin, number)),
    )
