"""Memory, threads, measuring, and layers without kernels, on the emulated device."""

from __future__ import annotations

import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from netc.backends import reference
from netc.backends.cuda.backend import CudaBackend, CudaExecutable
from netc.backends.cuda.dynamic import MixedExecutable
from netc.backends.cuda.tuning import tuner
from netc.cache import read_entry, write_entry
from netc.diagnostics import NetcError, Source
from netc.ir.graph import Graph
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice, Memory
from tests.backends.cuda.golden_kernels import build_golden, graph_of, options
from tests.test_golden import CASES

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")


def golden_graph(name: str) -> Graph:
    return graph_of(next(case for case in CASES if case["case"] == name))


def feeds_of(graph: Graph, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {n: rng.standard_normal(graph.shape(n)).astype(np.float32) for n in graph.inputs}


def assert_close(got: Any, want: Any, tolerance: float = 1e-5) -> None:
    assert set(got) == set(want)
    for name, array in want.items():
        scale = max(1.0, float(np.abs(array).max(initial=0)))
        np.testing.assert_allclose(got[name], array, rtol=0, atol=tolerance * scale, err_msg=name)


class SmallDevice(EmulatedDevice):
    """Has room for so many bytes at a time."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.taken = 0
        self.released: list[int] = []  # what was taken when all that is unused was given back

    def allocate(self, size: int) -> Memory:
        if self.taken + size > self.room:
            raise MemoryError
        memory = Memory(size)
        self.taken += size
        weakref.finalize(memory, self._freed, size)
        return memory

    def _freed(self, size: int) -> None:
        self.taken -= size

    def release(self) -> None:
        self.released.append(self.taken)


def test_a_lack_of_memory_is_told_with_the_plans_numbers() -> None:
    graph = golden_graph("Graph__inception")
    device = SmallDevice(1 << 20)
    executable = CudaBackend(device).prepare(graph, options())
    weights = device.taken
    device.room = weights + executable.report()["arena_bytes"]
    with pytest.raises(NetcError, match=r"out-of-device-memory.* MiB .*weights .*arena") as caught:
        executable.run(feeds_of(graph))
    assert "emulator" in str(caught.value) and device.released == [weights]
    device.room = 1 << 20
    assert_close(executable.run(feeds_of(graph)), reference.run(graph, feeds_of(graph)))


def test_a_lack_of_memory_frees_what_calls_before_have_left() -> None:
    graph = golden_graph("Graph__inception")
    device = SmallDevice(1 << 20)
    executable = CudaBackend(device).prepare(graph, options())
    assert isinstance(executable, CudaExecutable)
    weights = device.taken
    contexts = [executable._take(), executable._take()]
    executable._idle += contexts
    contexts.clear()
    device.empty = lambda shape, dtype: device.allocate(1 << 30)  # type: ignore[method-assign]
    with pytest.raises(NetcError, match="out-of-device-memory"):
        executable.run(feeds_of(graph))
    assert device.released == [weights]


def test_a_lack_of_memory_for_weights_is_told_too() -> None:
    device = SmallDevice(1500)
    with pytest.raises(NetcError, match="out-of-device-memory") as caught:
        CudaBackend(device).prepare(golden_graph("Graph__inception"), options())
    assert caught.value and device.released == [0]


def test_several_threads_at_once() -> None:
    graph = golden_graph("Graph__residual_bottleneck")
    executable = CudaBackend(EmulatedDevice()).prepare(graph, options())
    all_feeds = [feeds_of(graph, seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for feeds, got in zip(all_feeds, pool.map(executable.run, all_feeds), strict=True):
            assert_close(got, reference.run(graph, feeds))


def test_ways_are_measured_once_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = golden_graph("Graph__inception")
    device = EmulatedDevice()
    CudaBackend(device).prepare(graph, options())  # compiles into the cache that is there
    monkeypatch.setenv("NETC_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tuner, "_MAX_MEASURED", 3)  # every way is run in test_products
    feeds = feeds_of(graph)
    got = CudaBackend(device).prepare(graph, options(tune=True)).run(feeds)
    assert_close(got, reference.run(graph, feeds))
    assert device.measured > 10 and list(tmp_path.glob("cuda-ways-*.json"))
    measured = device.measured
    again = CudaBackend(device).prepare(graph, options(tune=True)).run(feeds)
    assert device.measured == measured
    assert_close(again, got, 0)


def test_a_spoilt_memory_of_ways_is_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETC_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tuner, "_MAX_MEASURED", 1)
    graph = golden_graph("Convolution__00")
    device = EmulatedDevice()
    CudaBackend(device).prepare(graph, options(tune=True))
    (file,) = tmp_path.glob("cuda-ways-*.json")
    for spoilt in (b"", b"[]", b'{"a": 1}', b'{"a": [[1], 2, 3]}', b"\0"):
        # Bytes that the cache refuses, and an entry of the cache's own that makes no sense.
        for spoil in (file.write_bytes, partial(write_entry, file.name)):
            spoil(spoilt)
            CudaBackend(device).prepare(graph, options(tune=True))
            entry = read_entry(file.name)
            assert entry is not None and b"pixels=" in entry


@pytest.mark.parametrize("precision", ("tf32", "fp16"))
@pytest.mark.parametrize(
    "name", [c["case"] for c in CASES if c["case"].startswith(("Graph__", "Pooling", "Concat"))]
)
def test_precisions_on_whole_graphs(name: str, precision: str) -> None:
    build_golden(precision)
    graph = golden_graph(name)
    feeds = feeds_of(graph)
    executable = CudaBackend(EmulatedDevice(1)).prepare(graph, options(precision=precision))
    assert_close(executable.run(feeds), reference.run(graph, feeds), 1e-2)


def test_old_devices_have_no_matrix_units() -> None:
    device = EmulatedDevice()
    device.facts = type(device.facts)("Old GPU", (7, 5), 40)
    with pytest.raises(NetcError, match=r"unsupported-precision.*tf32.*Old GPU has 7\.5"):
        CudaBackend(device).prepare(golden_graph("ReLU__00"), options(precision="tf32"))


SSD = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "keep" type: "Input" top: "keep" input_param { shape { dim: 4 dim: 1 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "r" type: "Reshape" bottom: "c" top: "r" reshape_param { shape { dim: 4 dim: 36 } } }
layer { name: "f" type: "Filter" bottom: "r" bottom: "keep" top: "f" }
layer { name: "s" type: "ReLU" bottom: "f" top: "s" }
layer { name: "p" type: "Power" bottom: "c" top: "p" power_param { scale: 2 } }
"""


def test_what_has_no_fixed_size_runs_on_the_host_and_the_rest_does_not() -> None:
    graph = netc.compile(Source("ssd.prototxt", SSD), backend="reference").graph
    device = EmulatedDevice()
    executable = CudaBackend(device).prepare(graph, options())
    assert isinstance(executable, MixedExecutable)
    assert isinstance(executable.planned, CudaExecutable)
    assert executable.report()["host_steps"] == ["f", "s"]
    feeds = {**feeds_of(graph), "keep": np.array([[1], [0], [1], [0]], np.float32)}
    want = reference.run(graph, feeds)
    assert want["s"].shape == (2, 36)
    assert_close(executable.run(feeds), want)
    there = {name: device.asarray(array) for name, array in feeds.items()}
    got = executable.run(there)
    assert all(device.owns(array) for array in got.values())
    assert_close({name: device.to_host(array) for name, array in got.items()}, want)


@pytest.mark.parametrize("precision", ("float32", "fp16"))
def test_images_that_only_convolutions_read_have_a_fourth_channel(precision: str) -> None:
    text = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape '
        "{ dim: 2 dim: 3 dim: 9 dim: 7 } } }"
        'layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { '
        'num_output: 10 kernel_size: 5 stride: 2 pad: 2 weight_filler { type: "xavier" } } }'
    )
    graph = netc.compile(Source("image.prototxt", text), backend="reference", seed=3).graph
    executable = CudaBackend(EmulatedDevice(1)).prepare(graph, options(precision=precision))
    assert isinstance(executable, CudaExecutable)
    view = executable.emission.view("x")
    assert (view.c, view.zeros, view.ld) == (3, 1, 4)
    assert executable.report()["arena_bytes"] >= view.span * executable.emission.precision.item
    feeds = feeds_of(graph)
    want, tolerance = reference.run(graph, feeds), {"float32": 1e-5, "fp16": 1e-2}[precision]
    last = executable.device.asarray(np.ascontiguousarray(feeds["x"].transpose(0, 2, 3, 1)))
    assert_close(executable.run(feeds), want, tolerance)
    got = executable.run({"x": last.transpose(0, 3, 1, 2)})  # over what the first call has left
    assert_close({name: executable.device.to_host(a) for name, a in got.items()}, want, tolerance)


