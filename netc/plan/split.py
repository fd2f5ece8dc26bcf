"""A graph cut in two: what can be planned, and what depends on sizes that only a run tells."""

from __future__ import annotations

from netc.ir.edit import with_nodes
from netc.ir.graph import Graph
from netc.ops.catalog import CATALOG


def split(graph: Graph) -> tuple[Graph, Graph | None]:
    """A graph split into what has known sizes, and dynamic layers with all that depends on them.

    The first gives, besides results of its own, what the second reads. Updates are left to whoever
    runs both, as outputs: the second may read what they change.
    """
    loose = loose_values(graph)
    late = [n for n in graph.nodes if CATALOG[n.op].dynamic or loose.intersection(n.inputs)]
    if not late:
        return graph, None
    early = [n for n in graph.nodes if n not in late]
    made = {value for node in early for value in node.outputs}
    read = tuple(dict.fromkeys(v for n in late for v in n.inputs if v not in loose))
    kept = tuple(v for v in graph.results if v in made)
    handed = tuple(v for v in read if v in made)
    first = graph.replace(outputs=tuple(dict.fromkeys((*kept, *handed))), updates={})
    results = tuple(v for v in graph.results if v in loose)
    second = graph.replace(inputs=read, outputs=results, updates={})
    return with_nodes(first, early), with_nodes(second, late)


def loose_values(graph: Graph) -> set[str]:
    """Values whose sizes only a run tells."""
    loose: set[str] = set()
    for node in graph.nodes:
        if CATALOG[node.op].dynamic or loose.intersection(node.inputs):
            loose.update(node.outputs)
    return loose
