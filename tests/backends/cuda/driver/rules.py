"""The driver's own rules, asked for by CuPy: what it refuses, and that missing order shows."""

from __future__ import annotations

from typing import Any

import numpy as np

from netc.backends.cuda.devices import cupy_module
from tests.backends.cuda.driver.library import Driver

TEXT = """
extern "C" __global__ void __launch_bounds__(64) rule(float* y, int n, long long m) {
    __shared__ float kept[16];
    int i = blockIdx.x * 64 + threadIdx.x;
    kept[i % 16] = 1;
    __syncthreads();
    if (i < n) y[i] += kept[0] * m;
}
"""


def error_of(wanted: str, work: Any, *given: Any, **named: Any) -> None:
    """What must be refused, and as what."""
    try:
        work(*given, **named)
    except Exception as error:
        assert wanted in str(error), f"{error} is not {wanted}"
    else:
        raise AssertionError(f"there was no {wanted}")


def capture_rules(driver: Driver) -> None:
    import cupy

    a, b = (cupy.cuda.Stream(non_blocking=True) for _ in range(2))
    y = cupy.zeros(4, np.float32)

    def forked() -> None:
        a.begin_capture()
        cupy.cuda.runtime.memsetAsync(y.data.ptr, 1, 4, a.ptr)
        b.wait_event(a.record(cupy.cuda.Event(disable_timing=True)))
        cupy.cuda.runtime.memsetAsync(y.data.ptr, 2, 4, b.ptr)

    forked()
    error_of("StreamCaptureUnjoined", a.end_capture)
    assert not a.is_capturing() and not b.is_capturing()
    forked()
    error_of("StreamCaptureUnmatched", b.end_capture)
    error_of("StreamCaptureInvalidated", a.end_capture)
    forked()
    error_of("StreamCaptureUnsupported", b.synchronize)
    error_of("StreamCaptureInvalidated", a.end_capture)
    outside = cupy.cuda.Stream(non_blocking=True).record()
    a.begin_capture()
    error_of("StreamCaptureIsolation", a.wait_event, outside)
    error_of("StreamCaptureInvalidated", a.end_capture)


def implicit_rules(driver: Driver) -> None:
    """What waits for everything may not be asked for while a stream is recorded."""
    import cupy

    runtime = cupy.cuda.runtime
    blocking, y = cupy.cuda.Stream(), cupy.zeros(4, np.float32)
    blocking.begin_capture()
    error_of("StreamCaptureImplicit", runtime.memsetAsync, y.data.ptr, 1, 4, 0)
    error_of("StreamCaptureInvalidated", blocking.end_capture)
    blocking.begin_capture(runtime.streamCaptureModeGlobal)
    error_of("StreamCaptureUnsupported", runtime.malloc, 1000)
    error_of("StreamCaptureInvalidated", blocking.end_capture)
    blocking.begin_capture()
    runtime.free(runtime.malloc(1000))  # which the relaxed mode allows
    error_of("StreamCaptureUnsupported", runtime.deviceSynchronize)
    error_of("StreamCaptureInvalidated", blocking.end_capture)
    event = cupy.cuda.Event(disable_timing=True)
    blocking.begin_capture()
    event.record(blocking)
    error_of("CapturedEvent", event.synchronize)
    error_of("StreamCaptureInvalidated", blocking.end_capture)


def launch_rules(driver: Driver) -> None:
    cupy: Any = cupy_module()  # with NVRTC found, which CuPy 13 does not do by itself
    module = cupy.RawModule(code=TEXT)
    kernel, y = module.get_function("rule"), cupy.zeros(4, np.float32)
    given = (y, np.int32(4), np.int64(3))
    error_of("INVALID_VALUE", kernel, (1,), (65,), given)  # beyond its launch bounds
    error_of("INVALID_VALUE", kernel, (1, 65536), (64,), given)
    error_of("INVALID_VALUE", kernel, (1,), (64,), given, shared_mem=49153)
    kernel.max_dynamic_shared_size_bytes = 100 << 10
    error_of("INVALID_VALUE", kernel, (1,), (64,), given, shared_mem=(100 << 10) + 1)
    runtime = cupy.cuda.runtime
    most = runtime.deviceGetAttribute(runtime.cudaDevAttrMaxSharedMemoryPerBlockOptin, 0)
    error_of("INVALID_VALUE", setattr, kernel, "max_dynamic_shared_size_bytes", most)
    kernel.preferred_shared_memory_carveout = 100
    assert kernel.max_dynamic_shared_size_bytes == 100 << 10
    assert kernel.preferred_shared_memory_carveout == 100
    assert driver.parameters("rule") == [8, 4, 8]
    assert kernel.shared_size_bytes == 64 and kernel.max_threads_per_block == 64
    assert 0 < kernel.num_regs <= 255
    error_of("NOT_FOUND", module.get_function, "other")


def streams_that_do_not_wait(driver: Driver) -> None:
    """No stream waits for another unasked: then either comes first, now and then."""
    assert _orders(True) == {True}
    assert _orders(False) == {True, False}


def _orders(waits: bool) -> set[bool]:
    """Whether what a stream wrote was there when another read it."""
    import cupy

    runtime, found = cupy.cuda.runtime, set()
    a, b = (cupy.cuda.Stream(non_blocking=True) for _ in range(2))
    written, read = cupy.zeros(8, np.uint8), cupy.zeros(8, np.uint8)
    for value in range(1, 30):
        runtime.deviceSynchronize()
        runtime.memsetAsync(written.data.ptr, value, 8, a.ptr)
        if waits:
            b.wait_event(a.record())
        runtime.memcpyAsync(read.data.ptr, written.data.ptr, 8, 3, b.ptr)
        runtime.deviceSynchronize()
        found.add(int(cupy.asnumpy(read)[0]) == value)
    return found


# Faults that end the process.


def freed_twice(driver: Driver) -> None:
    import cupy

    there = cupy.cuda.runtime.malloc(1000)
    cupy.cuda.runtime.free(there)
    cupy.cuda.runtime.free(there)


def kernel_without_stand_in(driver: Driver) -> None:
    cupy: Any = cupy_module()
    y = cupy.zeros(4, np.float32)
    cupy.RawModule(code=TEXT).get_function("rule")((1,), (64,), (y, np.int32(4), np.int64(3)))


def argument_in_no_memory(driver: Driver) -> None:
    cupy: Any = cupy_module()
    there = cupy.cuda.runtime.malloc(1000)
    driver.register("rule", driver.library.fake_nothing)
    kernel = cupy.RawModule(code=TEXT).get_function("rule")
    kernel((1,), (64,), (np.uint64(there), np.int32(4), np.int64(3)))
    cupy.cuda.runtime.deviceSynchronize()
    kernel((1,), (64,), (np.uint64(there + 4097), np.int32(4), np.int64(3)))
    cupy.cuda.runtime.deviceSynchronize()


def copy_beyond_memory(driver: Driver) -> None:
    import cupy

    runtime = cupy.cuda.runtime
    a, b = runtime.malloc(5000), runtime.malloc(6000)
    runtime.memcpy(b, a, 5000, 3)
    runtime.memcpy(b, a, 5001, 3)


RULES = {
    rule.__name__: rule
    for rule in (
        capture_rules,
        implicit_rules,
        launch_rules,
        streams_that_do_not_wait,
        freed_twice,
        kernel_without_stand_in,
        argument_in_no_memory,
        copy_beyond_memory,
    )
}
