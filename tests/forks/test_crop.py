"""Crops whose offset follows from the coordinates of their bottoms."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import netc
from netc.diagnostics import Diagnostic, NetcWarning, Source
from netc.frontend import Built, build, read_net

INPUT = 'input: "data" input_dim: 1 input_dim: 1 input_dim: 16 input_dim: 16\n'
V2_CONV = (
    'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"\n'
    "  convolution_param { num_output: 1 kernel_size: 3 pad: 7 } }\n"
)


def crop(kind: str, rest: str = "") -> str:
    return (
        f'layer {{ name: "crop" type: "{kind}" bottom: "conv" bottom: "data" top: "out" {rest} }}'
    )


AUTO = INPUT + V2_CONV + crop("AutoCrop")
PLAIN = INPUT + V2_CONV + crop("Crop")
V1 = (
    INPUT
    + 'layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv"\n'
    + "  convolution_param { num_output: 1 kernel_size: 3 pad: 7 } }\n"
    + 'layers { name: "crop" type: CROP bottom: "conv" bottom: "data" top: "out" }'
)
X = np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16)


def built(text: str) -> Built:
    return build(read_net(Source("net.prototxt", text)).message)


def offsets(text: str) -> list[tuple[int, ...]]:
    graph = built(text).graph
    return [node.params.offset for node in graph.nodes if node.op == "Crop"]


def only(text: str) -> Diagnostic:
    (found,) = built(text).diagnostics
    return found


def cropped(text: str, backend: str) -> np.ndarray:
    kernel = np.zeros((1, 1, 3, 3), np.float32)
    kernel[0, 0, 1, 1] = 1  # the identity, so that an aligned crop gives the input back
    weights = {"conv": [kernel, np.zeros(1, np.float32)]}
    return netc.compile(Source("net.prototxt", text), weights, backend=backend)(data=X)["out"]


@pytest.mark.parametrize("text", [AUTO, V1])
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_forks_crop_lays_its_bottoms_over_each_other(text: str, backend: str) -> None:
    np.testing.assert_array_equal(cropped(text, backend), X)


def test_bvlcs_crop_starts_at_0_and_says_what_the_forks_would_do() -> None:
    with pytest.warns(NetcWarning, match="offset: 6"):
        out = cropped(PLAIN, "reference")
    assert out[0, 0, 0, 0] == 0 and not np.array_equal(out, X)
    found = only(PLAIN)
    assert (found.code, found.severity) == ("fork-reading", "warning")
    assert found.span is not None and (found.span.line, found.span.column) == (4, 28)


@pytest.mark.parametrize("param", ["", "offset: 0", "axis: 2", "offset: 6"])
def test_a_crop_that_says_where_is_bvlcs(param: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cropped(INPUT + V2_CONV + crop("Crop", f"crop_param {{ {param} }}"), "reference")


def test_where_both_readings_agree_nothing_is_said() -> None:
    assert built(PLAIN.replace("pad: 7", "pad: 1")).diagnostics == ()


def layer(kind: str, name: str, bottom: str, rest: str = "") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}" {rest} }}\n'


def fcn8(second: str) -> str:
    """The strides of FCN-8s (Long et al. 2015), whose offsets are published as 5, 9 and 31."""
    pools = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
    conv = "convolution_param { num_output: 1 kernel_size: 3 pad: %d }"
    text = 'input: "data" input_shape { dim: 1 dim: 1 dim: 64 dim: 64 }\n'
    below = "data"
    for level in range(1, 6):
        text += layer("Convolution", f"conv{level}", below, conv % (100 if level == 1 else 1))
        text += layer("Pooling", f"pool{level}", f"conv{level}", pools)
        below = f"pool{level}"
    fc = "convolution_param { num_output: 1 kernel_size: 7 }"
    up = "convolution_param { num_output: 1 kernel_size: %d stride: %d bias_term: false }"
    text += layer("Convolution", "fc6", "pool5", fc)
    text += layer("Deconvolution", "up2", "fc6", up % (4, 2))
    text += f'layer {{ name: "c4" type: "{second}" bottom: "pool4" bottom: "up2" top: "c4" }}\n'
    text += 'layer { name: "sum4" type: "Eltwise" bottom: "up2" bottom: "c4" top: "sum4" }\n'
    text += layer("Deconvolution", "up4", "sum4", up % (4, 2))
    text += f'layer {{ name: "c3" type: "{second}" bottom: "pool3" bottom: "up4" top: "c3" }}\n'
    text += 'layer { name: "sum3" type: "Eltwise" bottom: "up4" bottom: "c3" top: "sum3" }\n'
    text += layer("Deconvolution", "up8", "sum3", up % (16, 8))
    return text + f'layer {{ name: "out" type: "{second}" bottom: "up8" bottom: "data" top: "o" }}'


def test_the_offsets_of_fcn_8s_are_the_published_ones() -> None:
    assert offsets(fcn8("AutoCrop")) == [(5, 5), (9, 9), (31, 31)]


def test_a_crop_counts_in_the_coordinates_of_the_next() -> None:
    second = 'layer { name: "b" type: "AutoCrop" bottom: "conv" bottom: "out" top: "b" }'
    assert offsets(AUTO + second) == [(6, 6), (6, 6)]


def test_height_and_width_may_differ() -> None:
    text = PLAIN.replace("pad: 7", "pad_h: 3 pad_w: 5").replace("kernel_size: 3", "kernel_size: 1")
    assert "offset: 3 offset: 5" in only(text).message


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("kernel_size: 3", "kernel_size: 2"), "the offset would be 13/2, 13/2"),
        (("pad: 7", "pad: 40 stride: 2"), "`conv` has 1/2 elements where `data` has one"),
        (("pad: 7", "pad: 1 stride: 1 dilation: 1"), ""),
    ],
)
def test_a_crop_that_cannot_be_aligned_is_refused(change: tuple[str, str], why: str) -> None:
    found = built(AUTO.replace(*change)).diagnostics
    assert [d.code for d in found] == ["misaligned-crop"] * bool(why)
    assert all(why in d.message for d in found)


def test_bottoms_that_no_coordinates_join_are_refused() -> None:
    text = (
        'input: "a" input_shape { dim: 1 dim: 1 dim: 8 dim: 8 }\n'
        'input: "b" input_shape { dim: 1 dim: 1 dim: 4 dim: 4 }\n'
        'layer { name: "c" type: "AutoCrop" bottom: "a" bottom: "b" top: "c" }'
    )
    found = only(text)
    assert found.code == "misaligned-crop" and found.severity == "error"
    assert found.span is not None and (found.span.line, found.span.column) == (3, 15)
