from __future__ import annotations

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.ir.types import show
from netc.ops.catalog import CATALOG
from netc.ops.define import ShapeError
from netc.ops.inputs import HDF5_OUTPUT, OPS, PARAMETER
from tests.ops.cases import bind_layer, cases_of, check_case, context_of, load_case, run_layer

BY_NAME = {op.name: op for op in OPS}
SOURCES = [op.name for op in OPS if op.source]


def layer(kind: str, text: str = "", tops: int = 2):
    named = " ".join(f'top: "t{i}"' for i in range(tops))
    return bind_layer(f'name: "in" type: "{kind}" {named} {text}')


def parse(kind: str, text: str = "", tops: int = 2):
    message = layer(kind, text, tops)
    return BY_NAME[kind].params(message, context_of(message))


def shapes(kind: str, text: str = "", tops: int = 2):
    return BY_NAME[kind].shape(parse(kind, text, tops), ())


def unknown(kind: str, text: str = "", tops: int = 2) -> ShapeError:
    with pytest.raises(ShapeError) as caught:
        shapes(kind, text, tops)
    assert caught.value.code == "unknown-input-shape"
    return caught.value


@pytest.mark.parametrize("name", cases_of("Parameter"))
def test_golden(name: str) -> None:
    check_case(load_case(name), CATALOG)


def test_the_sources_are_these() -> None:
    assert set(SOURCES) == {
        "Input", "Data", "ImageData", "HDF5Data", "MemoryData", "WindowData", "DummyData",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text", "tops", "wanted"),
    [
        ("Input", "input_param { shape { dim: 2 dim: 3 } }", 1, [(2, 3)]),
        ("Input", "input_param { shape { dim: 2 } }", 3, [(2,)] * 3),
        ("Input", "input_param { shape { dim: 2 } shape {} }", 2, [(2,), ()]),
        ("Input", "input_param { shape { dim: 0 dim: 3 } }", 1, [(0, 3)]),
        ("DummyData", "dummy_data_param { shape { dim: 2 dim: 3 } }", 2, [(2, 3)] * 2),
        ("DummyData", "dummy_data_param { shape { dim: 2 } shape { dim: 4 } }", 2, [(2,), (4,)]),
        (
            "DummyData",
            "dummy_data_param { num: 2 num: 5 channels: 3 height: 4 width: 1 width: 6 }",
            2,
            [(2, 3, 4, 1), (5, 3, 4, 6)],
        ),
        (
            "MemoryData",
            "memory_data_param { batch_size: 8 channels: 3 height: 5 width: 6 }",
            2,
            [(8, 3, 5, 6), (8,)],
        ),
        (
            "ImageData",
            "image_data_param { batch_size: 8 new_height: 5 new_width: 6 }",
            2,
            [(8, 3, 5, 6), (8,)],
        ),
        (
            "ImageData",
            "image_data_param { new_height: 5 new_width: 6 is_color: false }"
            " transform_param { crop_size: 4 }",
            2,
            [(1, 1, 4, 4), (1,)],
        ),
        (
            "WindowData",
            "window_data_param { batch_size: 8 } transform_param { crop_size: 227 }",
            2,
            [(8, 3, 227, 227), (8,)],
        ),
        (
            "Data",
            "data_param { batch_size: 8 } transform_param { crop_size: 9 force_gray: true }",
            2,
            [(8, 1, 9, 9), (8,)],
        ),
        (
            "Data",
            "data_param { batch_size: 8 } transform_param { crop_size: 9 force_color: true }",
            1,
            [(8, 3, 9, 9)],
        ),
        (
            "Data",
            "data_param { batch_size: 8 } transform_param { crop_size: 9 mean_value: 104"
            " mean_value: 117 mean_value: 123 }",
            1,
            [(8, 3, 9, 9)],
        ),
    ],
)
def test_shapes_that_the_text_tells(kind, text, tops, wanted) -> None:
    assert list(shapes(kind, text, tops)) == wanted


