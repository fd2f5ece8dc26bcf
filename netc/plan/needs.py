"""What a plan takes beyond the weights, asked of the budget before any of it is allocated.

A backend asks here once it knows its sizes: the blobs of each layer (all backends), the arena with
what threads need (compiled ones), and what definitions make on the way (wherever they run).
"""

from __future__ import annotations

from collections.abc import Iterable

from netc.ir.graph import Graph, Node
from netc.ir.types import count
from netc.memory import check_memory, shown
from netc.ops.catalog import CATALOG
from netc.plan.arena import ArenaPlan, BufferLifetime, live_peak
from netc.plan.storage import BYTES, lifetimes

_HELP = "make the batch smaller, or the input"


def ask_for_blobs(graph: Graph) -> None:
    """Refuse a net of which one layer's blobs alone are more than may be taken.

    Raises:
        NetcError: too-little-memory, at the layer.
    """
    for node in graph.nodes:
        what = f"the blobs of layer `{node.name}` ({node.op})"
        check_memory(_blob_bytes(graph, node), what, node.span, _HELP)


def _blob_bytes(graph: Graph, node: Node) -> int:
    return sum(BYTES * count(graph.shape(name)) for name in {*node.inputs, *node.outputs})


def ask_for_arena(graph: Graph, arena: ArenaPlan, more: int = 0) -> None:
    """Refuse an arena, with ``more`` bytes of what runs need besides.

    Raises:
        NetcError: too-little-memory, at the layer whose blob or scratch memory is the largest part.
    """
    name, size = max(arena.sizes.items(), key=lambda item: item[1], default=("", 0))
    by_scratch = {f"scratch of {node.name}": node for node in graph.nodes}
    node = by_scratch.get(name) or graph.producers.get(name)
    part = f", of which {shown(size)} are for the {_part(name, by_scratch)}," if name else ""
    span = node.span if node else None
    check_memory(arena.size + more, f"the net's blobs and scratch memory{part}", span, _HELP)


def _part(name: str, scratches: Iterable[str]) -> str:
    if name not in scratches:
        return f"blob `{name}`"
    return f"scratch memory of layer `{name.removeprefix('scratch of ')}`"


def definition_bytes(graph: Graph, node: Node) -> int:
    """Bytes that a node's definition takes for a while, copies of its blobs included."""
    inputs, outputs = ([graph.shape(v) for v in names] for names in (node.inputs, node.outputs))
    temporaries = CATALOG[node.op].memory(node.params, inputs, outputs)
    return temporaries + BYTES * sum(map(count, [*inputs, *outputs]))


def ask_for_definitions(graph: Graph) -> None:
    """Refuse a graph whose blobs alive at once, with a definition's temporaries, are too much.

    Raises:
        NetcError: too-little-memory, at the layer that takes most.
    """
    largest, peak = None, live_bytes(graph)
    for node in graph.nodes:
        own = definition_bytes(graph, node)
        if own > peak:
            largest, peak = node, own
    what = (
        f"layer `{largest.name}` ({largest.op}) and its temporaries"
        if largest
        else "the net's blobs"
    )
    check_memory(peak, what, largest.span if largest else None, _HELP)


def live_bytes(graph: Graph) -> int:
    """The most bytes of values that are alive at once, each in a place of its own."""
    spans = lifetimes(graph)
    return live_peak(
        [BufferLifetime(v, BYTES * count(graph.shape(v)), *spans[v]) for v in graph.values]
    )
