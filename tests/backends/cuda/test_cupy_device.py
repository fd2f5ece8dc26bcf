"""What is asked of CuPy, and in which order, by a stand-in that notes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from netc.backends.cuda.cupy_device import CupyDevice
from netc.backends.cuda.device import DeviceError, KernelCall, StreamSlot
from netc.backends.cuda.source import Kernel


class OutOfMemoryError(MemoryError):
    """CuPy's is one too."""


class RuntimeFault(RuntimeError):  # noqa: N818
    """CuPy's CUDARuntimeError."""


class CompileFault(Exception):  # noqa: N818
    """CuPy's CompileException."""


class Event:
    def __init__(self, disable_timing: bool = False) -> None:
        assert disable_timing  # the others are slower
        self.after = ""


class Stream:
    """Notes what happens in it, each line with its number."""

    def __init__(self, fake: Fake, name: str) -> None:
        self.fake, self.name, self.capturing = fake, name, False

    def __enter__(self) -> None:
        self.fake.current.append(self)

    def __exit__(self, *error: object) -> None:
        self.fake.current.pop()

    def begin_capture(self) -> None:
        self.capturing = True
        self.fake.log.append(f"{self.name}: begin")

    def end_capture(self) -> Any:
        self.capturing = False
        self.fake.log.append(f"{self.name}: end")
        if self.fake.refuses:
            raise RuntimeFault
        return SimpleNamespace(launch=lambda: self.fake.log.append("graph"))

    def is_capturing(self) -> bool:
        return self.capturing

    def record(self, event: Event) -> Event:
        event.after = f"{self.name}{sum(x.startswith(self.name) for x in self.fake.log)}"
        return event

    def wait_event(self, event: Event) -> None:
        self.fake.log.append(f"{self.name}: after {event.after}")


class Fake:
    """As much of CuPy as a device takes."""

    class ndarray:  # noqa: N801
        """Stands for an array on the device."""

    def __init__(self, room: int = 100) -> None:
        self.log: list[str] = []
        self.room, self.pooled = room, 0
        self.refuses = False
        self.streams = 0
        self.current: list[Stream] = []
        runtime = SimpleNamespace(
            CUDARuntimeError=RuntimeFault,
            cudaDevAttrMaxSharedMemoryPerBlockOptin=97,
            deviceGetAttribute=lambda attribute, number: {97: 227 << 10}[attribute],
            getDeviceProperties=lambda number: {
                "name": b"Fake",
                "major": 9,
                "minor": 0,
                "multiProcessorCount": 132,
                "totalGlobalMem": 1 << 30,
            },
        )
        self.cuda = SimpleNamespace(
            runtime=runtime,
            driver=SimpleNamespace(CUDADriverError=RuntimeFault),
            compiler=SimpleNamespace(CompileException=CompileFault),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            Device=self.device,
            Stream=self.stream,
            Event=Event,
            alloc=self.alloc,
            get_current_stream=lambda: self.current[-1],
        )

    def device(self, number: int) -> Any:
        @contextmanager
        def active() -> Iterator[None]:
            yield

        context: Any = active()
        context.id = number
        return context

    def stream(self, non_blocking: bool) -> Stream:
        assert non_blocking  # or it would wait for the default stream
        self.streams += 1
        return Stream(self, "abcdef"[self.streams - 1])

    def alloc(self, size: int) -> Any:
        if size > self.room:
            raise OutOfMemoryError
        return SimpleNamespace(ptr=size)

    def get_default_memory_pool(self) -> Any:
        return self

    def free_all_blocks(self) -> None:
        self.log.append("freed")
        self.room += self.pooled

    def RawModule(self, code: str, options: tuple[str, ...]) -> Any:  # noqa: N802
        def function(name: str) -> Any:
            assert f"KERNEL {name}(" in code and "--std=c++17" in options

            def start(grid: Any, block: Any, given: Any, shared_mem: int) -> None:
                self.log.append(f"{name} {grid} {block} {given[0]}")

            return start

        return SimpleNamespace(get_function=function)

    def asarray(self, value: Any) -> Any:
        return Found("asarray", value)

    def from_dlpack(self, value: Any) -> Any:
        return Found("from_dlpack", value)


class Found(NamedTuple):
    """An array, by the function that gave it."""

    function: str
    value: Any

    @property
    def device(self) -> Any:
        return SimpleNamespace(id=getattr(self.value, "number", 0))

    def copy(self) -> Any:
        return "a copy here"


class ByInterface:
    __cuda_array_interface__ = {}  # noqa: RUF012
    number = 0


class ByDlpack:
    def __init__(self, kind: int) -> None:
        self.kind = kind

    def __dlpack__(self, **options: Any) -> Any:
        raise AssertionError("not read by us")

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.kind, 0

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.ones(2, np.float32)