@pytest.mark.parametrize(
    ("kind", "text", "tops", "partial", "told"),
    [
        ("Input", "", 2, (None, None), "the tops' shapes are unknown, unknown"),
        (
            "Data",
            "data_param { batch_size: 64 } transform_param { crop_size: 227 }",
            2,
            ((64, None, 227, 227), (64,)),
            "the tops' shapes are 64x?x227x227, 64",
        ),
        (
            "Data",
            "data_param { batch_size: 64 } transform_param { mean_value: 100 }",
            1,
            ((64, None, None, None),),
            "the tops' shape is 64x?x?x?",
        ),
        ("Data", "", 2, ((None, None, None, None), (None,)), "?x?x?x?, ?"),
        ("ImageData", "", 2, ((1, 3, None, None), (1,)), "1x3x?x?, 1"),
        ("HDF5Data", "hdf5_data_param { batch_size: 9 }", 2, (None, None), "unknown, unknown"),
        (
            "MemoryData",
            "memory_data_param { batch_size: 8 height: 3 }",
            2,
            ((8, None, 3, None), (8,)),
            "8x?x3x?, 8",
        ),
        ("WindowData", "", 2, ((None, 3, None, None), (None,)), "?x3x?x?, ?"),
    ],
)
def test_shapes_that_the_text_tells_in_part(kind, text, tops, partial, told) -> None:
    error = unknown(kind, text, tops)
    assert error.partial == partial
    assert error.message.endswith(told)


def test_help_names_what_is_missing() -> None:
    memory = unknown("MemoryData", "memory_data_param { batch_size: 8 height: 3 }")
    assert memory.help == ("`memory_data_param` lacks `channels`, `width`",)
    hdf5 = unknown("HDF5Data", "hdf5_data_param { batch_size: 9 }")
    assert hdf5.help == ("the first size is the `batch_size`, 9",)
    assert "crop_size" in unknown("Data", "data_param { batch_size: 9 }").help[0]
    cropped = "data_param { batch_size: 9 } transform_param { crop_size: 3 }"
    assert unknown("Data", cropped).help == ()


def test_dummy_data_keeps_its_fillers() -> None:
    one = parse("DummyData", "dummy_data_param { shape { dim: 2 } data_filler { value: 3 } }")
    assert [filler.value for filler in one.fillers] == [3, 3]
    none = parse("DummyData", "dummy_data_param { shape { dim: 2 } }")
    assert [(filler.type, filler.value) for filler in none.fillers] == [("constant", 0)] * 2


@pytest.mark.parametrize(
    ("kind", "text", "tops", "code", "at"),
    [
        ("Input", "input_param { shape { dim: -1 dim: 2 } }", 1, "bad-shape", "-1"),
        ("Input", "input_param { shape {} shape {} }", 3, "value-count", "shape {}"),
        ("Input", f"input_param {{ shape {{ {'dim: 1 ' * 33}}} }}", 1, "bad-shape", "1"),
        ("DummyData", "dummy_data_param { num: 1 shape {} }", 1, "conflicting-fields", "1"),
        ("DummyData", "dummy_data_param { num: 1 }", 1, "value-count", None),
        ("DummyData", "", 1, "value-count", None),
        (
            "DummyData",
            "dummy_data_param { shape {} data_filler {} data_filler {} }",
            3,
            "value-count",
            "data_filler {}",
        ),
        (
            "DummyData",
            'dummy_data_param { shape {} data_filler { type: "x" } }',
            1,
            "unknown-filler",
            '"x"',
        ),
        ("ImageData", "image_data_param { new_width: 5 }", 2, "missing-field", "5"),
        ("Parameter", "parameter_param { shape { dim: -2 } }", 1, "bad-shape", "-2"),
    ],
)
def test_mistakes(kind, text, tops, code, at) -> None:
    with pytest.raises(NetcError) as caught:
        parse(kind, text, tops)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert at is None or diagnostic.span.text == at


def test_parameter_gives_its_own_array() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    message = layer("Parameter", "parameter_param { shape { dim: 2 dim: 3 } }", 1)
    (top,) = run_layer(PARAMETER, message, [], [array])
    np.testing.assert_array_equal(top, array)


def test_hdf5_output_makes_nothing() -> None:
    text = 'name: "out" type: "HDF5Output" bottom: "a" bottom: "b"'
    message = bind_layer(text + ' hdf5_output_param { file_name: "x.h5" }')
    assert run_layer(HDF5_OUTPUT, message, [np.ones((2, 3), "f4"), np.ones(2, "f4")], []) == []


def test_show_partial() -> None:
    assert show((64, None)) == "64x?"
    assert show(()) == "a scalar"
    assert show(None) == "unknown"
