"""Records of nodes: storage follows from them, and no step can do what its record does not say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import netc
from netc.backends import reference
from netc.backends.base import Options
from netc.backends.cpu.allocate import ExecutionPlan, plan_graph
from netc.backends.cpu.backend import CpuBackend
from netc.backends.cpu.emit import table
from netc.backends.cpu.emit.emission import EmitContext, Sweeps
from netc.backends.cpu.lowering import LoweredNode, sweep_of
from netc.backends.cpu.program import PythonStep
from netc.backends.cpu.steps.elementwise import add, chain_step
from netc.backends.cpu.steps.moving import copy_step
from netc.backends.shared.views import Buffer, dense
from netc.diagnostics import InternalError, Source
from netc.frontend import build, read_net, runnable
from netc.ir.graph import Graph, Node
from netc.passes.base import run_passes
from netc.passes.pipeline import ALL
from tests.passes.weights import with_random_arrays
from tests.strategies import random_arrays

BLOCK = """
input: "x" input_shape { dim: 1 dim: 8 dim: 6 dim: 6 }
layer { name: "a" type: "Convolution" bottom: "x" top: "a"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 } }
layer { name: "b" type: "Convolution" bottom: "a" top: "b"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 } }
layer { name: "c" type: "Convolution" bottom: "b" top: "c"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 } }
layer { name: "s" type: "Eltwise" bottom: "a" bottom: "c" top: "s" }
layer { name: "r" type: "ReLU" bottom: "s" top: "s" }
layer { name: "y" type: "Convolution" bottom: "s" top: "y"
  convolution_param { num_output: 8 kernel_size: 1 } }
"""


def graph_of(text: str, passes: Any = ALL) -> Graph:
    graph = runnable(build(read_net(Source("net.prototxt", text)).message))
    return run_passes(with_random_arrays(graph), passes)[0]


def planned(graph: Graph) -> ExecutionPlan:
    return plan_graph(EmitContext(graph))


def assert_runs(graph: Graph) -> None:
    feeds = random_arrays({name: graph.shape(name) for name in graph.inputs})
    got = CpuBackend().prepare(graph, Options()).run(feeds)
    for name, want in reference.run(graph, feeds).items():
        np.testing.assert_allclose(got[name], want, rtol=1e-4, atol=1e-5)


def test_a_residual_is_written_over() -> None:
    graph = graph_of(BLOCK)
    found = planned(graph)
    sums = next(node for node in graph.nodes if len(node.inputs) == 2)
    assert found.buffers[sums.outputs[0]] == found.buffers["a"]
    assert_runs(graph)


def record(*sweeps: Any, inputs: tuple[str, ...] = ("v", "w")) -> tuple[LoweredNode, Graph]:
    text = """
    input: "x" input_shape { dim: 1 dim: 4 dim: 2 dim: 2 }
    layer { name: "v" type: "Power" bottom: "x" top: "v" power_param { power: 3 } }
    layer { name: "w" type: "Power" bottom: "x" top: "w" power_param { power: 2 } }
    layer { name: "y" type: "Eltwise" bottom: "v" bottom: "w" top: "y" }
    """
    graph = graph_of(text, ())
    return LoweredNode(graph.nodes[-1], tuple(sweeps)), graph


ROOTS = {name: name for name in ("x", "v", "w", "y")}
V, W, Y = (Buffer(name) for name in ("v", "w", "y"))
NOTHING = lambda: []  # noqa: E731


@pytest.mark.parametrize(
    ("sweeps", "want"),
    [
        ([sweep_of(NOTHING, (), [Y], pointwise=[V, W])], ("v", "w")),
        ([sweep_of(NOTHING, [V], [Y], pointwise=[W])], ("w",)),
        ([sweep_of(NOTHING, [V, W], [Y])], ()),
        # what is read before the output is begun may be read in any order
        ([sweep_of(NOTHING, [V], [Buffer("scratch")]), sweep_of(NOTHING, (), [Y])], ("v", "w")),
        # what a later sweep reads must still be there
        (
            [
                sweep_of(NOTHING, (), [Y], pointwise=[V]),
                sweep_of(NOTHING, (), [Y], pointwise=[Y, W]),
            ],
            ("v",),
        ),
        ([sweep_of(NOTHING, (), [Y], pointwise=[V]), sweep_of(NOTHING, [V], [W])], ()),
        ([sweep_of(NOTHING, [Y], [V])], ("w",)),
        ([], ()),
    ],
)
def test_what_may_be_written_over_follows_from_the_sweeps(
    sweeps: list[Any], want: tuple[str, ...]
) -> None:
    lowered, graph = record(*sweeps)
    assert lowered.overwritable(graph, ROOTS) == want


def view(place: Buffer) -> Any:
    return dense(place, 1, 2, 2, 4)


def test_a_step_that_touches_what_its_record_does_not_name_is_refused() -> None:
    """A planted disagreement: the record says that `w` is not read, so it may lie anywhere."""
    step = chain_step("y", view(V), view(Y), [add(view(W))])
    lowered, _ = record(sweep_of(lambda: [step], (), [Y], pointwise=[V]))
    with pytest.raises(InternalError, match=r"layer `y`: a step touches \['w'\]"):
        list(lowered.steps())


def test_a_step_that_reads_in_any_order_is_refused_where_the_record_says_in_order() -> None:
    """A planted disagreement: the output would be written over an input that is still needed."""
    step = copy_step("y", view(V), view(Y))
    lowered, _ = record(sweep_of(lambda: [step], (), [Y], pointwise=[V]))
    with pytest.raises(InternalError, match=r"layer `y`: a step reads \['v'\] in any order"):
        list(lowered.steps())
    lowered, _ = record(sweep_of(lambda: [step], [V], [Y]))
    assert list(lowered.steps()) == [step]


def test_a_definition_sees_the_values_it_names_and_no_others() -> None:
    step = PythonStep("y", lambda v, y: None, ((view(V), None), (view(Y), None)))
    assert step.touched == {"v", "y"}
    lowered, _ = record(sweep_of(lambda: [step], (), [Y], pointwise=[V]))
    with pytest.raises(InternalError, match="in any order"):
        list(lowered.steps())


def test_a_planted_disagreement_in_an_emitter_never_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An emitter that hides a read from storage, in the place of one that does not."""
    own = table.EMITTERS["Eltwise"]

    def hiding(context: EmitContext, node: Node) -> Sweeps | None:
        sweeps = own(context, node)
        assert sweeps is not None
        return [replace(sweep, pointwise=frozenset()) for sweep in sweeps]

    monkeypatch.setitem(table.EMITTERS, "Eltwise", hiding)
    text = BLOCK.replace('layer { name: "r" type: "ReLU" bottom: "s" top: "s" }\n', "")
    with pytest.raises(InternalError, match=r"layer `s`: a step touches"):
        CpuBackend().prepare(graph_of(text, ()), Options())


