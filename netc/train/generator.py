"""The random generator's key as an input of a graph: seed and iteration of what layers draw.

Before::

    d = Dropout(x)

After::

    d = Dropout(x, ~key)                                                            input ~key = 4

Nothing is planned anew from iteration to iteration: the key is fed (netc.ops.random).
"""

from __future__ import annotations

from dataclasses import replace

from netc.ir.graph import Graph, Node, Value
from netc.ops.catalog import CATALOG
from netc.ops.random import KEY_SHAPE

KEY = "~key"


def draws(node: Node) -> bool:
    """Whether a node draws random numbers when it runs."""
    rule = CATALOG[node.op].draws
    return rule is not None and rule(node.params)


def with_generator(graph: Graph) -> tuple[Graph, str | None]:
    """The graph with the key as an input of all nodes that draw, and the key's name.

    The graph itself and None where no node draws.
    """
    if not any(draws(node) for node in graph.nodes):
        return graph, None
    name = KEY
    while name in graph.values:
        name += "~"
    nodes = tuple(
        replace(node, inputs=(*node.inputs, name)) if draws(node) else node for node in graph.nodes
    )
    values = {**graph.values, name: Value(name, name, KEY_SHAPE)}
    return graph.replace(nodes=nodes, values=values, inputs=(*graph.inputs, name)), name
