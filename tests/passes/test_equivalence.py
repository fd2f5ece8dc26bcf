"""Every pass keeps every result: golden cases, random nets, before and after, on the reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import netc
from netc.backends import reference
from netc.backends.variables import Variables
from netc.diagnostics import NetcError, Source
from netc.ir.edit import with_variables
from netc.ir.graph import Graph
from netc.passes.base import Pass, run_passes
from netc.passes.pipeline import ALL, BY_NAME, EXACT
from tests.passes.weights import (
    assert_consistent,
    assert_same,
    plausible_statistics,
    with_arrays,
)
from tests.strategies import nets, random_arrays
from tests.test_golden import CASES, GOLDEN, arrays, params

LARGEST = 1e15


def seeded(source: Source) -> Graph:
    """A net with the weights of its fillers, and statistics that BatchNorm could have met."""
    graph = netc.compile(source, backend="reference").graph
    return with_arrays(graph, plausible_statistics(graph))


def feeds_for(graph: Graph) -> dict[str, Any]:
    return random_arrays({name: graph.shape(name) for name in graph.inputs})


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["case"])
def test_golden_cases(case: dict[str, Any]) -> None:
    text = GOLDEN / "layers" / f"{case['case']}.prototxt"
    net = netc.compile(
        text, params(text.with_suffix(".npz")), backend="reference", phase=case["phase"]
    )
    feeds = arrays(text.with_suffix(".npz"), "in/")
    before = net(feeds)
    for passes in (ALL, EXACT):
        after, _ = run_passes(net.graph, passes)
        assert_consistent(after)
        assert_same(before, reference.run(after, feeds), exact=passes is EXACT)


@settings(max_examples=150, deadline=None)
@given(nets())
def test_random_nets(source: Source) -> None:
    graph = seeded(source)
    feeds = feeds_for(graph)
    before = reference.run(graph, feeds, tuple(graph.values))
    for passes in (ALL, EXACT):
        assert_equivalent(graph, passes, feeds, before, exact=passes is EXACT)


@settings(max_examples=60, deadline=None)
@given(nets())
def test_each_pass_alone(source: Source) -> None:
    graph = seeded(source)
    feeds = feeds_for(graph)
    before = reference.run(graph, feeds, tuple(graph.values))
    for item in BY_NAME.values():
        assert_equivalent(graph, [item], feeds, before, item.exact)


@pytest.mark.filterwarnings("ignore::netc.NetcWarning")  # a net that gives nothing back, and why
@settings(max_examples=60, deadline=None)
@given(nets())
def test_variables_may_change_after_the_passes(source: Source) -> None:
    """No pass has looked at the elements of a variable."""
    graph = with_variables(seeded(source))
    feeds, variables = feeds_for(graph), Variables()
    bound = variables.bind(graph)
    after, _ = run_passes(bound, ALL)
    assert_consistent(after)
    random = np.random.default_rng(0)
    for name in variables:
        variables[name][...] *= random.uniform(0.5, 2, variables[name].shape)
    assert_same(reference.run(bound, feeds), reference.run(after, feeds), exact=False)


def assert_equivalent(
    graph: Graph, passes: Sequence[Pass], feeds: dict[str, Any], before: dict[str, Any], exact: bool
) -> None:
    """The graph gives the same after passes.

    A sum in another order may overflow where the first did not, and a window that lies outside of
    its input gives -FLT_MAX or nan: where a net meets such numbers only exact passes are compared.
    """
    after, _ = run_passes(graph, passes)
    assert_consistent(after)
    tame = all((np.abs(array) < LARGEST).all() for array in before.values())
    if exact or tame:
        wanted = {name: before[name] for name in graph.outputs}
        assert_same(wanted, reference.run(after, feeds), exact)


def test_an_unknown_pass_is_named() -> None:
    text = Path(GOLDEN / "layers" / "ReLU__00.prototxt")
    with pytest.raises(NetcError, match=r"unknown-pass.*fuse-epilogue"):
        netc.compile(text, optimize=["fuse-epilogue"])
