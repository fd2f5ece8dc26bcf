"""CtcLoss by every path of symbols."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.test_fork_parts import run


def test_labels_of_one_symbol_need_no_axis_of_their_own() -> None:
    x = np.random.default_rng(3).normal(size=(3, 2, 4)).astype(np.float32)
    fields = "ctc_loss_param { alphabet_size: 4 time_step: 3 blank_label: 0 }"
    label = np.array([1, 3], np.float32)
    scores = np.exp(x.astype(np.float64))
    scores /= scores.sum(axis=2, keepdims=True)
    total = 0.0
    for item, symbol in enumerate((1, 3)):
        chance = 0.0
        for path in np.ndindex(4, 4, 4):
            said = [s for t, s in enumerate(path) if s and (t == 0 or path[t - 1] != s)]
            if said == [symbol]:
                chance += np.prod([scores[t, item, s] for t, s in enumerate(path)])
        total -= np.log(chance)
    for own in (label, label.reshape(2, 1)):
        assert run("CtcLoss", fields, x, own) == pytest.approx(total / 2, rel=1e-5)