def test_arrays_on_the_device_are_taken_as_they_are() -> None:
    device = CupyDevice(Fake(), 0)
    tensor, mirrored, host = ByInterface(), ByDlpack(2), ByDlpack(1)
    assert device.owns(tensor) and device.asarray(tensor) == ("asarray", tensor)
    assert device.owns(mirrored) and device.asarray(mirrored) == ("from_dlpack", mirrored)
    assert not device.owns(host) and not device.owns(np.ones(3))
    kind, array = device.asarray(host)
    assert kind == "asarray" and isinstance(array, np.ndarray)


def test_arrays_of_another_device_are_copied() -> None:
    tensor = ByInterface()
    tensor.number = 1
    assert CupyDevice(Fake(), 0).asarray(tensor) == "a copy here"
    assert CupyDevice(Fake(), 1).asarray(tensor) == ("asarray", tensor)


def test_memory_that_the_pool_keeps_is_given_back_before_a_lack_is_told() -> None:
    fake = Fake(room=10)
    device = CupyDevice(fake, 0)
    fake.pooled = 50
    assert device.allocate(40).address == 40 and fake.log == ["freed"]
    fake.pooled = 0
    with pytest.raises(MemoryError):
        device.allocate(1000)


def calls_of(device: CupyDevice, fake: Fake, count: int) -> list[KernelCall]:
    """Calls of kernels that note the stream that they are started on."""
    found = []
    for number in range(count):
        kernel = Kernel("copy", (("NUMBER", number),))

        def start(
            grid: Any, block: Any, arguments: Any, shared_mem: int, number: int = number
        ) -> None:
            if fake.refuses:
                raise RuntimeFault
            fake.log.append(f"{fake.current[-1].name}: kernel {number}")

        device._functions[kernel] = start
        found.append(KernelCall(kernel, (1, 1, 1), 32, ()))
    return found


def test_building_tells_how_far_it_is_and_builds_once() -> None:
    fake = Fake()
    device, told = CupyDevice(fake, 0), list[Any]()
    kernels = [Kernel("copy", (), (("source_t", t), ("target_t", t))) for t in ("float", "half_t")]
    for _ in range(2):
        device.build(kernels, lambda *numbers: told.append(numbers))
    assert told == [(0, 2, "copy"), (1, 2, "copy"), (2, 2, "")]
    device.launch(KernelCall(kernels[1], (3, 1, 1), 64, (np.int32(5),)))
    assert fake.log == [f"{kernels[1].name} (3, 1, 1) (64, 1, 1) 5"]


def test_a_kernel_that_cannot_be_compiled_leaves_the_others_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Fake()
    device = CupyDevice(fake, 0)
    good, bad = Kernel("copy", (("A", 1),)), Kernel("copy", (("A", 2),))
    compiled = CupyDevice._compiled

    def failing(self: CupyDevice, kernel: Kernel) -> Any:
        if kernel == bad:
            raise CompileFault("error: too much shared data\nmore")
        return compiled(self, kernel)

    monkeypatch.setattr(CupyDevice, "_compiled", failing)
    with pytest.raises(DeviceError, match=f"kernel {bad.name}: error: too much shared data$"):
        device.build([bad, good])
    device.launch(KernelCall(good, (1, 1, 1), 64, (np.int32(1),)))


def test_branches_are_recorded_on_streams_that_fork_and_join() -> None:
    fake = Fake()
    device = CupyDevice(fake, 0)
    slots = [StreamSlot(0), StreamSlot(0), StreamSlot(1, (0,)), StreamSlot(0, (2,))]
    start = device.record(calls_of(device, fake, 4), slots)
    assert fake.log == [
        "a: begin",
        "b: after a1",
        "a: kernel 0",
        "a: kernel 1",
        "b: after a2",
        "b: kernel 2",
        "a: after b3",
        "a: kernel 3",
        "a: after b3",
        "a: end",
    ]
    assert start is not None
    start()
    start()
    assert fake.log[-2:] == ["graph", "graph"]


def test_what_the_driver_does_not_record_is_started_one_by_one() -> None:
    fake = Fake()
    device = CupyDevice(fake, 0)
    calls = calls_of(device, fake, 1)
    fake.refuses = True
    assert device.record(calls, [StreamSlot(0)]) is None
    assert fake.log == ["a: begin", "a: end"]  # no stream is left in capture


def test_a_callers_stream_waits_for_the_one_before() -> None:
    fake = Fake()
    device = CupyDevice(fake, 0)
    event = Event(disable_timing=True)
    event.after = "earlier"
    with Stream(fake, "s"):
        device.follow(event)
        device.follow(None)
    assert fake.log == ["s: after earlier"]
