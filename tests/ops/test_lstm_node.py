"""LSTMNode against the equations for each cell, and Lstm with axes for steps and streams."""

from __future__ import annotations

import math

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from tests.ops.test_fork_parts import close, inputs_of, run, text_of

RNG = np.random.default_rng(4)
X, CELLS = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 2))
WEIGHT, BIAS = RNG.normal(size=(8, 3)), RNG.normal(size=8)


def squash(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def node(*markers: float) -> tuple[np.ndarray, np.ndarray]:
    hidden, cells = np.zeros((2, 2, 2))
    for n in range(2):
        units = WEIGHT @ X[n] + BIAS
        for j in range(2):
            i, f, o = (squash(units[2 * gate + j]) for gate in range(3))
            keep = f * markers[n] if markers else f
            cells[n, j] = keep * CELLS[n, j] + i * math.tanh(units[6 + j])
            hidden[n, j] = o * math.tanh(cells[n, j])
    return hidden, cells


@pytest.mark.parametrize("field", ("lstm_param", "lstmnode_param"))
def test_one_step(field: str) -> None:
    weights = {"l": [WEIGHT.astype(np.float32), BIAS.astype(np.float32)]}
    fields = f"{field} {{ num_cells: 2 }}"
    for markers in ((), (0.0, 1.0)):
        more = [np.array(markers)] if markers else []
        got = run("LSTMNode", fields, X, CELLS, *more, tops=2, weights=weights)
        for one, other in zip(got, node(*markers), strict=True):
            close(one, other)


def test_each_gate_is_filled_by_its_own_filler() -> None:
    fields = ("lstm_param { num_cells: 4 forget_gate_bias_filler { value: 1 } "
              'input_weight_filler { type: "gaussian" std: 0.5 } }')  # fmt: skip
    text = inputs_of([(2, 3), (2, 4)]) + text_of("LSTMNode", fields, 2, 2)
    net = netc.compile(text=text, backend="reference")
    weight, bias = net.params["l"]
    assert not weight[:12].any() and weight[12:].all()
    close(bias, [0] * 4 + [1] * 4 + [0] * 8)


def test_refusals() -> None:
    for fields, shapes, code in (
        ("lstm_param { num_cells: 2 }", [(2, 3), (2, 3)], "shape-mismatch"),
        ("lstm_param { num_cells: 2 }", [(2, 3), (2, 2), (3,)], "shape-mismatch"),
        ("lstm_param { }", [(2, 3), (2, 2)], "missing-field"),
        ("lstm_param { num_cells: 2 } lstmnode_param { }", [(2, 3), (2, 2)], "conflicting-fields"),
    ):
        with pytest.raises(NetcError) as caught:
            run("LSTMNode", fields, *map(np.zeros, shapes), tops=2)
        assert [d.code for d in caught.value.diagnostics] == [code]


def test_lstm_with_axes_is_that_of_rows() -> None:
    x = RNG.normal(size=(4, 2, 3))
    own = [RNG.normal(size=s).astype(np.float32) for s in ((8, 3), (8, 2), (8,))]
    rows = run("Lstm", "lstm_param { num_output: 2 batch_size: 2 }", x.reshape(8, 3),
               weights={"l": own})  # fmt: skip
    axes = run("Lstm", "lstm_param { num_output: 2 }", x, weights={"l": own})
    assert axes.shape == (4, 2, 2)
    close(axes.reshape(8, 2), rows)
