"""Recurrent layers on the emulated device against their definitions."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import netc
from netc.backends import reference
from netc.backends.cuda import backend as backend_module
from netc.backends.cuda.backend import CudaBackend
from netc.backends.cuda.products.tiles import PLAIN, ProductConfig
from netc.diagnostics import Source
from netc.ir.graph import Graph
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice, build
from tests.backends.cuda.golden_kernels import kernels_of, options

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")

TOLERANCE = {"float32": 2e-6, "tf32": 3e-3, "fp16": 5e-3}


def net(
    kind: str, steps: int, streams: int, units: int, given: dict[str, str], tops: str = ""
) -> Graph:
    shapes = {"x": f"{steps} {streams} 3 2 2", "cont": f"{steps} {streams}", **given}
    inputs = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        f"{' '.join(f'dim: {n}' for n in shape.split())} }} }} }}\n"
        for name, shape in shapes.items()
    )
    bottoms = " ".join(f'bottom: "{name}"' for name in shapes)
    exposed = "expose_hidden: true" if tops else ""
    fillers = (
        'weight_filler { type: "uniform" min: -0.4 max: 0.4 } '
        'bias_filler { type: "uniform" min: -1 max: 1 }'
    )
    text = (
        f'{inputs}layer {{ name: "l" type: "{kind}" {bottoms} top: "y" {tops} '
        f"recurrent_param {{ num_output: {units} {exposed} {fillers} }} }}"
    )
    return netc.compile(Source("recurrent.prototxt", text), backend="reference", seed=3).graph


def feeds_of(graph: Graph) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    feeds = {n: rng.standard_normal(graph.shape(n)).astype(np.float32) for n in graph.inputs}
    feeds["cont"] = (rng.random(graph.shape("cont")) > 0.3).astype(np.float32)
    return feeds


NETS = {
    "LSTM": lambda: net("LSTM", 6, 5, 37, {}),
    "LSTM of one": lambda: net("LSTM", 1, 1, 1, {}),
    "LSTM with all": lambda: net(
        "LSTM",
        3,
        6,
        20,
        {"s": "6 5", "h": "1 6 20", "c": "1 6 20"},
        'top: "last" top: "cell"',
    ),
    "RNN": lambda: net("RNN", 4, 3, 18, {"s": "3 2 3"}),
    "RNN with states": lambda: net("RNN", 2, 9, 8, {"h": "1 9 8"}, 'top: "last"'),
}


@cache
def build_all(precision: str) -> None:
    build(kernels_of((make() for make in NETS.values()), options(precision=precision)))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("precision", TOLERANCE)
def test_recurrent(name: str, precision: str) -> None:
    build_all(precision)
    graph = NETS[name]()
    feeds, device = feeds_of(graph), EmulatedDevice(1)
    executable = CudaBackend(device).prepare(graph, options(precision=precision))
    report = executable.report()
    assert report["array_steps"] == report["host_steps"] == []
    want = reference.run(graph, feeds)
    for _ in range(2):  # the second time from the graph, over what the first has left
        got = executable.run(feeds)
        for output, array in want.items():
            tolerance = TOLERANCE[precision]
            np.testing.assert_allclose(got[output], array, rtol=0, atol=tolerance, err_msg=output)


def test_nothing_is_carried_past_a_new_sequence() -> None:
    graph = NETS["LSTM"]()
    feeds = feeds_of(graph)
    feeds["cont"][3] = 0
    executable = CudaBackend(EmulatedDevice()).prepare(graph, options())
    whole = executable.run(feeds)["y"]
    feeds["x"][:3] = 7
    np.testing.assert_array_equal(executable.run(feeds)["y"][3:], whole[3:])


def test_blocks_that_share_a_sum_leave_the_layers_memory_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        backend_module, "guessed", lambda emission, product: ProductConfig(PLAIN[-1], 2)
    )
    for name in ("LSTM with all", "RNN with states"):
        graph = NETS[name]()
        feeds = feeds_of(graph)
        got = CudaBackend(EmulatedDevice(2)).prepare(graph, options()).run(feeds)
        for output, array in reference.run(graph, feeds).items():
            np.testing.assert_allclose(got[output], array, rtol=0, atol=2e-6, err_msg=output)
