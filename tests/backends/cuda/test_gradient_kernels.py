"""Gradients by kernels against their definitions, and whole steps of training by kernels alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from netc.backends import reference
from netc.backends.base import Options
from netc.backends.cuda.backend import CudaBackend
from netc.backends.variables import Variables
from netc.diagnostics import NetcError
from netc.ops.random import generator_key
from tests.backends.cuda.emulated_training import by_definition
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice, build
from tests.backends.cuda.golden_kernels import kernels_of, options
from tests.backends.cuda.gradient_cases import (
    LAYERS,
    SEVERAL,
    STEPS,
    GradientCase,
    every_case,
    feeds_of,
    layer_case,
    several_case,
    step_graph,
)

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")


@cache
def build_all() -> None:
    graphs = [*(case.joint.graph for case in every_case()), *map(step_graph, STEPS)]
    build(kernels_of(graphs, options()))


def check(case: GradientCase, order: int) -> None:
    build_all()
    feeds, graph = feeds_of(case), case.joint.graph
    executable = CudaBackend(EmulatedDevice(order)).prepare(graph, options())
    assert by_definition(executable.report()) == []
    want = reference.run(graph, feeds)
    for _ in range(2):  # the second time in the same memory
        got = executable.run(feeds)
        for name, array in want.items():
            scale = float(np.abs(array).max(initial=0)) + 1e-3
            np.testing.assert_allclose(got[name] / scale, array / scale, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("index", range(len(LAYERS)), ids=lambda i: f"{LAYERS[i][1]}-{i}")
def test_layers(index: int) -> None:
    check(layer_case(index), index % 3)


@pytest.mark.parametrize("name", SEVERAL)
def test_layers_of_several_bottoms(name: str) -> None:
    check(several_case(name), 1)


def with_variables(variables: Variables) -> Options:
    return replace(options(), variables=variables)


def first_feeds(graph: Any, number: int) -> dict[str, Any]:
    random = np.random.default_rng(number)
    feeds = {n: random.standard_normal(graph.shape(n)).astype(np.float32) for n in graph.inputs}
    feeds["label"] = random.integers(0, 5, graph.shape("label")).astype(np.float32)
    feeds |= {"~rate": np.float32(0.05), "~iteration": np.float32(number)}
    if "~key" in feeds:
        feeds["~key"] = generator_key(3, number)
    return {name: np.asarray(array) for name, array in feeds.items()}


@pytest.mark.parametrize("name", STEPS)
def test_a_whole_step_needs_no_definition(name: str) -> None:
    """Forward, backward, clipping and update: three iterations, against the definitions."""
    build_all()
    graph, mine, theirs = step_graph(name), Variables(), Variables()
    executable = CudaBackend(EmulatedDevice(2)).prepare(graph, with_variables(mine))
    slow = reference.ReferenceBackend().prepare(graph, Options(variables=theirs))
    assert by_definition(executable.report()) == []
    for number in range(3):
        feeds = first_feeds(graph, number)
        got, want = executable.run(feeds), slow.run(feeds)
        np.testing.assert_allclose(got["loss"], want["loss"], rtol=1e-4)
    for variable in theirs:
        scale = float(np.abs(theirs[variable]).max()) + 1e-3
        np.testing.assert_allclose(mine[variable] / scale, theirs[variable] / scale, atol=1e-3)


def test_a_label_that_is_no_class_stops_before_the_update() -> None:
    build_all()
    graph, variables = step_graph("lenet"), Variables()
    device = EmulatedDevice(0)
    executable = CudaBackend(device).prepare(graph, with_variables(variables))
    before = {name: variables[name].copy() for name in variables}
    feeds = first_feeds(graph, 0)
    feeds["label"][2:] = [7, 9]
    with pytest.raises(NetcError, match="label 7 is no class, the 5 classes are 0 to 4") as caught:
        executable.run(feeds)
    assert "`loss` (SoftmaxWithLoss)" in str(caught.value)
    for name, array in before.items():
        np.testing.assert_array_equal(variables[name], array)
    executable.run(first_feeds(graph, 0))
