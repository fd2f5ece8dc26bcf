"""The GPU backend's plans and kernels, run on the processor, give Caffe's numbers.

The device is an emulation (see emulator/): the kernels' own text compiled as C++, launched with the
plan's own arguments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.backends import reference
from netc.backends.cuda import emission
from netc.backends.cuda.backend import CudaBackend, CudaExecutable
from netc.backends.cuda.emit import convolution
from netc.backends.cuda.source import Kernel
from netc.data import prototxt_dir
from netc.diagnostics import Source
from netc.ir.graph import Graph
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice
from tests.backends.cuda.golden_kernels import build_golden, graph_of, numbers, options
from tests.test_golden import CASES, GOLDEN, arrays, assert_agrees

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")


def emulated(graph: Graph, order: int = 0, **extra: Any) -> Any:
    return CudaBackend(EmulatedDevice(order)).prepare(graph, options(**extra))


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["case"])
def test_golden_cases(case: dict[str, Any]) -> None:
    build_golden()
    feeds, wanted = numbers(case, "in/"), numbers(case, "out/")
    graph = graph_of(case)
    for order in (0, 1):  # of threads and blocks; no result may depend on it
        got = emulated(graph, order).run(feeds)
        for name, want in wanted.items():
            assert_agrees(got[name], want, name)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["case"])
def test_golden_cases_without_passes(case: dict[str, Any]) -> None:
    build_golden(optimized=False)
    backend = CudaBackend(EmulatedDevice(2))
    executable = backend.prepare(graph_of(case), options(()))
    for _ in range(2):  # the second time in the same context
        got = executable.run(numbers(case, "in/"))
        for name, want in numbers(case, "out/").items():
            assert_agrees(got[name], want, name)


POOLS = "{ kernel_size: 3 stride: 2 pad: 1 pool: %s }"
POOLED = "".join(
    f'layer {{ name: "{name}" type: "Pooling" bottom: "d" {tops} pooling_param {POOLS % kind} }}'
    for name, kind, tops in (
        ("m", "MAX", 'top: "m"'),
        ("a", "AVE", 'top: "a"'),
        ("w", "MAX", 'top: "w" top: "where"'),
    )
)
FOURS = (
    'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape '
    "{{ dim: 2 dim: {channels} dim: 9 dim: 7 }} }} }}"
    'layer {{ name: "d" type: "Convolution" bottom: "x" top: "d" convolution_param {{ '
    "num_output: {channels} group: {channels} kernel_size: 3 pad: 1 "
    'weight_filler {{ type: "msra" }} }} }}'
    'layer {{ name: "r" type: "ReLU" bottom: "d" top: "d" }}'
)
# Each is a chain of its own: of values, numbers of channels, and a value that is spread.
CHAINED = (
    'layer { name: "s" type: "Eltwise" bottom: "m" bottom: "a" top: "s" '
    "eltwise_param { coeff: 0.5 coeff: -2 } }"
    'layer { name: "p" type: "PReLU" bottom: "s" top: "p" '
    'prelu_param { filler { type: "uniform" min: 0 max: 1 } } }'
    'layer { name: "g" type: "Pooling" bottom: "p" top: "g" '
    "pooling_param { pool: AVE global_pooling: true } }"
    'layer { name: "f" type: "Flatten" bottom: "g" top: "f" }'
    'layer { name: "q" type: "Scale" bottom: "p" bottom: "f" top: "q" scale_param { axis: 0 } }'
    'layer { name: "l" type: "Sigmoid" bottom: "f" top: "l" }'
)


@pytest.mark.parametrize("precision", ("float32", "fp16"))
@pytest.mark.parametrize("channels", (8, 6))
def test_four_channels_a_thread(
    channels: int, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (emission, convolution):
        monkeypatch.setattr(module, "RESIDENT", 0)
    text = Source("fours.prototxt", FOURS.format(channels=channels) + POOLED + CHAINED)
    graph = netc.compile(text, backend="reference", seed=2).graph
    executable = emulated(graph, 1, precision=precision)
    kernels = [k for k in executable.program.kernels if isinstance(k, Kernel)]
    widths = {k.constant("VEC") for k in kernels if "VEC" in dict(k.constants)}
    assert "chain" in {k.template for k in kernels}
    assert widths == {4 if channels % 4 == 0 else 1}
    rng = np.random.default_rng(0)
    feeds = {n: rng.standard_normal(graph.shape(n)).astype(np.float32) for n in graph.inputs}
    got = executable.run(feeds)
    tolerance = {"float32": 1e-5, "fp16": 1e-2}[precision]
    for name, want in reference.run(graph, feeds).items():
        if precision == "float32" or name != "where":
            np.testing.assert_allclose(got[name], want, tolerance, tolerance)


@pytest.mark.parametrize("model", ("lenet", "mtcnn_det1"))
def test_golden_models(model: str) -> None:
    text = GOLDEN / "models" / f"{model}.prototxt"
    feeds = arrays(text.with_suffix(".npz"), "in/")
    shapes = {name: array.shape for name, array in feeds.items()}
    weights = text.with_suffix(".caffemodel")
    graph = netc.compile(text, weights, backend="reference", inputs=shapes).graph
    got = emulated(graph, 2).run(feeds)
    for name, want in arrays(text.with_suffix(".npz"), "out/").items():
        assert_agrees(got[name], want, name)


def test_digits() -> None:
    folder = prototxt_dir() / "digits"
    with np.load(folder / "holdout.npz") as file:
        data, want = file["data"][:24], file["prob_from_caffe"][:24]
    text, weights = folder / "deploy.prototxt", folder / "digits.caffemodel"
    shapes = {"data": data.shape}
    graph = netc.compile(text, weights, backend="reference", inputs=shapes).graph
    assert_agrees(emulated(graph).run({"data": data})["prob"], want, "prob")


def test_arrays_on_the_device_stay_there() -> None:
    graph = graph_of(next(c for c in CASES if c["case"] == "Graph__inception"))
    executable = emulated(graph)
    assert isinstance(executable, CudaExecutable)
    rng = np.random.default_rng(0)
    host = {n: rng.standard_normal(graph.shape(n)).astype(np.float32) for n in graph.inputs}
    there = {name: executable.device.asarray(array) for name, array in host.items()}
    plain, results = executable.run(host), executable.run(there)
    for name, array in plain.items():
        assert isinstance(array, np.ndarray) and executable.device.owns(results[name])
        np.testing.assert_array_equal(executable.device.to_host(results[name]), array)
