"""Seeded weights that keep activations in range: He-normal products, plausible statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ir.types import count


def seeded_weights(graph: Graph, seed: int = 0) -> dict[str, list[Any]]:
    """Layer -> arrays, for every layer that has parameters."""
    rng = np.random.default_rng(seed)
    return {
        node.name: [_array(graph, node, i, rng) for i in range(len(node.parameters))]
        for node in graph.nodes
        if node.parameters
    }


def _array(graph: Graph, node: Node, index: int, rng: np.random.Generator) -> Any:
    shape = graph.parameters[node.parameters[index]].shape or ()
    if node.op == "BatchNorm":
        return (
            rng.normal(0, 0.1, shape),
            rng.uniform(0.5, 1.5, shape),
            np.ones(shape),
        )[index].astype(np.float32)
    if node.op in ("Scale", "PReLU"):
        return rng.uniform(0.5, 1.0, shape).astype(np.float32) * (1 if index == 0 else 0.1)
    if index == 0 and len(shape) > 1:
        deviation = np.sqrt(2 / max(1, count(shape, 1)))
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation)
    return rng.normal(0, 0.05, shape).astype(np.float32)


def seeded_inputs(graph: Graph, seed: int = 1) -> dict[str, Any]:
    """Input -> standard normal array."""
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(graph.shape(name), dtype=np.float32) for name in graph.inputs}
