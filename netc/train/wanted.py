"""The values of a graph that need a gradient: something that learns lies below them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from netc.ir.graph import Graph, Node
from netc.ops.gradients.catalog import GRADIENTS
from netc.train.generator import KEY

Use = tuple[str, int]  # a layer, and which of its parameters


class GradientNeeds(NamedTuple):
    """Values that need a gradient: ``all``, and the ``hard`` ones, from which one has to pass."""

    all: frozenset[str]
    hard: frozenset[str]


def find_needs(
    graph: Graph,
    parameters: Collection[str],
    values: Collection[str],
    reached: Collection[str],
    silent: Collection[Use] = (),
) -> GradientNeeds:
    """The values that are wanted, or are made of what is wanted.

    Args:
        graph: with its nodes in order.
        parameters: that are wanted, by their owners' names.
        values: that are wanted.
        reached: that are wanted where a gradient can pass.
        silent: uses of parameters that add nothing to their gradients.
    """
    above = {
        node.name
        for node in graph.nodes
        for index, name in enumerate(node.parameters)
        if owner_of(graph, name) in parameters and (node.name, index) not in silent
    }
    hard = _above(graph, above, values, labels=True)
    return GradientNeeds(
        frozenset(hard | _above(graph, (), reached, labels=False)), frozenset(hard)
    )


def _above(graph: Graph, layers: Collection[str], values: Iterable[str], labels: bool) -> set[str]:
    """What is made of these values, or by these layers, which learn, or of what they make."""
    needed = set(values)
    for node in graph.nodes:
        learns = node.name in layers
        if learns or any(node.inputs[i] in needed for i in _open(node, labels)):
            needed.update(node.outputs)
    return needed


def _open(node: Node, labels: bool) -> list[int]:
    """The bottoms that a gradient may pass to, as far as layer and text say.

    ``propagate_down`` stands for a bottom's own need, in both directions (net.cpp, AppendBottom).
    Those that no gradient can pass, labels, are among them where that is to be an error.
    """
    rule, number = GRADIENTS.get(node.op), len(node.inputs)
    shut = set(rule.passed_over(node.params, number)) if rule else set()
    if rule and not labels:
        shut.update(rule.stopped(node.params, number))
    shut |= {index for index, down in enumerate(node.propagate_down) if not down}
    shut |= {index for index, value in enumerate(node.inputs) if value == KEY}
    return [index for index in range(number) if index not in shut]


def owner_of(graph: Graph, parameter: str) -> str:
    """The parameter that has the elements."""
    return graph.parameters[parameter].owner or parameter
