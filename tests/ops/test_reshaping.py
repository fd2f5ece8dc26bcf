from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from netc.ops.catalog import CATALOG
from netc.ops.cropping import CROP
from netc.ops.define import POINTWISE, ShapeError, Window
from netc.ops.reshaping import FLATTEN, RESHAPE, TILE
from tests.ops.cases import (
    bind_layer,
    cases_of,
    check_case,
    complaint,
    context_of,
    load_case,
    misfit,
    random_array,
    run_layer,
)


def text_of(op, text: str = "", bottoms: int = 1) -> str:
    inputs = " ".join(f'bottom: "x{i}"' for i in range(bottoms))
    message = f"{op.name.lower()}_param {{ {text} }}"
    return f'name: "a" type: "{op.name}" {inputs} top: "y" {message}'


def params_of(op, text: str, bottoms: int = 1):
    layer = bind_layer(text_of(op, text, bottoms))
    return op.params(layer, context_of(layer))


def forward(op, text: str, *inputs):
    (y,) = run_layer(op, bind_layer(text_of(op, text, len(inputs))), inputs, [])
    return y


def dims(sizes) -> str:
    return "shape { " + " ".join(f"dim: {size}" for size in sizes) + " }"


@pytest.mark.parametrize("name", cases_of("Flatten", "Reshape", "Tile", "Crop"))
def test_golden(name: str) -> None:
    check_case(load_case(name), CATALOG)


shapes = array_shapes(min_dims=1, max_dims=5, max_side=4)


@settings(max_examples=60, deadline=None)
@given(shape=shapes, first=st.integers(0, 4), last=st.integers(0, 4), negative=st.booleans())
def test_flatten_joins_a_range_of_axes(shape, first, last, negative) -> None:
    first, last = sorted((first % len(shape), last % len(shape)))
    shift = len(shape) if negative else 0
    x = random_array(*shape)
    y = forward(FLATTEN, f"axis: {first - shift} end_axis: {last - shift}", x)
    middle = math.prod(shape[first : last + 1])
    np.testing.assert_array_equal(y, x.reshape(*shape[:first], middle, *shape[last + 1 :]))


def test_an_end_just_before_the_axis_inserts_one() -> None:
    assert FLATTEN.shape(params_of(FLATTEN, "axis: 2 end_axis: 1"), [(2, 3, 4)]) == ((2, 3, 1, 4),)


@pytest.mark.parametrize(
    ("text", "shape", "field", "wanted"),
    [
        ("axis: 2 end_axis: 0", (2, 3, 4), "end_axis", "`end_axis` 0 lies before `axis` 2"),
        ("", (5,), "axis", "`axis` 1 is out of range for the 1 axes of 5"),
        ("end_axis: 3", (2, 3), "end_axis", "`end_axis` 3 is out of range for the 2 axes"),
    ],
)
def test_axes_that_cannot_be_flattened(text, shape, field, wanted) -> None:
    error = misfit(FLATTEN, text_of(FLATTEN, text), shape)
    assert wanted in error.message
    assert error.field == f"flatten_param.{field}"


@st.composite
def reshapes(draw):
    """A shape, a range of its axes, and sizes that replace them, with 0 and -1 put in."""
    shape = draw(shapes)
    start = draw(st.integers(0, len(shape)))
    end = draw(st.integers(start, len(shape)))
    elements, sizes = math.prod(shape[start:end]), []
    while elements > 1 and draw(st.booleans()):
        factor = draw(st.sampled_from([f for f in range(1, elements + 1) if elements % f == 0]))
        sizes.append(factor)
        elements //= factor
    sizes.append(elements)
    written = list(sizes)
    for i, size in enumerate(sizes):
        if start + i < len(shape) and shape[start + i] == size and draw(st.booleans()):
            written[i] = 0
    if draw(st.booleans()):
        written[draw(st.integers(0, len(sizes) - 1))] = -1
    return shape, start, end, sizes, written


