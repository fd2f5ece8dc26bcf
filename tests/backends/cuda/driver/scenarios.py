"""What is run on CuPy itself, each by its name; a process of its own runs them (see __main__)."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import json
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np

import netc
from netc.backends import reference
from netc.backends.cuda import backend
from netc.backends.cuda.backend import CudaBackend
from netc.backends.cuda.cupy_device import CupyDevice
from netc.backends.cuda.devices import current_device
from netc.backends.cuda.libraries import found
from netc.backends.cuda.products.tiles import MATRIX, ProductConfig
from netc.backends.cuda.source import Kernel
from netc.backends.cuda.tuning import tuner
from netc.cli.main import main
from netc.diagnostics import NetcError
from netc.ir.graph import Graph
from tests.backends.cuda.driver.library import Driver
from tests.backends.cuda.driver.names import ELSEWHERE, FAST, FAULTS, SLOW
from tests.backends.cuda.driver.nets import (
    BETWEEN,
    BRANCHES,
    DEEP,
    HEAVY,
    LARGE,
    MIXED,
    ONE,
    PARAMETER,
    RESIDUAL,
    both,
    check,
    close,
    data_of,
    executable,
)
from tests.backends.cuda.driver.rules import RULES
from tests.backends.cuda.golden_kernels import options
from tests.backends.cuda.libraries import cudnn_module, standin
from tests.backends.cuda.test_forks import LAYER, feeds_of, graph_of
from tests.test_golden import CASES, GOLDEN, arrays, assert_agrees, params

Scenario = Callable[[Driver], None]
SCENARIOS: dict[str, Scenario] = dict(RULES)
GOLDEN_FEW = (
    "Convolution__00 Convolution__depthwise_wide Deconvolution__00 "
    "InnerProduct__00 LRN__00 LSTM__00 Pooling__ave_00 Pooling__max_00 Softmax__00 "
    "Graph__inception"
).split()


def scenario(function: Scenario) -> Scenario:
    SCENARIOS[function.__name__] = function
    return function


# Nets as wholes


@scenario
def split_sum(driver: Driver) -> None:
    net, right = both(DEEP)
    assert executable(net).program.counters > 0
    check(net, right)


@scenario
def much_shared_memory(driver: Driver) -> None:
    """More of it than a kernel has unasked, in one launch and in a graph."""
    deep = [tile for tile in MATRIX if tile.asked]
    for tile, splits in ((deep[0], 1), (deep[-1], 2)):
        with mock.patch.object(backend, "guessed", return_value=ProductConfig(tile, splits)):
            net, right = both(DEEP, precision="fp16")
            check(net, right, 5e-3)
        (kernel,) = executable(net).program.kernels
        assert isinstance(kernel, Kernel) and kernel.shared == tile.asked
        function = current_device()._functions[kernel]
        assert function.max_dynamic_shared_size_bytes == tile.asked
        assert function.preferred_shared_memory_carveout == 100


def _precision(driver: Driver, precision: str, tolerance: float) -> None:
    recorded, refused = driver.counts.recorded, driver.counts.refused
    net, right = both(RESIDUAL, precision=precision)
    check(net, right, tolerance)
    assert (driver.counts.recorded, driver.counts.refused) == (recorded + 1, refused)


@scenario
def residual_float32(driver: Driver) -> None:
    _precision(driver, "float32", 1e-5)


@scenario
def residual_tf32(driver: Driver) -> None:
    _precision(driver, "tf32", 3e-3)


@scenario
def residual_fp16(driver: Driver) -> None:
    _precision(driver, "fp16", 5e-3)


@scenario
def no_graph(driver: Driver) -> None:
    before = driver.counts.launched
    net, right = both(RESIDUAL, graph=False)
    check(net, right)
    assert driver.counts.launched == before


@scenario
def branches_in_lanes(driver: Driver) -> None:
    net, right = both(BRANCHES)
    slots = executable(net).program.slots
    assert max(slot.lane for row in slots.values() for slot in row) > 0
    recorded, launched = driver.counts.recorded, driver.counts.launched
    check(net, right)
    assert driver.counts.recorded == recorded + 1
    assert driver.counts.launched == launched + 2  # the first run starts each kernel
    for seed in range(8):  # each time in another of the orders that the graph allows
        data = data_of(net, seed)
        close(net(data=data)["all"], right(data=data)["all"])


@scenario
def array_step_between_graphs(driver: Driver) -> None:
    net, right = both(BETWEEN)
    assert net.report()["array_steps"] == ["m"]
    recorded = driver.counts.recorded
    check(net, right, 1e-4)
    assert driver.counts.recorded == recorded + 2


@contextlib.contextmanager
def _forking(disturbed: Callable[[Any], None]) -> Iterator[None]:
    """Something else happens while a graph is recorded."""
    device: Any = CupyDevice
    original = CupyDevice._fork

    def fork(self: Any, streams: Any, *given: Any) -> None:
        original(self, streams, *given)
        disturbed(streams)

    device._fork = fork
    try:
        yield
    finally:
        device._fork = original


@scenario
def recording_that_is_refused(driver: Driver) -> None:
    """What cannot be recorded is started one by one."""
    recorded, refused = driver.counts.recorded, driver.counts.refused
    net, right = both(RESIDUAL)
    with _forking(lambda streams: streams[0].synchronize()):
        check(net, right)
    assert (driver.counts.recorded, driver.counts.refused) == (recorded, refused + 1)
    check(both(ONE)[0], both(ONE)[1])


@scenario
def recording_beside_other_work(driver: Driver) -> None:
    """Another thread may use the default stream, and memory, while a graph is recorded."""
    import cupy

    def work(streams: Any) -> None:
        runtime = cupy.cuda.runtime
        there = runtime.malloc(1000)
        runtime.memset(there, 0, 1000)
        runtime.free(there)

    recorded = driver.counts.recorded
    net, right = both(RESIDUAL)
    with _forking(work):
        check(net, right)
    assert driver.counts.recorded == recorded + 1


@scenario
def libraries(driver: Driver) -> None:
    """cuBLASLt's and cuDNN's stand-ins are found, put into streams, recorded and replayed."""
    kept: list[Any] = []
    work_of = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

    def enqueue(stream: int, work: Callable[[], None]) -> None:
        kept.append(work_of(lambda _: work()))
        assert driver.library.fake_enqueue(ctypes.c_ssize_t(stream), kept[-1], None) == 0

    standin.cublaslt().standin_queue(ctypes.cast(driver.library.fake_enqueue, ctypes.c_void_p))
    replaced = {
        (found, "library"): lambda name, major: standin.cublaslt(),
        (found, "_interface"): lambda: cudnn_module,
        (cudnn_module, "enqueue"): enqueue,
        (current_device(), "_libraries"): None,
    }
    with contextlib.ExitStack() as stack:
        for (place, name), value in replaced.items():
            stack.enter_context(mock.patch.object(place, name, value))
        config = standin.by_library(current_device()._loaded)
        stack.enter_context(mock.patch.object(backend, "guessed", config))
        recorded = driver.counts.recorded
        net, right = both(MIXED)
        templates = {k.template for k in executable(net).program.kernels}
        assert {"cublas", "cudnn"} <= templates
        check(net, right)
        assert driver.counts.recorded == recorded + 1


@scenario
def another_stream(driver: Driver) -> None:
    import cupy

    net, right = both(RESIDUAL)
    check(net, right)
    for non_blocking in (True, False):
        with cupy.cuda.Stream(non_blocking=non_blocking):
            check(net, right)
    check(net, right)


@scenario
def streams_in_turn(driver: Driver) -> None:
    """Calls that nobody waits for in between, on streams that do not wait for each other."""
    import cupy

    net, right = both(RESIDUAL)
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(3)]
    given = [data_of(net, seed) for seed in range(6)]
    there = [cupy.asarray(data) for data in given]
    cupy.cuda.get_current_stream().synchronize()
    results = []
    for index, data in enumerate(there):
        with streams[index % 3]:
            results.append(net(data=data)["prob"])
    for stream in reversed(streams):
        stream.synchronize()
    for data, result in zip(given, results, strict=True):
        close(cupy.asnumpy(result), right(data=data)["prob"])


# Arrays


class Interface:
    """Only what __cuda_array_interface__ tells."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.__cuda_array_interface__ = array.__cuda_array_interface__


