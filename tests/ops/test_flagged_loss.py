"""EuclideanLossWithIgnore against a loop over items."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from tests.ops.test_fork_parts import close, inputs_of, run, text_of

RNG = np.random.default_rng(5)
X, T = RNG.normal(size=(5, 3, 2, 2)), RNG.normal(size=(5, 4, 2, 2))
T[:, 3] = np.array([1, 0, 1, -1, 0.5])[:, None, None]
T[2, 3, 0, 1] = 0  # the flag's first place counts
KIND = "EuclideanLossWithIgnore"


def wanted(x: np.ndarray, t: np.ndarray, norm: int | None = None) -> float:
    total, items = 0.0, 0
    for a, b in zip(x, t, strict=True):
        if b[3, 0, 0] == 1:
            size = 1 if norm is None else (a**2).sum() if norm == 0 else (b[:3] ** 2).sum()
            total += ((a - b[:3]) ** 2).sum() / (size if size > 0 else 1)
            items += 1
    return total / items / 2 if items else 0.0


def fields(norm: int) -> str:
    return f"euclideanloss_param {{ is_normalized: true normalize_choice: {norm} }}"


def test_items_that_are_flagged_count() -> None:
    close(run(KIND, "", X, T), wanted(X, T))
    close(run(KIND, "euclideanloss_param { normalize_choice: 1 }", X, T), wanted(X, T))
    for norm in (0, 1):
        close(run(KIND, fields(norm), X, T), wanted(X, T, norm))
    empty = X.copy()
    empty[0] = 0
    close(run(KIND, fields(0), empty, T), wanted(empty, T, 0))
    assert run(KIND, "", X, np.where(T == 1, 0, T)) == 0


def test_gradients_by_both_bottoms() -> None:
    text = inputs_of([X.shape, T.shape]) + text_of(KIND, "loss_weight: 2", 2, 1)
    net = netc.compile(text=text, phase="TRAIN", backend="reference")
    found = net.gradients({"x0": X.astype(np.float32), "x1": T.astype(np.float32)}).blobs
    for name, array, channels in (("x0", X, 3), ("x1", T, 4)):
        for place in np.ndindex(5, channels, 2, 2):
            ends = []
            for step in (1e-5, -1e-5):
                moved = {"x0": X.copy(), "x1": T.copy()}
                if place[1] < 3:  # by a flag there is no derivative
                    moved[name][place] += step
                ends.append(wanted(moved["x0"], moved["x1"]))
            slope = 2 * (ends[0] - ends[1]) / 2e-5
            np.testing.assert_allclose(found[name][place], slope, rtol=1e-4, atol=1e-6)
        assert found[name].shape == array.shape
    none = net.gradients({"x0": X.astype(np.float32), "x1": np.zeros(T.shape, np.float32)})
    assert not none.blobs["x0"].any()


def test_what_the_fork_cannot_do_is_refused() -> None:
    with pytest.raises(NetcError, match="they are 5x3x2x2 and 5x3x2x2"):
        run(KIND, "", X, T[:, :3])
    with pytest.raises(NetcError, match="must be 0 or 1, it is 2"):
        run(KIND, fields(2), X, T)
    text = inputs_of([X.shape, T.shape]) + text_of(KIND, fields(0), 2, 1)
    net = netc.compile(text=text, phase="TRAIN", backend="reference")
    with pytest.raises(NetcError) as caught:
        net.gradients({"x0": X.astype(np.float32), "x1": T.astype(np.float32)})
    assert caught.value.diagnostics[0].code == "no-gradient"
