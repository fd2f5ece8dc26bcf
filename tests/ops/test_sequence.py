from __future__ import annotations

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.ops.define import ShapeError
from netc.ops.forks.sequence import CONTINUATION_INDICATOR, REVERSE
from tests.ops.cases import bind_layer, context_of, run_layer


def reverse(text: str = ""):
    return bind_layer(f'name: "r" type: "Reverse" bottom: "x" top: "y" {text}')


def indicator(text: str, bottom: str = ""):
    body = f"{bottom} continuation_indicator_param {{ {text} }}"
    return bind_layer(f'name: "c" type: "ContinuationIndicator" top: "y" {body}')


@pytest.mark.parametrize(
    ("text", "axis"), [("", 0), ("reverse_param { axis: 1 }", 1), ("reverse_param { axis: 2 }", 2)]
)
def test_reverse(text: str, axis: int) -> None:
    x = np.random.default_rng(0).random((3, 4, 2), dtype=np.float32)
    (y,) = run_layer(REVERSE, reverse(text), [x], [])
    np.testing.assert_array_equal(y, np.flip(x, axis))
    assert y.flags.c_contiguous


def test_an_axis_that_is_not_there() -> None:
    params = REVERSE.params(reverse("reverse_param { axis: 3 }"), context_of(reverse()))
    with pytest.raises(ShapeError, match="`axis` 3 is out of range for the 3 axes"):
        REVERSE.shape(params, [(3, 4, 2)])
    with pytest.raises(ShapeError, match="name each axis once"):
        again = reverse("reverse_param { axis: 2 axis: -1 }")
        REVERSE.shape(REVERSE.params(again, context_of(again)), [(3, 4, 2)])


def test_indicator_takes_its_streams_from_the_bottom() -> None:
    message = indicator("time_step: 3 axis: 1", 'bottom: "x"')
    (y,) = run_layer(CONTINUATION_INDICATOR, message, [np.ones((7, 2, 5), "f4")], [])
    np.testing.assert_array_equal(y, [[0, 0], [1, 1], [1, 1]])


@pytest.mark.parametrize(
    ("text", "bottom", "message"),
    [
        ("axis: 0", 'bottom: "x"', "`time_step`"),
        ("time_step: 3", "", "without a bottom needs `batch_size`"),
    ],
)
def test_mistakes(text: str, bottom: str, message: str) -> None:
    layer = indicator(text, bottom)
    with pytest.raises(NetcError, match=message) as caught:
        CONTINUATION_INDICATOR.params(layer, context_of(layer))
    assert caught.value.diagnostics[0].code == "missing-field"


def test_no_streams() -> None:
    layer = indicator("time_step: 3 axis: 1", 'bottom: "x"')
    params = CONTINUATION_INDICATOR.params(layer, context_of(layer))
    with pytest.raises(ShapeError, match="at least 1 stream"):
        CONTINUATION_INDICATOR.shape(params, [(7, 0)])