@pytest.mark.parametrize(
    "more",
    (
        'layer { name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param { kernel_size: 2 } }',
        'layer { name: "a" type: "Eltwise" bottom: "x" bottom: "d" top: "a" }',
    ),
)
def test_images_that_others_read_too_have_three_channels(more: str) -> None:
    text = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape '
        "{ dim: 1 dim: 3 dim: 6 dim: 6 } } }"
        'layer { name: "d" type: "Convolution" bottom: "x" top: "d" convolution_param { '
        'num_output: 3 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }'
    )
    graph = netc.compile(Source("image.prototxt", text + more), backend="reference", seed=3).graph
    executable = CudaBackend(EmulatedDevice(1)).prepare(graph, options())
    assert executable.emission.view("x").ld == 3  # type: ignore[attr-defined]
    assert_close(executable.run(feeds_of(graph)), reference.run(graph, feeds_of(graph)))


def test_report_and_profile() -> None:
    graph = golden_graph("Graph__inception")
    executable = CudaBackend(EmulatedDevice()).prepare(graph, options())
    report = executable.report()
    assert report["backend"] == "cuda" and report["array_steps"] == report["host_steps"] == []
    assert report["arena_bytes"] >= report["arena_floor_bytes"] > 0
    assert isinstance(executable, CudaExecutable)
    times = executable.profile(feeds_of(graph), 2)
    assert len(times) == report["steps"] and all(time.compiled for time in times)


def test_strided_inputs_and_other_memory_orders() -> None:
    graph = golden_graph("Convolution__00")
    executable = CudaBackend(EmulatedDevice()).prepare(graph, options())
    assert isinstance(executable, CudaExecutable)
    (name,) = graph.inputs
    array = feeds_of(graph)[name]
    want = reference.run(graph, {name: array})
    last = executable.device.asarray(np.ascontiguousarray(array.transpose(0, 2, 3, 1)))
    turned = executable.device.asarray(array[:, :, ::-1])
    for given in (last.transpose(0, 3, 1, 2), turned[:, :, ::-1]):
        got = executable.run({name: given})
        assert_close({k: executable.device.to_host(v) for k, v in got.items()}, want)
