"""Small edits that return a new graph or node. Nothing is changed in place."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from netc.ir.graph import Array, Graph, Node, Parameter
from netc.ir.names import first_free


def with_nodes(graph: Graph, nodes: Iterable[Node]) -> Graph:
    """The graph with these nodes, and only the values and parameters they still use."""
    kept = tuple(nodes)
    named = {*graph.inputs, *graph.results}
    for node in kept:
        named.update(node.inputs)
        named.update(node.outputs)
    values = {name: value for name, value in graph.values.items() if name in named}
    losses = {name: weight for name, weight in graph.losses.items() if name in named}
    return prune_parameters(graph.replace(nodes=kept, values=values, losses=losses))


def prune_parameters(graph: Graph) -> Graph:
    """The graph without parameters that no node and no update uses; owners of used ones stay."""
    used = {name for node in graph.nodes for name in node.parameters} | set(graph.updates)
    used |= {owner for name in used if (owner := graph.parameters[name].owner)}
    if used == set(graph.parameters):
        return graph
    return graph.replace(parameters={k: p for k, p in graph.parameters.items() if k in used})


def with_parameters(graph: Graph, arrays: Mapping[str, Array]) -> Graph:
    """The graph with parameters added or replaced by these float32 arrays, made read-only."""
    parameters = dict(graph.parameters)
    for name, array in arrays.items():
        array.flags.writeable = False
        old = parameters.get(name, Parameter(name))
        parameters[name] = replace(old, shape=array.shape, filler=None, array=array, owner=None)
    return graph.replace(parameters=parameters)


def with_variables(graph: Graph, owners: Collection[str] | None = None) -> Graph:
    """The graph with constants turned into variables: all, or those that ``owners`` own."""
    parameters = {
        name: replace(p, variable=True) if owners is None or (p.owner or name) in owners else p
        for name, p in graph.parameters.items()
    }
    return graph.replace(parameters=parameters)


def rename_inputs(node: Node, names: Mapping[str, str]) -> Node:
    """The node with its inputs renamed; the node itself if none of them is in ``names``."""
    if not any(v in names for v in node.inputs):
        return node
    return replace(node, inputs=tuple(names.get(v, v) for v in node.inputs))


def live_nodes(graph: Graph) -> tuple[Node, ...]:
    """The nodes that some output or update depends on, in order."""
    needed = set(graph.results)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))


def only_for(graph: Graph, outputs: Iterable[str]) -> Graph:
    """The graph with these outputs only, without nodes and inputs that they do not depend on.

    Updates are kept, and what they depend on.
    """
    graph = graph.replace(outputs=tuple(dict.fromkeys(outputs)))
    nodes = live_nodes(graph)
    read = {*graph.results, *(name for node in nodes for name in node.inputs)}
    graph = graph.replace(inputs=tuple(name for name in graph.inputs if name in read))
    return with_nodes(graph, nodes)


def fresh(taken: Iterable[str], name: str) -> str:
    """The name, or where it is taken ``name~2``, ``name~3`` ..."""
    names = set(taken)
    return first_free(name, names, lambda number: f"{name}~{number}")
