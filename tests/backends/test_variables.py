"""Variables: what is written to a net's parameters counts from the next run on, on any backend."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import netc
from netc.backends import reference
from netc.backends.base import Options
from netc.backends.registry import backend as named
from netc.backends.variables import Variable, Variables
from netc.diagnostics import NetcError, Source
from netc.frontend import build, read_net, runnable
from netc.ir.edit import with_variables
from netc.ir.graph import Graph, Node, Parameter, Value
from netc.ops.inputs import ParameterParams
from netc.passes.pipeline import ALL
from tests.passes.weights import with_random_arrays
from tests.strategies import random_arrays

NET = """
input: "data" input_shape { dim: 2 dim: 3 dim: 12 dim: 12 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 16 kernel_size: 3 pad: 1 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "prelu" type: "PReLU" bottom: "conv" top: "conv" }
layer { name: "depth" type: "Convolution" bottom: "conv" top: "depth"
  convolution_param { num_output: 16 group: 16 kernel_size: 3 } }
layer { name: "a" type: "Convolution" bottom: "depth" top: "a"
  convolution_param { num_output: 8 kernel_size: 1 } }
layer { name: "b" type: "Convolution" bottom: "depth" top: "b"
  convolution_param { num_output: 8 kernel_size: 1 } }
layer { name: "ra" type: "ReLU" bottom: "a" top: "a" }
layer { name: "join" type: "Eltwise" bottom: "a" bottom: "b" top: "join" }
layer { name: "up" type: "Deconvolution" bottom: "join" top: "up"
  convolution_param { num_output: 4 kernel_size: 4 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "up" top: "fc"
  inner_product_param { num_output: 5 } }
layer { name: "fc2" type: "InnerProduct" bottom: "fc" top: "fc2"
  inner_product_param { num_output: 7 } }
"""


def filled(text: str) -> Source:
    """The net with fillers for its products."""
    return Source(
        "n.prototxt", text.replace("num_output", 'weight_filler { type: "msra" } num_output')
    )


def graph_of(text: str, **arguments: Any) -> Graph:
    built = build(read_net(Source("net.prototxt", text)).message, **arguments)
    return with_variables(with_random_arrays(runnable(built)))


def prepared(backend: str, graph: Graph, variables: Variables | None = None) -> Any:
    return named(backend).prepare(graph, Options(ALL, variables=variables))


def feeds_of(graph: Graph) -> dict[str, Any]:
    return random_arrays({name: graph.shape(name) for name in graph.inputs})


def plain_run(graph: Graph, variables: Variables, feeds: dict[str, Any]) -> dict[str, Any]:
    """What the definitions give with copies of the variables' elements as constants."""
    parameters = {
        name: p if p.owner else replace(p, array=variables.variable(name).array.copy())
        for name, p in graph.parameters.items()
    }
    return reference.run(graph.replace(parameters=parameters, updates={}), feeds)


def assert_near(got: dict[str, Any], want: dict[str, Any]) -> None:
    assert got.keys() == want.keys()
    for name, array in want.items():
        np.testing.assert_allclose(got[name], array, rtol=2e-4, atol=2e-5)


def test_each_parameter_that_is_written_counts_in_the_next_run(backend: str) -> None:
    graph = graph_of(NET)
    executable, feeds = prepared(backend, graph), feeds_of(graph)
    before = executable.run(feeds)
    assert_near(before, plain_run(graph, executable.variables, feeds))
    random = np.random.default_rng(1)
    for name in graph.parameters:
        executable.variables[name][...] *= random.uniform(0.5, 1.5)
        after = executable.run(feeds)
        assert_near(after, plain_run(graph, executable.variables, feeds))
        assert any((after[v] != before[v]).any() for v in after), name
        before = after


def test_an_array_that_is_held_is_looked_at_before_each_run(backend: str) -> None:
    graph = graph_of(NET)
    executable, feeds = prepared(backend, graph), feeds_of(graph)
    part = executable.variables["conv/0"][3:4]
    for factor in (2.0, 1.0, 0.5, -1.0):
        part *= factor
        assert_near(executable.run(feeds), plain_run(graph, executable.variables, feeds))
    del part
    gc.collect()
    assert_near(executable.run(feeds), plain_run(graph, executable.variables, feeds))


def test_compiled_nets_params_are_written_through(backend: str) -> None:
    net = netc.compile(filled(NET), backend=backend, variables=True)
    data = np.ones((2, 3, 12, 12), np.float32)
    other = np.ones((1, 3, 12, 12), np.float32)
    net(data=data), net(data=other)
    net.params["fc2"][0][...] = 0
    net.params["fc2"][1][...] = np.arange(7)
    for given in (data, other):  # both shapes' plans see it
        assert net(data=given)["fc2"][0].tolist() == list(range(7))
    assert list(net.params) == ["conv", "bn", "scale", "prelu", "depth", "a", "b", "up", "fc",
                                "fc2"]  # fmt: skip


def test_constants_are_read_only(backend: str) -> None:
    net = netc.compile(filled(NET), backend=backend)
    with pytest.raises(ValueError, match="read-only"):
        net.params["conv"][0][...] = 0


SHARED = """
input: "data" input_shape { dim: 1 dim: 4 dim: 1 dim: 1 }
layer { name: "one" type: "InnerProduct" bottom: "data" top: "one" param { name: "w" }
  inner_product_param { num_output: 4 bias_term: false } }
layer { name: "two" type: "InnerProduct" bottom: "one" top: "two" param { name: "w" }
  inner_product_param { num_output: 4 bias_term: false } }
"""


def test_shared_parameters_are_one_place(backend: str) -> None:
    net = netc.compile(filled(SHARED), backend=backend, variables=True)
    data = np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1)
    net(data=data)
    net.params["two"][0][...] = 2 * np.eye(4)
    assert net(data=data)["two"].tolist() == [[0, 4, 8, 12]]
    assert net.params["one"][0].tolist() == (2 * np.eye(4)).tolist()
    assert len(net.variables) == 1


