"""Seeded weights and inputs, the same for every runtime that is compared."""

from __future__ import annotations

import warnings

from netc.analysis.feeds import drawn_inputs
from netc.ir.graph import Array, Graph
from netc.weights.seeded import seeded_weights

# Nets are compiled without weights to learn what they need: no news that these would be zeros.
warnings.filterwarnings("ignore", ".*zero-weights")

__all__ = ["seeded_inputs", "seeded_weights"]


def seeded_inputs(graph: Graph, seed: int = 1) -> dict[str, Array]:
    """Input -> normal random numbers, or what its readers accept."""
    return drawn_inputs(graph, seed=seed)
