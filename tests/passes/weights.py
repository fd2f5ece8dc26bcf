"""Random weights and checks that tests of passes share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from netc.ir.graph import Graph
from netc.ops.catalog import CATALOG


def with_random_arrays(graph: Graph, given: Mapping[str, Any] | None = None) -> Graph:
    """The graph with arrays: those given, BatchNorm's plausible, all others standard normal."""
    rng = np.random.default_rng(11)
    arrays = {
        name: rng.standard_normal(p.shape or ()).astype(np.float32)
        for name, p in graph.parameters.items()
        if p.owner is None
    }
    arrays |= plausible_statistics(graph)
    arrays |= given or {}
    return graph.replace(
        parameters={
            name: replace(p, array=arrays.get(name)) for name, p in graph.parameters.items()
        }
    )


def plausible_statistics(graph: Graph) -> dict[str, Any]:
    """Means near 0 and variances near 1 for each BatchNorm's parameters, not its filler's zeros."""
    rng = np.random.default_rng(3)
    found: dict[str, Any] = {}
    for node in graph.nodes:
        if node.op == "BatchNorm":
            mean, variance, factor = node.parameters
            shape = graph.parameters[mean].shape
            found[mean] = rng.normal(0, 0.5, shape).astype(np.float32)
            found[variance] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
            found[factor] = np.ones(1, np.float32)
    return found


def assert_consistent(graph: Graph) -> None:
    """Every node's shapes and parameters are those its op's rules give."""
    for node in graph.nodes:
        op = CATALOG[node.op]
        inputs = [graph.shape(v) for v in node.inputs]
        assert [graph.shape(v) for v in node.outputs] == list(op.shape(node.params, inputs)), node
        shapes = [graph.parameters[name].shape for name in node.parameters]
        assert shapes == [spec.shape for spec in op.weights(node.params, inputs)], node


def assert_same(before: dict[str, Any], after: dict[str, Any], exact: bool = False) -> None:
    """Both have the same outputs: bit for bit, or up to the rounding of sums in another order."""
    assert set(before) == set(after)
    for name, want in before.items():
        assert after[name].shape == want.shape, name
        if exact:
            np.testing.assert_array_equal(after[name], want, err_msg=name)
        else:
            scale = max(1.0, float(np.abs(want[np.isfinite(want)]).max(initial=0)))
            np.testing.assert_allclose(
                after[name], want, rtol=1e-4, atol=1e-5 * scale, err_msg=name
            )