def test_two_executables_share_variables(backend: str) -> None:
    first = prepared(backend, graph_of(NET))
    graph = graph_of(NET, inputs={"data": (1, 3, 12, 12)})
    second = prepared(backend, graph, first.variables)
    assert second.variables is first.variables
    feeds = feeds_of(graph)
    for name in ("conv/0", "fc/0"):
        first.variables[name][...] = 0.5
        assert_near(second.run(feeds), plain_run(graph, first.variables, feeds))


def test_variables_of_another_shape_are_refused(backend: str) -> None:
    first = prepared(backend, graph_of(NET))
    other = graph_of(NET.replace("num_output: 16 kernel_size: 3 pad: 1",
                                 "num_output: 16 kernel_size: 5 pad: 2"))  # fmt: skip
    with pytest.raises(NetcError, match="weight-shape"):
        prepared(backend, other, first.variables)


def read(name: str, shape: tuple[int, ...]) -> Node:
    return Node(f"read {name}", "Parameter", ParameterParams(shape), (), (f"old {name}",), (name,))


def descent() -> Graph:
    """A net with steps of its own: h = 0.5 h + rate * x;  w = w - h;  two places change places."""
    shape = (2, 3, 4, 5)
    text = """
    input: "x" input_shape { dim: 2 dim: 3 dim: 4 dim: 5 }
    input: "rate" input_shape { dim: 2 dim: 3 }
    layer { name: "g" type: "Scale" bottom: "x" bottom: "rate" top: "g" scale_param { axis: 0 } }
    """
    graph = runnable(build(read_net(Source("net.prototxt", text)).message))
    add = """
    input: "a" input_shape { dim: 2 dim: 3 dim: 4 dim: 5 }
    input: "b" input_shape { dim: 2 dim: 3 dim: 4 dim: 5 }
    layer { name: "s" type: "Eltwise" bottom: "a" bottom: "b" top: "s" eltwise_param { %s } }
    """
    sums = [
        runnable(build(read_net(Source("add.prototxt", add % c)).message)).nodes[0]
        for c in ("coeff: 0.5 coeff: 1", "coeff: 1 coeff: -1")
    ]
    names = ("w", "h", "p", "q")
    nodes = (
        *(read(name, shape) for name in names),
        *graph.nodes,
        replace(sums[0], name="history", inputs=("old h", "g"), outputs=("new h",)),
        replace(sums[1], name="step", inputs=("old w", "new h"), outputs=("new w",)),
    )
    made = [v for node in nodes for v in node.outputs]
    arrays = random_arrays(dict.fromkeys(names, shape))
    return graph.replace(
        nodes=nodes,
        outputs=("old w",),
        values={**graph.values, **{v: Value(v, v, shape) for v in made}},
        parameters={
            n: Parameter(n, shape, array=arrays[n], variable=True) for n in names
        },
        updates={"w": "new w", "h": "new h", "p": "old q", "q": "old p"},
    )  # fmt: skip