MEMORY = """
input: "x" input_shape { dim: 2 dim: 5 dim: 4 dim: 4 }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param {
  num_output: 6 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "bn" type: "MVN" bottom: "c" top: "bn" }
layer { name: "re" type: "Reshape" bottom: "bn" top: "re" reshape_param {
  shape { dim: 2 dim: 4 dim: 2 dim: 3 } } }
layer { name: "spp" type: "SPP" bottom: "re" top: "spp" spp_param { pyramid_height: 2 } }
"""


def test_scratch_memory_is_what_the_steps_ask_for() -> None:
    graph = graph_of(MEMORY, ())
    records = planned(graph).records
    floats = {name: record.scratch for name, record in records.items()}
    assert floats["bn"] == 2 * 2 * 6  # mean and deviation of each channel of each image
    assert floats["re"] == 2 * 6 * 2 * 2
    assert floats["spp"] == 2 * 4 * 2 * 2  # the finest level
    assert_runs(graph)


def test_nothing_is_packed_before_storage_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise AssertionError("packed too early")

    for module in ("product", "winograd", "depthwise", "linear"):
        for name in ("pack_weights", "pack_transformed", "_packed", "_halved", "_to_tiles"):
            target = f"netc.backends.cpu.steps.{module}.{name}"
            monkeypatch.setattr(target, fail, raising=False)
    planned(graph_of(BLOCK))


def test_a_gate_is_multiplied_in_place() -> None:
    text = """
    input: "x" input_shape { dim: 2 dim: 8 dim: 6 dim: 6 }
    layer { name: "c" type: "Power" bottom: "x" top: "c" power_param { power: 2 } }
    layer { name: "p" type: "Pooling" bottom: "c" top: "p"
      pooling_param { pool: AVE global_pooling: true } }
    layer { name: "y" type: "Axpy" bottom: "p" bottom: "c" bottom: "x" top: "y" }
    layer { name: "z" type: "Power" bottom: "y" top: "z" power_param { power: 3 } }
    """
    graph = graph_of(text, ())
    found = planned(graph)
    assert found.buffers["y"] == found.buffers["c"] != found.buffers["p"]
    assert_runs(graph)


def test_public_plan_is_the_programs() -> None:
    net = netc.compile(Source("n.prototxt", MEMORY), weights=None, backend="cpu")
    assert net.report()["arena_bytes"] == planned(run_passes(net.graph, ALL)[0]).arena.size