class Capsule:
    """Only what DLPack tells."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __dlpack__(self, **given: Any) -> Any:
        return self._array.__dlpack__(**given)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


@scenario
def arrays_on_the_device(driver: Driver) -> None:
    import cupy

    net, right = both(RESIDUAL)
    data = data_of(net)
    want = right(data=data)["prob"]
    there = cupy.asarray(data)
    turned = cupy.asarray(np.ascontiguousarray(data.transpose(3, 0, 2, 1))).transpose(1, 3, 2, 0)
    wide = cupy.asarray(np.pad(data, ((0, 0),) * 3 + ((2, 3),)))[..., 2:-3]
    for array in (there, turned, wide, Interface(there), Capsule(there), Interface(wide)):
        result = net(data=array)["prob"]
        assert isinstance(result, cupy.ndarray)
        close(cupy.asnumpy(result), want)
        assert net(data=array)["prob"].data.ptr != result.data.ptr


@scenario
def arrays_of_another_type(driver: Driver) -> None:
    import cupy

    net, right = both(ONE)
    data = data_of(net)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        got = net(data=cupy.asarray(data.astype(np.float64)))
    assert any("float64" in str(entry.message) for entry in told), told
    want = right(data=data)
    for name, array in want.items():
        close(cupy.asnumpy(got[name]), array)
    try:
        net(data=cupy.asarray(data.astype(np.complex64)))
        raise AssertionError("nothing was said")
    except NetcError as error:
        assert error.diagnostics[0].code == "input-dtype", error


@scenario
def weights_of_calls_under_way(driver: Driver) -> None:
    """A second call, on another stream, while the first has not even begun on its own."""
    import cupy

    net, right = both(PARAMETER)
    one, other = (cupy.cuda.Stream(non_blocking=True) for _ in range(2))
    data = data_of(net)
    there = cupy.asarray(data)
    cupy.cuda.get_current_stream().synchronize()
    with one:
        first = net(data=there)["y"]
    held = executable(net)._idle.pop()
    with other:
        second = cupy.asnumpy(net(data=there)["y"])
    close(second, right(data=data)["y"])
    with one:
        close(cupy.asnumpy(first), right(data=data)["y"])
    del held


# The rest


@scenario
def net_dropped_under_way(driver: Driver) -> None:
    """What a call works in is given away when it has ended, not before."""
    import cupy

    for _ in range(3):
        net, right = both(RESIDUAL)
        data = data_of(net)
        there = cupy.asarray(data)
        check(net, right)
        with cupy.cuda.Stream(non_blocking=True):
            result = net(data=there)["prob"]
        want = right(data=data)["prob"]
        del net
        gc.collect()
        others = [cupy.empty(size, np.float32) for size in (64, 256, 1024, 4096, 8192) * 6]
        for other in others:
            cupy.cuda.runtime.memsetAsync(other.data.ptr, 0x7F, other.nbytes, 0)
        cupy.cuda.runtime.deviceSynchronize()
        close(cupy.asnumpy(result), want)


@contextlib.contextmanager
def _little_memory(driver: Driver, left: int) -> Iterator[None]:
    """There must be too little for what is done meanwhile."""
    import cupy

    total = driver.library.fake_memory()
    cupy.get_default_memory_pool().free_all_blocks()
    driver.limit(driver.library.fake_memory_used() + left)
    try:
        yield
    except NetcError as error:
        assert error.diagnostics[0].code == "out-of-device-memory", error
    else:
        raise AssertionError("there is not as much memory")
    finally:
        driver.limit(total)


@scenario
def out_of_memory(driver: Driver) -> None:
    small, right = both(ONE)
    net, _ = both(LARGE)
    with _little_memory(driver, 2 << 20):
        net(data=data_of(net))
    with _little_memory(driver, 2 << 20):
        both(HEAVY)
    check(small, right)
    net(data=data_of(net))


@scenario
def two_threads(driver: Driver) -> None:
    import cupy

    net, right = both(RESIDUAL)
    wrong: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for turn in range(4):
                data = data_of(net, 10 * seed + turn)
                with cupy.cuda.Stream(non_blocking=True):
                    close(net(data=data)["prob"], right(data=data)["prob"])
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]


@scenario
def measured_steps(driver: Driver) -> None:
    net, _ = both(RESIDUAL)
    times = executable(net).profile({"data": data_of(net)}, 2)
    assert times and all(time.seconds > 0 for time in times)


@scenario
def devices_command(driver: Driver) -> None:
    found = _listed()["devices"]
    assert [d["name"] for d in found] == ["Fake GPU"] and found[0]["capability"] == [9, 0]


def _listed() -> dict[str, Any]:
    """What the command tells of GPUs."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["devices", "--json"]) == 0
    found: dict[str, Any] = json.loads(out.getvalue())["cuda"]
    return found


