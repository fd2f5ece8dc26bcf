from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from netc.ops.define import POINTWISE
from netc.ops.forks.permutation import PERMUTE, REORG, SHUFFLE_CHANNEL
from tests.ops.cases import bind_layer, complaint, context_of, misfit, random_array, run_layer

MESSAGES = {
    "Permute": "permute_param",
    "ShuffleChannel": "shuffle_channel_param",
    "Reorg": "reorg_param",
}


def text_of(op, text: str = "") -> str:
    return f'name: "a" type: "{op.name}" bottom: "x" top: "y" {MESSAGES[op.name]} {{ {text} }}'


def params_of(op, text: str):
    layer = bind_layer(text_of(op, text))
    return op.params(layer, context_of(layer))


def forward(op, text: str, x):
    (y,) = run_layer(op, bind_layer(text_of(op, text)), [x], [])
    return y


@settings(max_examples=60, deadline=None)
@given(st.data(), array_shapes(min_dims=1, max_dims=5, max_side=3))
def test_permute_moves_axes(data, shape) -> None:
    axes = list(range(len(shape)))
    named = data.draw(st.permutations(axes))[: data.draw(st.integers(0, len(axes)))]
    order = [*named, *(axis for axis in axes if axis not in named)]
    x = random_array(*shape)
    text = " ".join(f"order: {axis}" for axis in named)
    y = forward(PERMUTE, text, x)
    for index in np.ndindex(*y.shape):
        source = [0] * len(order)
        for place, axis in zip(index, order, strict=True):
            source[axis] = place
        assert y[index] == x[tuple(source)]
    back = " ".join(f"order: {order.index(axis)}" for axis in axes)
    np.testing.assert_array_equal(forward(PERMUTE, back, y), x)
    assert PERMUTE.identity(params_of(PERMUTE, text), [shape]) is (order == axes)


def test_an_order_names_an_axis_once() -> None:
    found = complaint(PERMUTE, text_of(PERMUTE, "order: 0 order: 2 order: 2"))
    assert found.message == "`order` names axis 2 twice"
    assert found.span.start == found.span.source.text.rindex("2")


def test_an_order_names_axes_that_are_there() -> None:
    error = misfit(PERMUTE, text_of(PERMUTE, "order: 3"), (1, 2, 3))
    assert error.message == "`order` 3 is out of range for the 3 axes of 1x2x3"
    assert error.field == "permute_param.order"


@pytest.mark.parametrize(("order", "pointwise"), [((1, 0), True), ((0, 2, 3, 1), False)])
def test_what_permute_sees(order, pointwise: bool) -> None:
    params = params_of(PERMUTE, " ".join(f"order: {axis}" for axis in order))
    assert (PERMUTE.window(params, [(1, 2, 3, 4)], []) == POINTWISE) is pointwise


@settings(max_examples=30, deadline=None)
@given(group=st.integers(1, 4), share=st.integers(1, 4), rest=st.integers(0, 2))
def test_channels_are_dealt_out_by_group(group: int, share: int, rest: int) -> None:
    x = random_array(2, group * share, *(3,) * rest)
    y = forward(SHUFFLE_CHANNEL, f"group: {group}", x)
    for g, c in np.ndindex(group, share):
        np.testing.assert_array_equal(y[:, c * group + g], x[:, g * share + c])
    np.testing.assert_array_equal(forward(SHUFFLE_CHANNEL, f"group: {share}", y), x)
    params = params_of(SHUFFLE_CHANNEL, f"group: {group}")
    assert SHUFFLE_CHANNEL.identity(params, [x.shape]) is (group == 1 or share == 1)


def test_groups_are_equal() -> None:
    error = misfit(SHUFFLE_CHANNEL, text_of(SHUFFLE_CHANNEL, "group: 4"), (1, 6, 2, 2))
    assert error.message.startswith("6 channels of the bottom are not a multiple of `group` 4")
    assert complaint(SHUFFLE_CHANNEL, text_of(SHUFFLE_CHANNEL, "group: 0")).span.text == "0"


def darknet(x, stride: int, spread: bool, shape):
    """The loops of reorg_layer.hpp, over flat memory."""
    _, channels, height, width = x.shape
    share, flat = channels // stride**2, x.reshape(x.shape[0], -1)
    y = np.zeros_like(flat)
    for c, h, w in np.ndindex(channels, height, width):
        near = w + width * (h + height * c)
        offset = c // share
        w2, h2 = w * stride + offset % stride, h * stride + offset // stride
        far = w2 + width * stride * (h2 + height * stride * (c % share))
        if spread:
            y[:, far] = flat[:, near]
        else:
            y[:, near] = flat[:, far]
    return y.reshape(shape)


@settings(max_examples=30, deadline=None)
@given(
    stride=st.integers(1, 3),
    share=st.integers(1, 2),
    height=st.integers(1, 2),
    width=st.integers(1, 3),
    reverse=st.booleans(),
)
def test_reorg_is_darknets(stride, share, height, width, reverse) -> None:
    x = random_array(2, share * stride**2, height * stride, width * stride)
    y = forward(REORG, f"stride: {stride} reverse: {str(reverse).lower()}", x)
    np.testing.assert_array_equal(y, darknet(x, stride, reverse, y.shape))


def test_reorg_of_yolo() -> None:
    params = params_of(REORG, "stride: 2")
    assert REORG.shape(params, [(1, 64, 26, 26)]) == ((1, 256, 13, 13),)


@pytest.mark.parametrize(
    ("text", "shape", "wanted"),
    [
        ("stride: 2", (1, 6, 4, 4), "6 channels of the bottom are not a multiple of the 4 places"),
        ("stride: 2", (1, 4, 5, 4), "`stride` 2 does not divide the 5x4 places"),
        ("stride: 2", (1, 4, 4), "Reorg takes 4 axes"),
    ],
)
def test_blocks_that_do_not_fit(text: str, shape, wanted: str) -> None:
    assert wanted in misfit(REORG, text_of(REORG, text), shape).message


def test_reorg_needs_its_stride() -> None:
    assert complaint(REORG, text_of(REORG)).code == "missing-field"
    assert complaint(REORG, text_of(REORG, "stride: 0")).code == "out-of-range"


@pytest.mark.parametrize("text", ["stride: 1", "stride: 2", "stride: 2 reverse: true"])
def test_reorg_sees_its_block_or_all(text: str) -> None:
    window = REORG.window(params_of(REORG, text), [(1, 4, 4, 4)], [])
    assert (window == POINTWISE, window.whole, window.fractional) == (
        "1" in text,
        text == "stride: 2",
        "true" in text,
    )
