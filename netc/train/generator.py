"""The random generator's key as an input of a graph: seed and iteration of what layers draw.

Before::

    d = Dropout(x)

After::

    d = Dropout(x, ~key)                                                            input ~key = 4

Nothing is planned anew from iteration to iteration: the key is fed (netc.ops.random).
"""

from __future__ import annotations

from dataclasses import replace

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Graph, Node, Value
from netc.ops.catalog import CATALOG
from netc.ops.random import KEY_SHAPE

KEY = "~key"


def draws(node: Node) -> bool:
    """True if a node draws random numbers when it runs."""
    rule = CATALOG[node.op].draws
    return rule is not None and rule(node.params)


def with_generator(graph: Graph) -> Graph:
    """The graph with the key, ``KEY``, as an input of all nodes that draw.

    The graph itself where no node draws, or where they have the key already. A layer that was given
    no key draws as with that of seed 0 and iteration 0.

    Raises:
        NetcError: reserved-name, where the net has a blob of the key's name.
    """
    if KEY in graph.inputs or not any(draws(node) for node in graph.nodes):
        return graph
    if KEY in graph.values:
        span, text = graph.values[KEY].span, f"the name `{KEY}` is the random generator's"
        raise NetcError(Diagnostic("reserved-name", text, span, help=("rename the blob",)))
    nodes = tuple(
        replace(node, inputs=(*node.inputs, KEY)) if draws(node) else node for node in graph.nodes
    )
    values = {**graph.values, KEY: Value(KEY, KEY, KEY_SHAPE)}
    return graph.replace(nodes=nodes, values=values, inputs=(*graph.inputs, KEY))