@scenario
def tuned(driver: Driver) -> None:
    tuner_of: Any = tuner
    kept, tuner_of._MAX_MEASURED = tuner._MAX_MEASURED, 2
    try:
        net, right = both(ONE, tune=True)
    finally:
        tuner_of._MAX_MEASURED = kept
    check(net, right)


def two_devices(driver: Driver) -> None:
    """A net stays on the device that was current when it was compiled."""
    import cupy

    nets = []
    for number in (0, 1):
        with cupy.cuda.Device(number):
            nets.append(both(RESIDUAL))
    for number in (0, 1):
        with cupy.cuda.Device(number):
            for net, right in nets:
                check(net, right)
            own, right = nets[number]
            data = data_of(own)
            result = own(data=cupy.asarray(data))["prob"]
            assert result.device.id == number
            close(cupy.asnumpy(result), right(data=data)["prob"])


def no_device(driver: Driver) -> None:
    missing = "there is no CUDA device"
    assert _listed()["missing"] == missing
    try:
        both(ONE)
    except NetcError as error:
        assert error.diagnostics[0].code == "no-cuda" and missing in str(error), error
    else:
        raise AssertionError("there is no device")


SCENARIOS.update(two_devices=two_devices, no_device=no_device)


@scenario
def golden_few(driver: Driver) -> None:
    _golden([case for case in CASES if case["case"] in GOLDEN_FEW])


