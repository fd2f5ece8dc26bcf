"""Updates of parameters and clipping by kernels, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from tests.backends.cuda.emulated_training import definitions, emulated
from tests.backends.cuda.emulator.device import COMPILER
from tests.solver import small
from tests.solver.small import NET
from tests.solver.test_combinations import FORKS, RULES

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")

MORE = {
    "": "",
    "l1 of two passes": "weight_decay: 0.01 regularization_type: 'L1' iter_size: 2",
    "clipped": "weight_decay: 0.02 clip_gradients: 0.1",
}


def trained(text: str, order: int = 0, net: str = NET):
    with emulated(order), pytest.MonkeyPatch.context() as patch:
        patch.setattr(small, "NET", net)
        ours = small.solver(text, backend="cuda")
        theirs = small.solver(text, backend="reference")
        found = ours.step(3)
        np.testing.assert_allclose(found, theirs.step(3), rtol=2e-5)
    assert not {n for n in definitions(ours) if "update" in n or "norm" in n or "value" in n}
    pairs = zip(ours.history, theirs.history, strict=True)
    own = [
        pair
        for name, arrays in theirs.params.items()
        for pair in zip(ours.params[name], arrays, strict=True)
    ]
    for one, other in (*pairs, *own):
        scale = float(np.abs(other).max()) + 1e-6
        np.testing.assert_allclose(one / scale, other / scale, atol=2e-5)
    return ours


@pytest.mark.parametrize("more", MORE)
@pytest.mark.parametrize("rule", RULES)
def test_rules(rule: str, more: str) -> None:
    trained(f"type: '{rule}' {RULES[rule]} {MORE[more]}")


@pytest.mark.parametrize("text", FORKS)
def test_rules_of_forks(text: str) -> None:
    trained(text, order=1)
