"""Random weights and checks that tests of passes share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from netc.backends import reference
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
    return with_arrays(graph, arrays | dict(given or {}))


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


def he_normal(graph: Graph) -> Graph:
    """Weights that keep values near 1 through many layers (He et al. 2015, arXiv:1502.01852)."""
    rng = np.random.default_rng(7)
    arrays = {}
    for name, parameter in graph.parameters.items():
        shape = parameter.shape or ()
        if parameter.owner is None:
            spread = 0.1 if len(shape) < 2 else math.sqrt(2 / math.prod(shape[1:]))
            arrays[name] = (spread * rng.standard_normal(shape)).astype(np.float32)
    for node in graph.nodes:
        if node.op == "Scale" and len(node.inputs) == 1:
            arrays[node.parameters[0]] += np.float32(1)
    return with_arrays(graph, arrays | plausible_statistics(graph))


def with_arrays(graph: Graph, arrays: Mapping[str, Any]) -> Graph:
    """The graph with arrays in place of those it has."""
    return graph.replace(
        parameters={
            name: replace(p, array=arrays.get(name, p.array))
            for name, p in graph.parameters.items()
        }
    )


def by_layer(graph: Graph) -> dict[str, list[Any]]:
    """A graph's arrays as :func:`netc.compile` takes them."""
    return {
        node.name: [np.array(reference.parameter_array(graph, name)) for name in node.parameters]
        for node in graph.nodes
        if node.parameters
    }


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