def _golden(cases: list[dict[str, Any]]) -> None:
    wrong = []
    for case in cases:
        text = GOLDEN / "layers" / f"{case['case']}.prototxt"
        data = text.with_suffix(".npz")
        options = {"backend": "cuda", "tune": False, "phase": case["phase"]}
        try:
            net = netc.compile(text, params(data), **options)
            for _ in range(2):  # the second time from a graph
                got = net(arrays(data, "in/"))
                for name, want in arrays(data, "out/").items():
                    assert_agrees(got[name], want, name)
        except Exception as error:
            wrong.append(f"{case['case']}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)


# Those that take minutes


# Sorting is done by code in CuPy's wheel that brings a CUDA runtime of its own, not by this driver.
_NOT_SORTING = [case for case in CASES if case["type"] != "ArgMax"]


def _golden_part(number: int, parts: int) -> Scenario:
    return lambda driver: _golden(_NOT_SORTING[number::parts])


@scenario
def forks(driver: Driver) -> None:
    """Layers of forks, in both phases."""
    wrong = []
    for name, (kind, shapes, text) in LAYER.items():
        for phase in ("TEST", "TRAIN"):
            if name == "stochastic pooling" and phase == "TRAIN":
                continue  # each run draws its own
            graph = graph_of(kind, shapes, text, phase)
            try:
                _agrees(graph, feeds_of(name, graph))
            except Exception as error:
                wrong.append(f"{name}, {phase}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)


def _agrees(graph: Graph, feeds: dict[str, Any]) -> None:
    found = CudaBackend(current_device()).prepare(graph, options())
    for _ in range(2):
        got = found.run(feeds)
        for name, want in reference.run(graph, feeds).items():
            np.testing.assert_allclose(got[name], want, rtol=1e-5, atol=1e-6, err_msg=name)


for _number in range(8):
    SCENARIOS[f"golden_{_number}"] = _golden_part(_number, 8)
assert set(SCENARIOS) == {*FAST, *SLOW, *ELSEWHERE, *FAULTS}
