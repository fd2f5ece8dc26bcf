from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from netc.ops.catalog import CATALOG
from netc.ops.define import POINTWISE
from netc.ops.joining import CONCAT, SILENCE, SLICE, SPLIT
from tests.ops.cases import (
    bind_layer,
    bind_net,
    cases_of,
    check_case,
    complaint,
    context_of,
    load_case,
    misfit,
    random_array,
    run_case,
    run_layer,
)


def text_of(op, text: str = "", bottoms: int = 1, tops: int = 1) -> str:
    inputs = " ".join(f'bottom: "x{i}"' for i in range(bottoms))
    outputs = " ".join(f'top: "y{i}"' for i in range(tops))
    message = f"{op.name.lower()}_param {{ {text} }}" if op in (CONCAT, SLICE) else ""
    return f'name: "a" type: "{op.name}" {inputs} {outputs} {message}'


@pytest.mark.parametrize("name", cases_of("Concat", "Slice", "Split"))
def test_golden(name: str) -> None:
    check_case(load_case(name), CATALOG)


def test_golden_silence_has_no_top() -> None:
    case = load_case("Silence__one")
    assert run_case(case, CATALOG).keys() == case.inputs.keys()
    assert SILENCE.shape(None, [(2, 3)]) == ()


@settings(max_examples=60, deadline=None)
@given(
    shape=array_shapes(min_dims=1, max_dims=5, max_side=3),
    axis=st.integers(0, 4),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    negative=st.booleans(),
)
def test_slice_undoes_concat(shape, axis, sizes, negative) -> None:
    axis %= len(shape)
    parts = [
        random_array(*shape[:axis], size, *shape[axis + 1 :], seed=i)
        for i, size in enumerate(sizes)
    ]
    written = axis - len(shape) if negative else axis
    joined = run_layer(
        CONCAT, bind_layer(text_of(CONCAT, f"axis: {written}", len(parts))), parts, []
    )
    np.testing.assert_array_equal(joined[0], np.concatenate(parts, axis))
    points = " ".join(f"slice_point: {p}" for p in np.cumsum(sizes)[:-1])
    text = text_of(SLICE, f"axis: {written} {points}", 1, len(parts))
    for got, part in zip(run_layer(SLICE, bind_layer(text), joined, []), parts, strict=True):
        np.testing.assert_array_equal(got, part)


@settings(max_examples=30, deadline=None)
@given(tops=st.integers(1, 5), each=st.integers(0, 3))
def test_equal_parts(tops: int, each: int) -> None:
    x = random_array(2, tops * each)
    got = run_layer(SLICE, bind_layer(text_of(SLICE, "", 1, tops)), [x], [])
    assert [part.shape for part in got] == [(2, each)] * tops
    np.testing.assert_array_equal(np.concatenate(got, 1), x)


@pytest.mark.parametrize(("op", "old"), [(CONCAT, "concat_dim"), (SLICE, "slice_dim")])
def test_the_old_spelling_of_the_axis(op, old: str) -> None:
    shapes = [(2, 3)] * (2 if op is CONCAT else 1)
    tops = 1 if op is CONCAT else 2
    layer = bind_layer(text_of(op, f"{old}: 0", len(shapes), tops))
    wanted = ((4, 3),) if op is CONCAT else ((1, 3), (1, 3))
    assert op.shape(op.params(layer, context_of(layer)), shapes) == wanted
    error = misfit(op, text_of(op, f"{old}: 7", len(shapes), tops), *shapes)
    assert error.message == f"`{old}` 7 is out of range for the 2 axes of 2x3"
    assert error.field == f"{op.name.lower()}_param.{old}"
    found = complaint(op, text_of(op, f"axis: 1 {old}: 0", len(shapes), tops))
    assert (found.code, found.span.text) == ("conflicting-fields", "0")


@pytest.mark.parametrize(
    ("shapes", "wanted"),
    [
        ([(2, 3), (3, 3)], "bottom 0 is 2x3 and bottom 1 is 3x3"),
        ([(2, 3), (2, 3), (2,)], "bottom 0 is 2x3 and bottom 2 is 2"),
        ([(2, 3), (2, 3, 1)], "bottom 0 is 2x3 and bottom 1 is 2x3x1"),
        ([(2,), (2,)], "`axis` 1 is out of range for the 1 axes of 2"),
    ],
)
def test_blobs_that_cannot_be_joined(shapes, wanted: str) -> None:
    error = misfit(CONCAT, text_of(CONCAT, "", len(shapes)), *shapes)
    assert wanted in error.message
    assert error.field == "concat_param.axis"


@pytest.mark.parametrize(
    ("text", "tops", "code", "place"),
    [
        ("slice_point: 1", 3, "value-count", "1"),
        ("slice_point: 1 slice_point: 2", 2, "value-count", "2"),
        ("slice_point: 0", 2, "out-of-range", "0"),
        ("slice_point: 3 slice_point: 3", 3, "out-of-range", "3"),
        ("slice_point: [4, 2]", 3, "out-of-range", "2"),
    ],
)
def test_slice_points_that_cut_nothing(text: str, tops: int, code: str, place: str) -> None:
    found = complaint(SLICE, text_of(SLICE, text, 1, tops))
    assert (found.code, found.span.text) == (code, place)
    assert found.help


def test_the_second_of_two_equal_points_is_pointed_at() -> None:
    text = "slice_point: 3 slice_point: 3"
    found = complaint(SLICE, text_of(SLICE, text, 1, 3))
    assert found.span.start == found.span.source.text.rindex("3")


@pytest.mark.parametrize(
    ("text", "tops", "wanted", "field"),
    [
        ("slice_point: 6", 2, "`slice_point` 6 must be less than the 6 of axis 1", "slice_point"),
        ("", 4, "the 6 of axis 1 of 2x6 cannot be cut in 4 equal parts", "axis"),
        ("axis: 2", 2, "`axis` 2 is out of range", "axis"),
    ],
)
def test_blobs_that_cannot_be_cut(text: str, tops: int, wanted: str, field: str) -> None:
    error = misfit(SLICE, text_of(SLICE, text, 1, tops), (2, 6))
    assert wanted in error.message
    assert error.field == f"slice_param.{field}"


@pytest.mark.parametrize(("axis", "pointwise"), [(0, True), (1, True), (-1, False), (2, False)])
def test_what_is_seen_along_a_spatial_axis(axis: int, pointwise: bool) -> None:
    layer = bind_layer(text_of(CONCAT, f"axis: {axis}", 2))
    params = CONCAT.params(layer, context_of(layer))
    window = CONCAT.window(params, [(1, 2, 3, 4)] * 2, [(1, 4, 3, 4)])
    assert (window == POINTWISE) is pointwise


def test_a_split_copies_nothing() -> None:
    x = random_array(2, 3)
    layer = bind_layer(text_of(SPLIT, "", 1, 3))
    got = SPLIT.reference(SPLIT.params(layer, context_of(layer)), [x], [])
    assert len(got) == 3 and all(y is x for y in got)


def test_text_binds_as_a_net_too() -> None:
    assert len(bind_net(f"layer {{ {text_of(SILENCE, '', 2, 0)} }}").get("layer")) == 1
