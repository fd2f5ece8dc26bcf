from __future__ import annotations

import pytest

from tests.analysis.lint.nets import Found, data, found, notes

ALEXNET = """layer {
  name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 96 kernel_size: 11 stride: 4 }
}
"""


def test_alexnet_at_224_and_227() -> None:
    """Krizhevsky et al. 2012 say 224; 227 is what their numbers are of."""
    assert found(data(224) + ALEXNET) == [Found("uneven-stride", 4, 62, "4")]
    assert found(data(227) + ALEXNET) == []
    (note,) = notes(data(224) + ALEXNET)
    assert note.message == (
        "layer `conv1` (Convolution): a stride of 4 does not fit: (224 - 11) / 4 is not whole, "
        "and the last row and column of `data` are never read"
    )
    assert note.help == ("a height of 223 or 227 fits",)


def conv(params: str) -> str:
    return (
        'layer { name: "c" type: "Convolution" bottom: "data" top: "c"\n'
        f"  convolution_param {{ num_output: 1 {params} }} }}\n"
    )


def test_one_axis_and_several_lines() -> None:
    text = data(9, 12) + conv("kernel_size: 5 stride_h: 2 stride_w: 3")
    (note,) = notes(text)
    assert "a stride of 3 does not fit: (12 - 5) / 3 is not whole" in note.message
    assert "the last column of `data` is never read" in note.message
    assert found(text)[0][1:] == (3, 74, "3")
    assert found(text.replace("_h", "").replace("_w", ""))[0][1:] == (3, 70, "3")
    (two,) = notes(data(10) + conv("kernel_size: 4 stride: 4"))
    assert "the last 2 rows and 2 columns of `data` are never read" in two.message


def test_padding_may_be_left_over() -> None:
    """ResNet's first layer: (224 + 6 - 7) / 2 leaves a column of zeros, and no pixel."""
    assert found(data(224) + conv("kernel_size: 7 stride: 2 pad: 3")) == []
    (note,) = notes(data(10) + conv("kernel_size: 5 stride: 4 pad: 1"))
    assert "(10 + 2 * 1 - 5) / 4 is not whole, and the last 2 rows" in note.message


def test_a_window_smaller_than_its_stride_is_meant_to_skip() -> None:
    assert found(data(56) + conv("kernel_size: 1 stride: 2")) == []


def pool(params: str) -> str:
    return (
        'layer { name: "p" type: "Pooling" bottom: "data" top: "p"\n'
        f"  pooling_param {{ {params} }} }}\n"
    )


def test_pooling_by_floor_leaves_columns_and_by_ceil_differs_from_pytorch() -> None:
    floor = data(7) + pool("kernel_size: 2 stride: 2 round_mode: FLOOR")
    assert found(floor) == [Found("uneven-stride", 3, 42, "2")]
    ceil = data(7) + pool("kernel_size: 2 stride: 2")
    assert found(ceil) == [Found("ceil-pooling", 3, 32, "2")]
    assert "7x7 becomes 4x4, and 3x3 by PyTorch's default" in notes(ceil)[0].message
    assert found(data(8) + pool("kernel_size: 2 stride: 2")) == []
    assert found(data(7) + pool("global_pooling: true")) == []


def test_padding_that_clips_the_last_window_is_no_difference() -> None:
    assert found(data(7) + pool("kernel_size: 3 stride: 2 pad: 1")) == []


def test_kernel_larger_than_its_padded_input() -> None:
    text = data(5, 9) + conv("kernel_h: 7 kernel_w: 3 stride_h: 3 stride_w: 1")
    assert found(text) == [Found("kernel-exceeds-input", 3, 47, "7")]
    assert "the kernel spans 7, more than the padded height 5" in notes(text)[0].message


def test_kernel_that_only_meets_padding() -> None:
    text = data(1) + conv("kernel_size: 3 pad: 1")
    assert found(text) == [Found("idle-kernel", 3, 50, "3")]
    assert "of the kernel's 3 rows only 1 ever meets data" in notes(text)[0].message
    assert notes(text)[0].help == ("a kernel of 1 without padding gives as much",)
    assert found(data(2) + conv("kernel_size: 3 pad: 1")) == []


def test_a_pooling_window_beyond_the_input() -> None:
    """Windows at 0, 3 and 6 of 5 elements."""
    text = data(5) + pool("kernel_size: 1 stride: 3")
    codes = [(note.code, note.line, note.column) for note in found(text)]
    assert ("empty-pool-window", 3, 42) in codes
    message = next(n.message for n in notes(text) if n.code == "empty-pool-window")
    assert "begins at 6, and the input ends at 4: it gives -3.4e38" in message


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ("kernel_size: 3 stride: 2", "makes some outputs of more inputs than others"),
        ("kernel_size: 2 stride: 3", "leaves gaps of 1 zeros"),
        ("kernel_size: 4 stride: 2 pad: 1", ""),
        ('kernel_size: 5 stride: 3 weight_filler { type: "bilinear" }', ""),
    ],
)
def test_deconvolution(params: str, told: str) -> None:
    text = data(4) + (
        'layer { name: "up" type: "Deconvolution" bottom: "data" top: "up"\n'
        f"  convolution_param {{ num_output: 3 {params} }} }}\n"
    )
    assert [note.code for note in notes(text)] == (["uneven-deconvolution"] if told else [])
    assert not told or told in notes(text)[0].message
    assert not told or found(text)[0][1:3] == (3, 50)


def test_other_layers_with_windows_are_no_convolutions() -> None:
    crop = data(9) + (
        'layer { name: "small" type: "Input" top: "small" '
        "input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }\n"
        'layer { name: "crop" type: "Crop" bottom: "data" bottom: "small" top: "crop" }\n'
    )
    assert found(crop) == []


def test_unknown_shapes_are_passed_over() -> None:
    text = 'layer { name: "data" type: "Data" top: "data" }\n' + conv("kernel_size: 11 stride: 4")
    assert found(text) == []
