"""Memory is asked for before it is taken, and the layer that wants most is named."""

from __future__ import annotations

import pytest

import netc
from netc.diagnostics import Diagnostic, NetcError, Source
from netc.ir.graph import Graph
from netc.memory import Budget, using
from netc.plan.arena import ArenaPlan
from netc.plan.needs import (
    ask_for_arena,
    ask_for_blobs,
    ask_for_definitions,
    definition_bytes,
    live_bytes,
)

NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1000000 } } }
layer { name: "a" type: "ReLU" bottom: "x" top: "a" }
layer { name: "wide" type: "Tile" bottom: "a" top: "wide" tile_param { tiles: 4 } }
layer { name: "end" type: "Reduction" bottom: "wide" top: "end" }
"""
SIZE = 4_000_000  # bytes of x


@pytest.fixture(scope="module")
def graph() -> Graph:
    return netc.compile(Source("net", NET), backend="reference").graph


def refused(budget: int, ask: object, *args: object) -> Diagnostic:
    with using(Budget(budget)), pytest.raises(NetcError) as caught:
        ask(*args)  # type: ignore[operator]
    (found,) = caught.value.diagnostics
    assert found.code == "too-little-memory"
    return found


def test_one_layers_blobs_are_asked_for_at_the_layer(graph: Graph) -> None:
    found = refused(5 * SIZE - 1, ask_for_blobs, graph)
    assert "the blobs of layer `wide` (Tile)" in found.message
    assert found.span is not None and found.span.line == 4
    with using(Budget(5 * SIZE)):
        ask_for_blobs(graph)


def test_an_arena_names_its_largest_part(graph: Graph) -> None:
    arena = ArenaPlan({"wide": 0, "a": 4 * SIZE}, 5 * SIZE, 0, {"wide": 4 * SIZE, "a": SIZE})
    found = refused(5 * SIZE - 1, ask_for_arena, graph, arena)
    assert "are for the blob `wide`" in found.message
    assert found.span is not None and found.span.line == 4
    with using(Budget(5 * SIZE)):
        ask_for_arena(graph, arena)


def test_scratch_memory_is_told_as_its_layers(graph: Graph) -> None:
    arena = ArenaPlan({"scratch of a": 0}, 9 * SIZE, 0, {"scratch of a": 9 * SIZE})
    found = refused(SIZE, ask_for_arena, graph, arena)
    assert "scratch memory of layer `a`" in found.message
    assert found.span is not None and found.span.line == 3


def test_what_runs_need_besides_counts(graph: Graph) -> None:
    arena = ArenaPlan({"a": 0}, SIZE, 0, {"a": SIZE})
    with using(Budget(2 * SIZE)):
        ask_for_arena(graph, arena, SIZE)
    refused(2 * SIZE, ask_for_arena, graph, arena, SIZE + 1)


def test_a_definitions_copies_count(graph: Graph) -> None:
    node = next(n for n in graph.nodes if n.name == "wide")
    assert definition_bytes(graph, node) >= 5 * SIZE
    most = max(definition_bytes(graph, n) for n in graph.nodes)
    found = refused(most - 1, ask_for_definitions, graph)
    assert "and its temporaries" in found.message or "the net's blobs" in found.message
    with using(Budget(max(most, live_bytes(graph)))):
        ask_for_definitions(graph)


def test_the_most_that_lives_at_once_is_a_layers_ends(graph: Graph) -> None:
    assert 5 * SIZE <= live_bytes(graph) <= 6 * SIZE + 4
