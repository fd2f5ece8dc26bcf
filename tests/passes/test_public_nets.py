"""The passes on nets that people published: before and after, on the reference.

Slow (minutes): run with --slow. One image at a time where the net allows it, and only nets of at
most 300 million multiply-adds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netc.analysis.cost import graph_cost
from netc.backends import reference
from netc.diagnostics import NetcError
from netc.frontend import build, read_net, runnable, with_outputs
from netc.ir.graph import Graph
from netc.ops.catalog import CATALOG
from netc.passes.base import run_passes
from netc.passes.pipeline import ALL
from tests.conftest import corpus_dir, nets_dir
from tests.passes.weights import assert_consistent, he_normal
from tests.strategies import random_arrays

MOST_MACS = int(os.environ.get("NETC_MOST_MACS", 300_000_000))
SHAPES: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parent.parent / "golden" / "shapes.json").read_text()
)
NETS = sorted(nets_dir().glob("*.prototxt"))

pytestmark = pytest.mark.slow


def one_image(path: Path, phase: str, given: Mapping[str, Any]) -> Graph:
    """The net with one image, where its layers take that; else as it is."""
    message = read_net(path).message
    built = build(message, phase=phase, inputs={k: tuple(v) for k, v in given.items()})
    shapes = {name: built.graph.values[name].shape or () for name in built.graph.inputs}
    single = build(
        message, phase=phase, inputs={k: (1, *v[1:])[: len(v)] for k, v in shapes.items()}
    )
    try:
        return runnable(single)
    except NetcError:
        return runnable(built)


def scores(graph: Graph) -> Graph:
    """The graph giving back what its softmaxes read too: they hide differences."""
    return with_outputs(graph, [n.inputs[0] for n in graph.nodes if n.op == "Softmax"])


def feeds_for(graph: Graph) -> dict[str, Any]:
    """Images of normal noise; zeros, the first class, for what has no height and width."""
    feeds = random_arrays({name: graph.shape(name) for name in graph.inputs})
    return {k: x if x.ndim == 4 else np.zeros_like(x) for k, x in feeds.items()}


def assert_unchanged(graph: Graph) -> None:
    graph = scores(he_normal(graph))
    feeds = feeds_for(graph)
    want = reference.run(graph, feeds)
    after, applied = run_passes(graph, ALL)
    assert_consistent(after)
    assert len(applied) == len(ALL)
    got = reference.run(after, feeds)
    assert set(got) == set(want)
    for name, array in want.items():
        largest = float(np.abs(array[np.isfinite(array)]).max(initial=0))
        np.testing.assert_allclose(
            got[name], array, rtol=1e-4, atol=1e-4 * largest + 1e-30, err_msg=name
        )


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_benchmark_net(path: Path) -> None:
    assert_unchanged(one_image(path, "TEST", {}))


@pytest.mark.parametrize("key", sorted(SHAPES))
def test_corpus_net(key: str, corpus: Path) -> None:
    file, _, phase = key.rpartition("#")
    graph = one_image(corpus / "files" / file, phase, SHAPES[key]["given"])
    if any(CATALOG[node.op].dynamic for node in graph.nodes):
        pytest.skip("its sizes follow from what is fed, and it runs as it is")
    macs = graph_cost(graph).total.macs
    if macs > MOST_MACS:
        pytest.skip(f"{macs:,} multiply-adds")
    assert_unchanged(graph)


def test_there_is_a_corpus() -> None:
    assert corpus_dir().is_dir()