@settings(max_examples=100, deadline=None)
@given(reshapes(), st.booleans())
def test_reshape_and_back(chosen, negative) -> None:
    shape, start, end, sizes, written = chosen
    x = random_array(*shape)
    axis = start - len(shape) - 1 if negative else start
    count = -1 if negative and end == len(shape) else end - start
    y = forward(RESHAPE, f"{dims(written)} axis: {axis} num_axes: {count}", x)
    assert y.shape == (*shape[:start], *sizes, *shape[end:])
    np.testing.assert_array_equal(forward(RESHAPE, dims(shape), y), x)


@pytest.mark.parametrize(
    ("text", "shape", "field", "wanted"),
    [
        ("shape { dim: 7 }", (2, 3), "shape", "7 has 7 elements, and the bottom 2x3 has 6"),
        ("shape { }", (2, 3), "shape", "a scalar has 1 elements, and the bottom 2x3 has 6"),
        ("shape { dim: 4 dim: -1 }", (2, 3), "shape", "the 6 elements of 2x3 are not a multiple"),
        ("shape { dim: 0 dim: -1 }", (0, 3), "shape", "not a multiple of the 0 of the other"),
        ("shape { dim: 1 dim: 1 dim: 0 }", (2, 3), "shape", "`dim: 0` would copy axis 2"),
        ("shape { dim: 6 } axis: 3", (2, 3), "axis", "`axis` 3 is out of range for the 2 axes"),
        ("shape { dim: 6 } axis: -4", (2, 3), "axis", "`axis` -4 is out of range"),
        ("shape { dim: 6 } axis: 1 num_axes: 2", (2, 3), "num_axes", "reach past the 2 axes"),
    ],
)
def test_shapes_that_do_not_hold_the_blob(text, shape, field, wanted) -> None:
    error = misfit(RESHAPE, text_of(RESHAPE, text), shape)
    assert wanted in error.message
    assert error.field == f"reshape_param.{field}"


@pytest.mark.parametrize(
    ("text", "place", "wanted"),
    [
        ("shape { dim: -1 dim: 2 dim: -1 }", "-1", "written twice"),
        ("shape { dim: 2 dim: -3 }", "-3", "`dim` must be at least -1, it is -3"),
        ("num_axes: -2", "-2", "`num_axes` must be at least -1, it is -2"),
        ("shape { dim: 99999999999 }", "99999999999", "must be at most"),
    ],
)
def test_sizes_that_mean_nothing(text: str, place: str, wanted: str) -> None:
    found = complaint(RESHAPE, text_of(RESHAPE, text))
    assert wanted in found.message
    assert (found.code, found.span.text) == ("out-of-range", place)
    assert found.span.start == found.span.source.text.rindex(place)


def test_reshape_sees_the_same_places_while_they_stay() -> None:
    params = params_of(RESHAPE, dims((0, 2, -1, 0)))
    assert RESHAPE.window(params, [(1, 6, 3, 4)], [(1, 2, 9, 4)]).whole
    assert RESHAPE.window(params, [(1, 6, 3, 4)], [(2, 3, 3, 4)]) == POINTWISE


@settings(max_examples=40, deadline=None)
@given(shape=shapes, axis=st.integers(-5, 4), tiles=st.integers(1, 3))
def test_tiles_stand_one_after_another(shape, axis, tiles) -> None:
    axis = axis % len(shape) - (len(shape) if axis < 0 else 0)
    x = random_array(*shape)
    y = forward(TILE, f"axis: {axis} tiles: {tiles}", x)
    np.testing.assert_array_equal(y, np.concatenate([x] * tiles, axis))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "missing-field"),
        ("tiles: 0", "out-of-range"),
        ("tiles: -1", "out-of-range"),
    ],
)
def test_the_number_of_tiles_must_be_told(text: str, code: str) -> None:
    assert complaint(TILE, text_of(TILE, text)).code == code


def test_tile_needs_its_axis() -> None:
    assert misfit(TILE, text_of(TILE, "axis: 2 tiles: 2"), (2, 3)).field == "tile_param.axis"


