"""Random nets, exported for their own batch and for any, against the reference."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings

from netc.backends import reference
from netc.diagnostics import NetcError, Source
from netc.export.onnx import to_onnx
from netc.infer import inferred
from netc.ir.graph import Graph
from tests.export.onnx.running import run
from tests.passes.test_equivalence import LARGEST, seeded
from tests.strategies import nets, random_arrays


def compare(graph: Graph, batch: str | None, items: int) -> None:
    """A model and a graph, on so many items."""
    model = to_onnx(graph, batch=batch)
    shapes = {name: (items, *graph.shape(name)[1:]) for name in graph.inputs}
    feeds = random_arrays(shapes)
    graph = inferred(graph, shapes)
    everything = reference.run(graph, feeds, tuple(graph.values))
    assume(all((np.abs(array) < LARGEST).all() for array in everything.values()))
    blobs = {graph.values[name].blob: array for name, array in feeds.items()}
    got = run(model, {**blobs, **feeds})
    assert set(got) == set(graph.outputs)
    for name, array in got.items():
        want = everything[name]
        assert array.shape == want.shape
        scale = max(1.0, float(np.abs(want).max(initial=0)))
        np.testing.assert_allclose(array, want, rtol=1e-4, atol=2e-5 * scale)


@settings(max_examples=60)
@given(nets())
def test_of_their_own_batch(source: Source) -> None:
    graph = seeded(source)
    assume(graph.outputs)  # not all that is made is silenced
    compare(graph, None, graph.shape(graph.inputs[0])[0])


@settings(max_examples=60)
@given(nets())
def test_of_any_batch(source: Source) -> None:
    graph = seeded(source)
    assume(graph.outputs)
    try:
        to_onnx(graph, batch="N")
    except NetcError as error:
        assume("batch-misfit" not in {d.code for d in error.diagnostics})
        raise
    compare(graph, "N", 3)
