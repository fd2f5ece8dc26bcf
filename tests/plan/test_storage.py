"""Who lies in whose bytes, and that nothing is overwritten that is still to be read."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

import netc
from netc.backends.cpu.allocate import plan_graph
from netc.backends.cpu.emit.emission import EmitContext
from netc.diagnostics import Source
from netc.ir.graph import Graph, Node
from netc.ir.types import count
from netc.plan.storage import (
    BYTES,
    Alias,
    AliasRules,
    Storage,
    StorageNeeds,
    find_aliases,
    is_identity,
    lifetimes,
    plan_storage,
    scratch_name,
)
from tests.strategies import nets

INPUT = """layer { name: "in" type: "Input" top: "x"
           input_param { shape { dim: 1 dim: 4 dim: 3 dim: 3 } } }"""


def graph(layers: str) -> Graph:
    return netc.compile(Source("net", INPUT + layers), backend="reference").graph


def relu(bottom: str, top: str) -> str:
    return f'layer {{ name: "r{top}" type: "ReLU" bottom: "{bottom}" top: "{top}" }}'


def joins(graph: Graph, node: Node) -> tuple[int, ...] | None:
    if node.op != "Concat":
        return None
    sizes = [graph.shape(value)[1] for value in node.inputs]
    return tuple(int(n) for n in np.cumsum([0, *sizes[:-1]]))


def parts(graph: Graph, node: Node) -> tuple[int, ...] | None:
    if node.op == "Slice":
        sizes = [graph.shape(value)[1] for value in node.outputs]
        return tuple(int(n) for n in np.cumsum([0, *sizes[:-1]]))
    return (0,) * len(node.outputs) if is_identity(graph, node) else None


def in_place(graph: Graph, node: Node) -> tuple[str, ...]:
    return node.inputs[:1] if node.op in ("ReLU", "TanH") else ()


RULES = AliasRules(joins, parts)


def planned(
    graph: Graph, outside: tuple[str, ...] = (), scratch: int = 0, more: int = 0
) -> Storage:
    return plan_storage(
        graph,
        find_aliases(graph, RULES, outside),
        lambda node: StorageNeeds(in_place(graph, node), scratch),
        lambda value: more,
    )


def test_parts_of_a_concatenation_are_made_inside_it() -> None:
    found = planned(
        graph(
            relu("x", "a")
            + relu("x", "b")
            + 'layer { name: "c" type: "Concat" bottom: "a" bottom: "b" top: "c" }'
            + 'layer { name: "s" type: "Softmax" bottom: "c" top: "s" }'
        ),
    )
    assert found.places["a"] == Alias("c", 0)
    assert found.places["b"] == Alias("c", 4)
    assert "a" not in found.arena.offsets


def test_an_input_or_a_value_read_twice_by_it_is_copied() -> None:
    found = planned(
        graph(
            relu("x", "a") + 'layer { name: "c" type: "Concat" bottom: "x" bottom: "a" '
            'bottom: "a" top: "c" }'
        ),
    )
    assert found.places["x"] == Alias("x")  # it is there already
    assert found.places["a"] == Alias("c", 4)  # once; its second place is filled by a copy


def test_slices_are_views() -> None:
    found = planned(
        graph(
            relu("x", "a") + 'layer { name: "s" type: "Slice" bottom: "a" top: "p" top: "q" '
            "slice_param { slice_point: 1 } }"
        ),
    )
    root = found.places["a"].root
    assert found.places["p"] == Alias(root, 0)
    assert found.places["q"] == Alias(root, 1)


def test_a_result_takes_the_bytes_of_what_is_read_for_the_last_time() -> None:
    pool = 'layer { name: "p" type: "Softmax" bottom: "x" top: "p" }'
    alone = planned(graph(pool + relu("p", "a") + relu("a", "b")))
    assert alone.places["a"].root == alone.places["b"].root == "p"
    again = planned(
        graph(
            pool + relu("p", "a") + 'layer { name: "e" type: "Eltwise" bottom: "p" bottom: "a" '
            'top: "e" }'
        ),
    )
    assert again.places["a"] == Alias("a")  # `p` is read once more


def test_what_lies_elsewhere_is_not_overwritten_and_has_no_bytes() -> None:
    found = planned(graph(relu("x", "a")), outside=("x", "a"))
    assert found.places["a"] == Alias("a")
    assert found.arena.size == 0


def test_scratch_and_padding_are_counted() -> None:
    found = graph(relu("x", "a"))
    (node,) = found.nodes
    storage = planned(found, scratch=500, more=16)
    assert scratch_name(node) in storage.arena.offsets
    assert storage.arena.size >= BYTES * (36 + 16) + 500


def test_lifetimes_are_from_the_maker_to_the_last_reader() -> None:
    found = graph(relu("x", "a") + relu("a", "b") + relu("a", "c"))
    assert lifetimes(found) == {"x": (-1, 0), "a": (0, 2), "b": (1, 3), "c": (2, 3)}


@settings(max_examples=60, deadline=None)
@given(nets())
def test_values_alive_together_share_no_bytes_unless_one_is_a_view(source: Source) -> None:
    found = netc.compile(source, backend="reference").graph
    storage = planned(found)
    spans = lifetimes(found)
    roots: dict[str, tuple[int, int]] = {}
    for value in found.values:
        root = storage.places[value].root
        first, last = spans[value]
        known = roots.get(root, (first, last))
        roots[root] = min(known[0], first), max(known[1], last)
        whole = count(found.shape(root))
        assert count(found.shape(value)) <= whole
    for one, (first, last) in roots.items():
        for other, (start, end) in roots.items():
            if one < other and first <= end and start <= last:
                a, b = (storage.arena.offsets[name] for name in (one, other))
                sizes = [BYTES * count(found.shape(name)) for name in (one, other)]
                assert a + sizes[0] <= b or b + sizes[1] <= a


def test_the_cpu_s_places_are_of_this_plan() -> None:
    found = graph(relu("x", "a") + relu("a", "b"))
    records = plan_graph(EmitContext(found))
    assert records.buffers["b"] == records.buffers["a"]
    assert records.arena.size == 2 * 3 * 64  # cache lines of 36 elements: the input's and one more
