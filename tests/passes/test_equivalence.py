"""Every pass keeps every result: golden cases, random nets, before and after, on the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import netc
from netc.backends import reference
from netc.diagnostics import NetcError, Source
from netc.ir.graph import Graph
from netc.passes.base import run_passes
from netc.passes.pipeline import ALL, BY_NAME, EXACT
from tests.strategies import nets, random_arrays
from tests.test_golden import CASES, GOLDEN, arrays, params


def statistics(graph: Graph) -> dict[str, list[Any]]:
    """Weights in which BatchNorm's statistics are plausible, not the zeros of its filler."""
    rng = np.random.default_rng(3)
    found = {}
    for node in graph.nodes:
        blobs = [np.array(reference.parameter_array(graph, name)) for name in node.parameters]
        if node.op == "BatchNorm":
            blobs[0] = rng.normal(0, 0.5, blobs[0].shape).astype(np.float32)
            blobs[1] = rng.uniform(0.5, 1.5, blobs[1].shape).astype(np.float32)
            blobs[2] = np.ones(1, np.float32)
        if blobs:
            found[node.name] = blobs
    return found


def seeded(source: Source) -> Graph:
    return netc.compile(
        source, statistics(netc.compile(source, backend="reference").graph), backend="reference"
    ).graph


def assert_same(before: dict[str, Any], after: dict[str, Any], exact: bool = False) -> None:
    assert set(before) == set(after)
    for name, want in before.items():
        if exact:
            np.testing.assert_array_equal(after[name], want, err_msg=name)
        else:
            scale = max(1.0, float(np.abs(want).max(initial=0)))
            np.testing.assert_allclose(
                after[name], want, rtol=1e-4, atol=1e-5 * scale, err_msg=name
            )


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["case"])
def test_golden_cases(case: dict[str, Any]) -> None:
    text = GOLDEN / "layers" / f"{case['case']}.prototxt"
    net = netc.compile(
        text, params(text.with_suffix(".npz")), backend="reference", phase=case["phase"]
    )
    feeds = arrays(text.with_suffix(".npz"), "in/")
    graph, _ = run_passes(net.graph, ALL)
    assert_same(net(feeds), reference.run(graph, feeds))


@settings(max_examples=150, deadline=None)
@given(nets())
def test_random_nets(source: Source) -> None:
    graph = seeded(source)
    feeds = random_arrays({name: graph.shape(name) for name in graph.inputs})
    before = reference.run(graph, feeds)
    after, _ = run_passes(graph, ALL)
    assert_same(before, reference.run(after, feeds))
    assert_same(before, reference.run(run_passes(graph, EXACT)[0], feeds), exact=True)


@settings(max_examples=30, deadline=None)
@given(nets())
def test_each_pass_alone(source: Source) -> None:
    graph = seeded(source)
    feeds = random_arrays({name: graph.shape(name) for name in graph.inputs})
    before = reference.run(graph, feeds)
    for item in BY_NAME.values():
        after, _ = run_passes(graph, [item])
        assert_same(before, reference.run(after, feeds))


def test_an_unknown_pass_is_named() -> None:
    text = Path(GOLDEN / "layers" / "ReLU__00.prototxt")
    with pytest.raises(NetcError, match=r"unknown-pass.*fuse-epilogue"):
        netc.compile(text, optimize=["fuse-epilogue"])