@st.composite
def crops(draw):
    shape = draw(shapes)
    axis = draw(st.integers(0, len(shape) - 1))
    many = draw(st.booleans())
    if many:
        offsets = [draw(st.integers(0, size - 1)) for size in shape[axis:]]
    else:
        offsets = [draw(st.integers(0, min(shape[axis:]) - 1))] * (len(shape) - axis)
    sizes = [
        draw(st.integers(1, size - offset))
        for size, offset in zip(shape[axis:], offsets, strict=True)
    ]
    return shape, axis, offsets, sizes, many


@settings(max_examples=60, deadline=None)
@given(crops(), st.booleans())
def test_crop_cuts_out_a_block(chosen, negative) -> None:
    shape, axis, offsets, sizes, many = chosen
    x = random_array(*shape)
    like = np.zeros((*(9,) * axis, *sizes), np.float32)
    written = offsets if many else offsets[:1]
    text = f"axis: {axis - len(shape) if negative else axis} " + " ".join(
        f"offset: {offset}" for offset in written
    )
    y = forward(CROP, text, x, like)
    block = [slice(o, o + s) for o, s in zip(offsets, sizes, strict=True)]
    np.testing.assert_array_equal(y, x[(*(slice(None),) * axis, *block)])


def test_without_offset_a_crop_starts_at_the_origin() -> None:
    x = random_array(1, 1, 3, 3)
    np.testing.assert_array_equal(forward(CROP, "", x, x[..., :2, :2]), x[..., :2, :2])


@pytest.mark.parametrize(
    ("text", "shapes", "field", "wanted"),
    [
        ("offset: 2", [(1, 1, 4, 4), (1, 1, 3, 3)], "offset", "axis 2 has 4 elements, and 3 from"),
        ("", [(1, 1, 4, 4), (1, 1, 4, 5)], "offset", "axis 3 has 4 elements, and 5 from offset 0"),
        ("offset: 4294967295", [(1, 1, 4, 4), (1, 1, 1, 1)], "offset", "from offset 4294967295"),
        (
            "offset: 1 offset: 1 offset: 1",
            [(1, 1, 4, 4), (1, 1, 1, 1)],
            "offset",
            "3 `offset` are given, and from `axis` 2 on 1x1x4x4 has 2 axes",
        ),
        ("axis: 4", [(1, 1, 4, 4), (1, 1, 1, 1)], "axis", "`axis` 4 is out of range"),
        ("", [(1, 1, 4, 4), (1, 1, 1)], "axis", "`axis` 3 is out of range for the 3 axes of 1x1x1"),
    ],
)
def test_crops_that_do_not_fit(text, shapes, field, wanted) -> None:
    error = misfit(CROP, text_of(CROP, text, 2), *shapes)
    assert wanted in error.message
    assert error.field == f"crop_param.{field}"


def test_a_crop_looks_offset_further() -> None:
    params = params_of(CROP, "axis: 2 offset: 3 offset: 5", 2)
    window = CROP.window(params, [(1, 1, 9, 9), (1, 1, 2, 2)], [(1, 1, 2, 2)])
    assert window == Window((1, 1), (1, 1), (-3, -5), (1, 1))


@settings(max_examples=60, deadline=None)
@given(
    shape=array_shapes(min_dims=0, max_dims=4, max_side=3),
    sizes=st.lists(st.integers(-1, 4), max_size=4),
    axis=st.integers(-5, 5),
    num_axes=st.integers(-1, 4),
)
def test_reshape_fits_or_complains(shape, sizes, axis, num_axes) -> None:
    assume(sizes.count(-1) < 2)
    text = f"{dims(sizes)} axis: {axis} num_axes: {num_axes}"
    try:
        ((*new,),) = RESHAPE.shape(params_of(RESHAPE, text), [shape])
    except ShapeError as error:
        assert error.field.startswith("reshape_param.")
    else:
        assert math.prod(new) == math.prod(shape)
