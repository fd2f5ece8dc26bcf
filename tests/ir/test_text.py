"""A graph's text, and reading it back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netc
from netc.diagnostics import Source
from netc.frontend import build, read_net
from netc.ir.graph import Graph, Node, Parameter, Value
from netc.ir.text import dump_params, parse_graph, print_graph
from netc.ops.params_from_text import load_params
from netc.passes.base import run_passes
from netc.passes.pipeline import ALL
from tests.strategies import nets
from tests.test_golden import CASES, GOLDEN

SMALL = """graph "small" TEST
input data = 1x1x4x4
param conv/0 = 2x1x3x3 lr_mult 0.0
param conv/1 = 2 lr_mult 2.0 decay_mult 0.0
conv: 1x2x2x2 = Convolution[conv]\
({"": "ConvolutionParams", "num_output": 2, "window": {"": "Window", "kernel": [3]}}; \
data; conv/0, conv/1)
a: 1x1x2x2, b: 1x1x2x2 = Slice[cut]({"": "SliceParams", "tops": 2}; conv; ; down 0)
() = Silence["quiet, please"](null; a; )
output b
loss b weight 0.5
"""


def without_places(graph: Graph) -> Graph:
    """What a graph's text holds: no spans, fillers, arrays or param specs."""
    return graph.replace(
        nodes=tuple(replace(node, spans=(), param_specs=()) for node in graph.nodes),
        values={k: Value(k, k.partition("@")[0], v.shape) for k, v in graph.values.items()},
        parameters={
            k: replace(p, filler=None, array=None, span=None) for k, p in graph.parameters.items()
        },
    )


def assert_reads_back(graph: Graph) -> None:
    text = print_graph(graph)
    back = parse_graph(text, load_params)
    assert back == without_places(graph)
    assert print_graph(back) == text


def test_what_it_looks_like() -> None:
    graph = parse_graph(SMALL, load_params)
    assert [node.name for node in graph.nodes] == ["conv", "cut", "quiet, please"]
    assert graph.values["b"].shape == (1, 1, 2, 2)
    assert print_graph(graph) == SMALL


@pytest.mark.filterwarnings("ignore:.*no-outputs")  # nets that end in Silence are texts too
@settings(max_examples=100, deadline=None)
@given(nets())
def test_random_nets_read_back(source: Source) -> None:
    graph = netc.compile(source, backend="reference").graph
    assert_reads_back(graph)
    assert_reads_back(run_passes(graph, ALL)[0])


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["case"])
def test_golden_cases_read_back(case: dict[str, Any]) -> None:
    text = read_net(GOLDEN / "layers" / f"{case['case']}.prototxt")
    assert_reads_back(build(text.message, phase=case["phase"]).graph)


NAMES = st.text(max_size=6) | st.sampled_from(
    ['"', "\\", "a; b", '; "x"; ', "a, b", "x = y", "(", ")", "é", "\u2028", "\x85", "\n", "", "~"]
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(NAMES, min_size=6, max_size=6, unique=True),
    NAMES,
    st.lists(st.integers(0, 9), max_size=4),
)
def test_any_names_read_back(names: list[str], net: str, shape: list[int]) -> None:
    source, first, second, node, parameter, shared = names
    sizes = tuple(shape)
    graph = Graph(
        net,
        (
            Node(
                node, "Slice", load_params("", net), (source,), (first, second), (parameter, shared)
            ),
        ),
        (source,),
        (second, first),
        {
            source: Value(source, source.partition("@")[0], sizes),
            first: Value(first, first.partition("@")[0], None),
            second: Value(second, second.partition("@")[0], sizes),
        },
        {
            parameter: Parameter(parameter, sizes),
            shared: Parameter(shared, None, owner=parameter),
        },
    )
    assert_reads_back(graph)


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "input data = 1x",
        "input data == 1x2",
        "param = 3",
        "output a b",
        "y: 1 = ReLU[r](null; x)",
        "y: 1 = ReLU[r](null; x, ; )",
        "y = ReLU[r](null; x; )",
        "() = Re LU[r](null; x; )",
        'y: 1 = ReLU["r](null; x; )',
    ],
)
def test_a_line_that_is_none_is_told_with_its_number(line: str) -> None:
    with pytest.raises(ValueError, match=r"line 2 is no part of a graph"):
        parse_graph(f'graph "g" TEST\n{line}\n', load_params)


def test_params_that_no_op_has() -> None:
    with pytest.raises(ValueError, match="no params type 'NoParams'"):
        load_params("ReLU", {"": "NoParams"})


def test_defaults_are_left_out() -> None:
    params = load_params(
        "Pooling", {"": "PoolingParams", "window": {"": "Window", "kernel": [2, 2]}, "ceil": False}
    )
    assert dump_params(params) == (
        '{"": "PoolingParams", "window": {"": "Window", "kernel": [2, 2]}, "ceil": false}'
    )
