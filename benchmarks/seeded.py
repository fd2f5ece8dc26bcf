"""Seeded weights and inputs, the same for every runtime that is compared."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from netc.analysis.feeds import drawn_inputs
from netc.ir.graph import Array, Graph, Node
from netc.ops.catalog import CATALOG
from netc.weights.seeded import seeded_weights

# Nets are compiled without weights to learn what they need: no news that these would be zeros.
warnings.filterwarnings("ignore", ".*zero-weights")

__all__ = ["seeded_inputs", "seeded_weights", "with_seeded_files"]


def with_seeded_files(graph: Graph, seed: int = 1) -> Graph:
    """The graph with random positive numbers in the place of arrays in files that layers name."""
    rng = np.random.default_rng(seed)

    def filled(node: Node) -> Node:
        rule = CATALOG[node.op].blob_file
        name = rule.named(node.params) if rule is not None else None
        if rule is None or rule.example is None or name is None:
            return node
        shapes = [graph.shape(value) for value in node.inputs]
        array = rng.random(rule.example(node.params, shapes), dtype=np.float32)
        return replace(node, params=rule.given(node.params, shapes, name, array))

    return graph.replace(nodes=tuple(map(filled, graph.nodes)))


def seeded_inputs(graph: Graph, seed: int = 1) -> dict[str, Array]:
    """Input -> normal random numbers, or what its readers accept."""
    return drawn_inputs(graph, seed=seed)
