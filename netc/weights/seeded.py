"""Random weights that keep activations in range, for nets whose fillers would give zeros.

Weights of convolutions and inner products are He-normal (He et al. 2015, arXiv:1502.01852), the
statistics of normalisation layers are plausible. The same seed gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from netc.ir.graph import Array, Graph, Node
from netc.ir.types import Shape, count

Draw = Callable[[np.random.Generator, Shape], Array]


def _mean(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.normal(0, 0.1, shape).astype(np.float32)


def _variance(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.uniform(0.5, 1.5, shape).astype(np.float32)


def _one(rng: np.random.Generator, shape: Shape) -> Array:
    return np.ones(shape, np.float32)


def _factor(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.uniform(0.5, 1.0, shape).astype(np.float32)


def _shift(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.uniform(0.5, 1.0, shape).astype(np.float32) * np.float32(0.1)


def _bias(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.normal(0, 0.05, shape).astype(np.float32)


def _product(rng: np.random.Generator, shape: Shape) -> Array:
    deviation = np.sqrt(2 / max(1, count(shape, 1)))
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation)


# The blobs of layers whose numbers are no products, in their order.
_BLOBS: Mapping[str, tuple[Draw, ...]] = {
    "BatchNorm": (_mean, _variance, _one, _factor, _shift),
    "BN": (_factor, _shift, _mean, _variance),
    "Scale": (_factor, _shift),
    "PReLU": (_factor,),
    "Normalize": (_factor,),
    "LayerNorm": (_factor, _shift),
}


def seeded_weights(graph: Graph, seed: int = 0) -> dict[str, list[Array]]:
    """Layer -> float32 arrays, for every layer with parameters; the graph must have shapes.

    Layers that share a parameter have the same array, as in a file that Caffe wrote.
    """
    rng = np.random.default_rng(seed)
    made: dict[str, Array] = {}
    for node in graph.nodes:
        for index, name in enumerate(node.parameters):
            drawn, owner = _array(graph, node, index, rng), graph.parameters[name].owner
            shared = None if owner is None else made.get(owner)
            made[name] = drawn if shared is None else shared.reshape(drawn.shape)
    return {
        node.name: [made[name] for name in node.parameters]
        for node in graph.nodes
        if node.parameters
    }


def without_zeros(graph: Graph, seed: int = 0) -> dict[str, list[Array]]:
    """Layer -> float32 arrays: the graph's own, with random ones where all elements are zero.

    Args:
        graph: with shapes; parameters without arrays get random ones too.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, list[Array]] = {}
    for node in (node for node in graph.nodes if node.parameters):
        arrays = [graph.parameters[name].array for name in node.parameters]
        found[node.name] = [
            array if array is not None and array.any() else _array(graph, node, index, rng)
            for index, array in enumerate(arrays)
        ]
    return found


def _array(graph: Graph, node: Node, index: int, rng: np.random.Generator) -> Array:
    shape = graph.parameters[node.parameters[index]].shape or ()
    draws = _BLOBS.get(node.op, ())
    if index < len(draws):
        return draws[index](rng, shape)
    return _product(rng, shape) if index == 0 and len(shape) > 1 else _bias(rng, shape)
