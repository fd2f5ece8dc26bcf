from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netc.ops.convolution import CONVOLUTION
from netc.ops.define import LayerContext
from netc.ops.forks.locally_connected import LOCAL, LOCALLY_CONNECTED
from tests.ops.cases import bind_layer, complaint, context_of, misfit, random_array, run_layer


def text_of(text: str, kind: str = "LocallyConnected") -> str:
    message = "local_param" if kind == "Local" else "convolution_param"
    return f'name: "a" type: "{kind}" bottom: "x" top: "y" {message} {{ {text} }}'


def weights_of(op, layer, shape, seed: int = 0):
    specs = op.weights(op.params(layer, context_of(layer)), [shape])
    return [random_array(*spec.shape, seed=seed + i) for i, spec in enumerate(specs)]


@settings(max_examples=60, deadline=None)
@given(
    spatial=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    pad=st.integers(0, 2),
    dilation=st.integers(1, 2),
    group=st.integers(1, 2),
)
def test_one_weight_for_all_places_is_the_convolution(
    spatial, kernel, stride, pad, dilation, group
) -> None:
    lack = dilation * (kernel - 1) + 1 - 2 * pad
    shape = (2, 2 * group, *(max(size, lack) for size in spatial))
    text = (
        f"num_output: {3 * group} kernel_size: {kernel} stride: {stride} pad: {pad} "
        f"dilation: {dilation} group: {group}"
    )
    x = random_array(*shape)
    shared = weights_of(CONVOLUTION, bind_layer(text_of(text, "Convolution")), shape)
    (wanted,) = run_layer(CONVOLUTION, bind_layer(text_of(text, "Convolution")), [x], shared)
    places = wanted.shape[2:]
    own = [
        np.broadcast_to(w.reshape(*w.shape, *(1,) * len(places)), (*w.shape, *places))
        for w in shared
    ]
    (y,) = run_layer(LOCALLY_CONNECTED, bind_layer(text_of(text)), [x], own)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(2, 5), st.integers(2, 5)),
    kernel=st.integers(1, 2),
    stride=st.integers(1, 2),
    pad=st.integers(0, 1),
    bias=st.booleans(),
)
def test_every_place_has_its_weights(size, kernel, stride, pad, bias) -> None:
    shape = (2, 3, *size)
    text = (
        f"num_output: 2 kernel_size: {kernel} stride: {stride} pad: {pad} "
        f"bias_term: {str(bias).lower()}"
    )
    layer = bind_layer(text_of(text))
    x, weights = random_array(*shape), weights_of(LOCALLY_CONNECTED, layer, shape, 1)
    (y,) = run_layer(LOCALLY_CONNECTED, layer, [x], weights)
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    for n, m, i, j in np.ndindex(*y.shape):
        seen = padded[
            n, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel
        ].astype(np.float64)
        wanted = (seen * weights[0][m, :, :, :, i, j]).sum()
        wanted += weights[1][m, i, j] if bias else 0
        assert y[n, m, i, j] == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def test_local_is_the_same_in_another_shape() -> None:
    shape, text = (2, 3, 6, 5), "num_output: 4 kernel_size: 3 stride: 2 pad: 1"
    local, own = bind_layer(text_of(text, "Local")), bind_layer(text_of(text))
    x, weights = random_array(*shape), weights_of(LOCAL, local, shape)
    assert [w.shape for w in weights] == [(4, 1, 27, 9), (1, 1, 4, 9)]
    (y,) = run_layer(LOCAL, local, [x], weights)
    other = [weights[0].reshape(4, 3, 3, 3, 3, 3), weights[1].reshape(4, 3, 3)]
    np.testing.assert_array_equal(y, run_layer(LOCALLY_CONNECTED, own, [x], other)[0])


def test_arithmetic_is_the_convolutions() -> None:
    layer = bind_layer(text_of("num_output: 4 kernel_size: 3"))
    params = LOCALLY_CONNECTED.params(layer, LayerContext("TEST", 1, 1))
    cost = LOCALLY_CONNECTED.cost(params, [(1, 2, 5, 5)], [(1, 4, 3, 3)])
    assert cost == (4 * 2 * 9 * 9, 4 * 9)


def test_a_kernel_larger_than_the_input() -> None:
    error = misfit(LOCAL, text_of("num_output: 1 kernel_size: 5", "Local"), (1, 1, 3, 3))
    assert error.field == "local_param.kernel_size"
    assert "`kernel_size` 5 is larger than the padded height 3" in error.message
    error = misfit(LOCALLY_CONNECTED, text_of("num_output: 1 kernel_size: 5"), (1, 1, 3, 3))
    assert error.field == "convolution_param.kernel_size"


def test_local_is_flat() -> None:
    error = misfit(LOCAL, text_of("num_output: 1 kernel_size: 1", "Local"), (1, 1, 3))
    assert "Local takes 4 axes" in error.message and "has 3" in error.message


@pytest.mark.parametrize(
    ("text", "code"),
    [("kernel_size: 1", "missing-field"), ("num_output: 1", "missing-field")],
)
def test_what_local_needs(text: str, code: str) -> None:
    assert complaint(LOCAL, text_of(text, "Local")).code == code
