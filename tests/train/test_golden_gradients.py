"""Every gradient that BVLC Caffe computed, by every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.train.gradients import Gradients
from tests.test_golden import CASES, GOLDEN, arrays, params


def has_backward(case: dict[str, Any]) -> bool:
    """Whether Caffe made a backward pass: without `force_backward` these nets have none.

    They have no parameter below a loss; their gradients are zeros that nothing was written to
    (Embed, InfogainLoss), and are checked by finite differences instead.
    """
    text = (GOLDEN / "layers" / f"{case['case']}.prototxt").read_text(encoding="utf-8")
    return case["backward"] and "force_backward: true" in text


BACKWARD = [case for case in CASES if has_backward(case)]


def assert_near(got: np.ndarray[Any, Any], want: np.ndarray[Any, Any], what: str) -> None:
    """Ten times the tolerance of forward results, as the numbers' README asks."""
    assert got.shape == want.shape, f"{what}: {got.shape} != {want.shape}"
    assert got.dtype == np.float32
    excess = np.abs(got.astype(np.float64) - want) - (1e-4 + 1e-3 * np.abs(want))
    assert not (excess > 0).any(), f"{what}: off by {np.max(np.abs(got - want))}"


def assert_gradients(got: Gradients, data: Any) -> None:
    """All gradients of a case are Caffe's."""
    for name, want in arrays(data, "grad/").items():
        assert_near(got.blobs[name], want, f"gradient of {name}")
    for name, want in arrays(data, "pgrad/").items():
        layer, _, index = name.rpartition("/")
        assert_near(got.params[layer][int(index)], want, f"gradient of {name}")


@pytest.mark.parametrize("case", BACKWARD, ids=lambda c: c["case"])
def test_layer(case: dict[str, Any], backend: str) -> None:
    text = GOLDEN / "layers" / f"{case['case']}.prototxt"
    data = text.with_suffix(".npz")
    net = netc.compile(text, params(data), backend=backend, phase=case["phase"], tune=False)
    got = net.gradients(arrays(data, "in/"), seeds=arrays(data, "topdiff/"))
    assert_gradients(got, data)
    for name, want in arrays(data, "out/").items():
        np.testing.assert_allclose(got.outputs[name], want, 1e-4, 1e-5, err_msg=name)
