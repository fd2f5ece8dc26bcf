"""Blobs without elements: a batch of none, no channels, no pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from netc.backends.cuda.backend import CudaBackend
from netc.backends.cuda.tuning import tuner
from netc.diagnostics import NetcError
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice
from tests.backends.cuda.golden_kernels import graph_of, options
from tests.test_golden import CASES, GOLDEN, params

PADDED = ("Convolution__02", "Convolution__13", "Deconvolution__00")

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")


def emptied(case: dict[str, Any], axis: int) -> Any:
    """A golden case whose inputs have no elements along an axis; None where it cannot be."""
    graph = graph_of(case)
    shapes = {
        name: tuple(0 if i == axis else n for i, n in enumerate(graph.shape(name)))
        for name in graph.inputs
    }
    if all(shape == graph.shape(name) for name, shape in shapes.items()):
        return None
    text = GOLDEN / "layers" / f"{case['case']}.prototxt"
    weights = params(text.with_suffix(".npz"))
    try:
        return netc.compile(text, weights, backend="reference", phase=case["phase"], inputs=shapes)
    except NetcError:
        return None  # weights of another shape, or a window larger than the image


def outcome(run: Any, feeds: dict[str, Any]) -> Any:
    """A run's outputs, or what is wrong with the values."""
    try:
        return run(feeds)
    except NetcError as error:
        return error.diagnostics[0].message


def agree(case: dict[str, Any], axis: int, **extra: Any) -> bool:
    """Compare with the reference; whether there was something to compare."""
    net = emptied(case, axis)
    if net is None:
        return False
    feeds = {name: np.ones(net.graph.shape(name), np.float32) for name in net.graph.inputs}
    want = outcome(net, feeds)
    got = outcome(CudaBackend(EmulatedDevice()).prepare(net.graph, options(**extra)).run, feeds)
    if isinstance(want, str):
        assert got == want
        return True
    assert set(got) == set(want)
    for name, array in want.items():
        np.testing.assert_allclose(got[name], array, atol=1e-5, err_msg=f"{case['case']} {name}")
    return True


@pytest.mark.parametrize("axis", range(4))
def test_an_empty_axis(axis: int) -> None:
    assert sum(agree(case, axis) for case in CASES) > 90


def test_ways_are_measured_where_there_is_nothing_but_padding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETC_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tuner, "_MAX_MEASURED", 1)
    cases = [case for case in CASES if case["case"] in PADDED]
    assert len(cases) == len(PADDED) and all(agree(case, 2, tune=True) for case in cases)
    assert list(tmp_path.glob("cuda-ways-*.json"))
