"""The CPU backend after the passes against the definition before them, on random nets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings

import netc
from netc.backends import reference
from netc.diagnostics import Source
from tests.passes.test_equivalence import feeds_for, seeded
from tests.passes.weights import assert_same, by_layer
from tests.strategies import nets


@pytest.mark.parametrize("optimize", [True, False, "exact"])
@settings(max_examples=40, deadline=None)
@given(source=nets())
def test_random_nets(optimize: bool | str, source: Source) -> None:
    graph = seeded(source)
    feeds, weights = feeds_for(graph), by_layer(graph)
    before = reference.run(graph, feeds, tuple(graph.values))
    # Kernels may tell an infinity or a nan differently; windows outside of the input give such.
    assume(all(np.isfinite(array).all() for array in before.values()))
    one, two = (
        netc.compile(source, weights, optimize=optimize, threads=threads)(feeds)
        for threads in (1, 2)
    )
    assert_same(one, two, exact=True)
    assert_same({name: before[name] for name in graph.outputs}, one)