def test_updates_are_written_at_the_end_of_a_run(backend: str) -> None:
    graph = descent()
    executable, feeds = prepared(backend, graph), feeds_of(graph)
    want = {name: p.array.copy() for name, p in graph.parameters.items()}
    for rate in (0.1, 0.3):
        feeds["rate"] = np.full((2, 3), rate, np.float32)
        result = executable.run(feeds)
        np.testing.assert_array_equal(result["old w"], want["w"])
        want["h"] = 0.5 * want["h"] + np.float32(rate) * feeds["x"]
        want["w"] = want["w"] - want["h"]
        want["p"], want["q"] = want["q"], want["p"]
        for name, array in want.items():
            np.testing.assert_allclose(executable.variables[name], array, rtol=1e-5, atol=1e-6)


def test_weights_that_a_run_updates_are_packed_again(backend: str) -> None:
    text = """
    input: "data" input_shape { dim: 1 dim: 8 dim: 6 dim: 6 }
    input: "next" input_shape { dim: 8 dim: 8 dim: 3 dim: 3 }
    layer { name: "c" type: "Convolution" bottom: "data" top: "c"
      convolution_param { num_output: 8 kernel_size: 3 pad: 1 bias_term: false } }
    layer { name: "n" type: "Power" bottom: "next" top: "n" power_param { scale: 2 } }
    """
    graph = graph_of(text).replace(outputs=("c",), updates={"c/0": "n"})
    executable, feeds = prepared(backend, graph), feeds_of(graph)
    for _ in range(3):
        want = plain_run(graph, executable.variables, feeds)
        feeds["next"] = feeds["next"] + 1
        assert_near(executable.run(feeds), want)
        np.testing.assert_array_equal(executable.variables["c/0"], 2 * feeds["next"])


def test_scalars_are_fed_without_a_new_plan(backend: str) -> None:
    text = """
    input: "x" input_shape { dim: 4 }
    input: "rate" input_shape { }
    layer { name: "s" type: "Scale" bottom: "x" bottom: "rate" top: "s" scale_param { axis: 0 } }
    """
    net = netc.compile(Source("n.prototxt", text), backend=backend)
    assert net.inputs["rate"] == ()
    x = np.arange(4, dtype=np.float32)
    plan = net.executable(((4,), ()))
    for rate in (0.5, 2.0):
        assert net(x=x, rate=np.float32(rate))["s"].tolist() == (rate * x).tolist()
    assert net.executable(((4,), ())) is plan


# Who may have written


def variable(*values: float) -> Variable:
    return Variable("v", np.array(values, np.float32))


def test_a_version_is_the_same_while_nobody_can_have_written() -> None:
    one = variable(1, 2)
    assert one.current_version() == one.current_version()
    one.write([3, 4])
    version = one.current_version()
    assert version > 0
    assert one.current_version() == version


def test_views_of_views_are_followed() -> None:
    one = variable(1, 2, 3)
    view = one.lend()[1:].view(np.uint32)[:1]
    first = one.current_version()
    assert one.current_version() == first
    view[0] = 0
    assert one.current_version() == first + 1
    assert one.current_version() == first + 1
    view[0] = 5
    del view
    assert one.current_version() == first + 2
    assert one.current_version() == first + 2
    assert one._lent is None


def test_a_change_of_a_nan_is_one() -> None:
    one = variable(float("nan"))
    lent = one.lend()
    first = one.current_version()
    assert one.current_version() == first
    lent.view(np.uint32)[...] ^= 1
    assert one.current_version() == first + 1


def test_buffers_of_other_libraries_count_as_held() -> None:
    one = variable(1, 2)
    other = memoryview(one.lend())
    one.current_version()
    version = one.current_version()
    other[0] = 9.0
    assert one.current_version() == version + 1
