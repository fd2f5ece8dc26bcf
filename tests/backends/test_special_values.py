"""Parameters and values that are no ordinary numbers: the definition's answer, which is Caffe's.

Expected values are what float32 arithmetic and C's ``pow`` and ``exp`` give, by the formulas of
Caffe's CPU code.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError, Source

INF, NAN = math.inf, math.nan
VALUES = np.array(
    [0.0, -0.0, 1, -1, INF, -INF, NAN, 3e38, -3e38, 0.5, -0.5, 2, -2, 89, -89, 104, -104, 200],
    np.float32,
)
INPUT = """layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: [2, 8, 4, 4] } } }
"""


def outputs(layer: str, x: Any, backend: str, optimize: bool = True) -> Any:
    text = f'{INPUT}layer {{ name: "l" bottom: "data" top: "y" {layer} }}\n'
    return netc.compile(Source("n", text), backend=backend, optimize=optimize)(data=x)["y"]


def fed() -> list[Any]:
    plain = np.random.default_rng(0).standard_normal((2, 8, 4, 4)).astype(np.float32)
    special = np.resize(VALUES, plain.shape).astype(np.float32)
    one = plain.copy()
    one[0, 3, 1, 1], one[1, 2, 3, 3] = INF, -INF
    return [plain, np.zeros_like(plain), special, one]


LAYERS = [
    *(f'type: "LRN" lrn_param {{ {p} }}' for p in (
        "k: 0", "k: -1", "k: -2 beta: 2", "k: 1e-38", "alpha: -1", "alpha: -1 local_size: 1",
        "alpha: 0 k: 0", "beta: 0", "beta: -0.5", "beta: -2 k: -1",
        "alpha: -1 norm_region: WITHIN_CHANNEL local_size: 3",
        "beta: 0 norm_region: WITHIN_CHANNEL local_size: 3",
        "k: -5 norm_region: WITHIN_CHANNEL local_size: 3",
    )),
    *(f'type: "Power" power_param {{ {p} }}' for p in (
        "power: inf", "power: -inf", "power: nan", "power: -1", "power: -2", "power: 3",
        "power: inf scale: -2", "power: inf shift: 1", "power: -1 scale: -2", "scale: inf",
        "scale: nan", "shift: inf", "power: 0 scale: inf", "power: inf scale: 0 shift: -2",
        "power: 0.5 scale: -1", "power: -0.5", "scale: 0 shift: -0.5 power: -1",
    )),
    *(f'type: "ELU" elu_param {{ alpha: {a} }}' for a in ("inf", "-inf", "nan", "0", "-1")),
    *(f'type: "ReLU" relu_param {{ negative_slope: {a} }}' for a in ("inf", "nan", "-1", "0")),
    *(f'type: "Exp" exp_param {{ {p} }}' for p in ("scale: inf", "shift: inf", "scale: -2")),
    *(f'type: "Log" log_param {{ {p} }}' for p in ("scale: inf", "shift: nan", "scale: -2")),
    *(f'type: "Clip" clip_param {{ {p} }}' for p in ("min: -inf max: 1", "min: nan max: inf")),
    *(f'type: "Threshold" threshold_param {{ threshold: {p} }}' for p in ("inf", "nan", "-0")),
    'type: "Swish" swish_param { beta: inf }',
    *(f'type: "{name}"' for name in ("Sigmoid", "TanH", "BNLL", "AbsVal", "Softmax", "ELU")),
]  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS)
def test_kernels_agree_with_the_definition(layer: str) -> None:
    for x in fed():
        want = outputs(layer, x, "reference")
        for optimize in (True, False):
            got = outputs(layer, x, "cpu", optimize)
            np.testing.assert_allclose(got, want, rtol=2e-4, atol=1e-5)
            zero = (want == 0) & (got == 0)
            assert (np.signbit(got) == np.signbit(want))[zero].all() or "Power" not in layer


@pytest.mark.parametrize("backend", ["reference", "cpu"])
class TestCaffe:
    @pytest.mark.parametrize(
        ("layer", "x", "y"),
        [
            ('type: "LRN" lrn_param { k: 0 }', 0.0, NAN),  # 0 * 0 ** -0.75
            ('type: "LRN" lrn_param { k: -1 }', 0.0, NAN),  # a root of -1
            ('type: "LRN" lrn_param { k: -1 beta: 2 alpha: 0 }', 3.0, 3.0),
            ('type: "LRN" lrn_param { k: 0 alpha: 0 beta: 1 }', -3.0, -INF),
            ('type: "Power" power_param { power: inf }', -0.5, 0.0),
            ('type: "Power" power_param { power: inf }', -1.0, 1.0),
            ('type: "Power" power_param { power: inf }', -2.0, INF),
            ('type: "Power" power_param { power: nan }', 1.0, 1.0),
            ('type: "Power" power_param { power: -1 }', -0.0, -INF),
            ('type: "Power" power_param { power: -1 scale: -2 }', 0.0, -INF),
            ('type: "Power" power_param { power: 0 scale: nan }', NAN, 1.0),
            ('type: "ELU" elu_param { alpha: inf }', 1.0, NAN),  # 1 + inf * (exp(0) - 1)
            ('type: "ELU" elu_param { alpha: inf }', -1.0, -INF),
            ('type: "ELU" elu_param { alpha: 2 }', -INF, -2.0),
            ('type: "ReLU" relu_param { negative_slope: inf }', 1.0, NAN),
            ('type: "ReLU" relu_param { negative_slope: inf }', -1.0, -INF),
        ],
    )
    def test_answers(self, layer: str, x: float, y: float, backend: str) -> None:
        got = outputs(layer, np.full((2, 8, 4, 4), x, np.float32), backend)
        np.testing.assert_array_equal(got, np.full_like(got, y))


@pytest.mark.parametrize("name", ["alpha", "beta", "k"])
@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_lrn_takes_finite_numbers(name: str, value: str) -> None:
    """Caffe adds at the front of a moving sum what it subtracts at its end: no number is left."""
    with pytest.raises(NetcError) as caught:
        outputs(f'type: "LRN" lrn_param {{ {name}: {value} }}', fed()[0], "reference")
    (told,) = caught.value.diagnostics
    assert told.message == f"layer `l` (LRN): `{name}` must be a finite number, it is {value}"
    assert told.span is not None and told.span.text == value
