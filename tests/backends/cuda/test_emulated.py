"""The GPU backend's plans and kernels, run on the processor, give Caffe's numbers.

The device is an emulation (see emulator/): the kernels' own text compiled as C++, launched with the
plan's own arguments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.backends.cuda.backend import CudaBackend, CudaExecutable
from netc.data import prototxt_dir
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
