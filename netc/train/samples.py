"""Inputs that a net's layers take, drawn at random: numbers, labels, indices, indicators, regions.

What an input may hold is said by the layers that read it (netc.ops.contents).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from netc.ir.edit import with_parameters
from netc.ir.graph import Array, Graph, Node
from netc.ir.types import Shape, count
from netc.ops.catalog import CATALOG

Rng = np.random.Generator
Draw = Callable[[Graph, Node, Shape, Rng], Array]


def sample(graph: Graph, name: str, rng: Rng) -> Array:
    """An input's array, float32.

    Numbers lie between -1 and 1 and differ from one another by a thousandth at least where there
    are few of them, so that maxima and signs are far from a tie.
    """
    shape = graph.shape(name)
    for node in graph.readers[name]:
        index = node.inputs.index(name)
        if draw := _DRAWS.get((node.op, index)):
            return draw(graph, node, shape, rng)
        shapes = [graph.shape(value) for value in node.inputs]
        contents = CATALOG[node.op].contents(node.params, shapes)
        if index < len(contents) and (content := contents[index]) is not None:
            return content.draw(shape, rng)
    return _spaced(shape, rng)


def varied(graph: Graph, rng: Rng) -> Graph:
    """The graph with small random numbers in parameters that are all zeros.

    With zeros most gradients are zeros too. Statistics are numbers around 1.
    """
    found: dict[str, Array] = {}
    for node in graph.nodes:
        specs = CATALOG[node.op].weights(node.params, [graph.shape(v) for v in node.inputs])
        for name, spec in zip(node.parameters, specs, strict=True):
            array = graph.parameters[name].array
            if array is not None and not array.any():
                low, high = (-0.5, 0.5) if spec.learned else (0.5, 1.5)
                found[name] = rng.uniform(low, high, array.shape).astype(np.float32)
    return with_parameters(graph, found)


def _spaced(shape: Shape, rng: Rng) -> Array:
    size = count(shape)
    steps = (np.arange(size) + 0.5) / max(1, size) * 2 - 1
    return rng.permutation(steps).reshape(shape).astype(np.float32)


def _share(graph: Graph, node: Node, shape: Shape, rng: Rng) -> Array:
    return rng.random(shape, dtype=np.float32)


def _place(graph: Graph, node: Node, shape: Shape, rng: Rng) -> Array:
    """For each element of a plane a place of its own in the larger one."""
    places = count(graph.shape(node.outputs[0])[2:])
    planes = [rng.permutation(places)[: count(shape[2:])] for _ in range(count(shape[:2]))]
    return np.asarray(planes, np.float32).reshape(shape)


# Beyond what the layers' contents rules say: probabilities, and places that do not collide.
_DRAWS: Mapping[tuple[str, int], Draw] = {
    ("MultinomialLogisticLoss", 0): _share,
    ("Upsample", 1): _place,
}
