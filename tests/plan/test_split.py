"""Where a graph waits for sizes that only a run tells."""

from __future__ import annotations

import netc
from netc.diagnostics import Source
from netc.ir.graph import Graph
from netc.plan.split import split

INPUTS = """
layer { name: "in" type: "Input" top: "x" top: "keep"
        input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 1 } } }
layer { name: "a" type: "ReLU" bottom: "x" top: "a" }
"""
FILTER = """
layer { name: "f" type: "Filter" bottom: "a" bottom: "keep" top: "f" }
layer { name: "b" type: "TanH" bottom: "f" top: "b" }
layer { name: "c" type: "TanH" bottom: "a" top: "c" }
"""


def graph(text: str) -> Graph:
    return netc.compile(Source("net", text), backend="reference").graph


def test_a_graph_of_known_sizes_is_whole() -> None:
    whole = graph(INPUTS)
    assert split(whole) == (whole, None)


def test_what_depends_on_a_dynamic_layer_is_late() -> None:
    first, second = split(graph(INPUTS + FILTER))
    assert [n.name for n in first.nodes] == ["a", "c"]
    assert set(first.outputs) == {"c", "a"}  # its own, and what the second reads
    assert second is not None
    assert [n.name for n in second.nodes] == ["f", "b"]
    assert set(second.inputs) == {"a", "keep"}
    assert second.outputs == ("b",)


def test_the_parts_hold_no_more_values_than_they_use() -> None:
    first, second = split(graph(INPUTS + FILTER))
    assert second is not None
    assert "b" not in first.values
    assert "c" not in second.values
