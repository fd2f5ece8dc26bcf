"""A graph cut in two: what can be planned, and what depends on sizes that only a run tells."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from netc.ir.edit import with_nodes
from netc.ir.graph import Graph, Node
from netc.ops.catalog import CATALOG


def split(graph: Graph, known: Collection[str] = ()) -> tuple[Graph, Graph | None]:
    """A graph split into what has known sizes, and dynamic layers with all that depends on them.

    ``known`` are values that can be planned although a run tells their sizes (netc.plan.rows).

    The first gives, besides results of its own, what the second reads. Updates are left to whoever
    runs both, as outputs: the second may read what they change.
    """
    loose = loose_values(graph) - set(known)
    late = [n for n in graph.nodes if _is_late(n, loose)]
    if not late:
        return graph, None
    return parted(graph, late)


def parted(graph: Graph, late: Sequence[Node]) -> tuple[Graph, Graph]:
    """The graph without some nodes, and the graph of these; no other node reads what they make.

    The first gives, besides results of its own, what the second reads.
    """
    names = {node.name for node in late}
    early = [node for node in graph.nodes if node.name not in names]
    made = {value for node in early for value in node.outputs}
    own = {value for node in late for value in node.outputs}
    read = tuple(dict.fromkeys(v for n in late for v in n.inputs if v not in own))
    kept = tuple(v for v in graph.results if v in made)
    handed = tuple(v for v in read if v in made)
    first = graph.replace(outputs=tuple(dict.fromkeys((*kept, *handed))), updates={})
    results = tuple(v for v in graph.results if v in own)
    second = graph.replace(inputs=read, outputs=results, updates={})
    return with_nodes(first, early), with_nodes(second, late)


def _is_late(node: Node, loose: Collection[str]) -> bool:
    """True of a layer that chooses, and of one that reads what is not planned for."""
    if any(value in loose for value in node.inputs):
        return True
    return CATALOG[node.op].dynamic and (not node.outputs or node.outputs[0] in loose)


def loose_values(graph: Graph) -> set[str]:
    """Values whose sizes only a run tells."""
    loose: set[str] = set()
    for node in graph.nodes:
        if CATALOG[node.op].dynamic or loose.intersection(node.inputs):
            loose.update(node.outputs)
    return loose
