"""Layers over time, height and width under the names and fields that forks give them."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from netc.driver import build, read_net

RNG = np.random.default_rng(7)
CLIP = 'layer { name: "d" type: "Input" top: "x" input_param { shape { dim: [2, 3, 5, 6, 7] } } }\n'


def layer(kind: str, fields: str) -> str:
    return f'{CLIP}layer {{ name: "l" type: "{kind}" bottom: "x" top: "y" {fields} }}'


def run(text: str, weights: dict[str, list[np.ndarray]] | None = None, backend: str = "reference"):
    net = netc.compile(text=text, weights=weights, backend=backend)
    return net({"x": CLIP_VALUES})["y"]


CLIP_VALUES = RNG.normal(size=(2, 3, 5, 6, 7)).astype(np.float32)
KERNEL = RNG.normal(size=(4, 3, 3, 2, 2)).astype(np.float32)
SPREAD = RNG.normal(size=(3, 4, 3, 2, 2)).astype(np.float32)
BIAS = RNG.normal(size=4).astype(np.float32)
C3D = ("num_output: 4 kernel_size: 2 kernel_depth: 3 stride: 2 temporal_stride: 1 pad: 1 "
       "temporal_pad: 2")  # fmt: skip
BVLC = ("convolution_param { num_output: 4 kernel_size: [3, 2, 2] stride: [1, 2, 2] "
        "pad: [2, 1, 1] }")  # fmt: skip


@pytest.mark.parametrize("message", ["convolution3d_param", "convolution_param"])
def test_c3ds_convolution_is_bvlcs_with_time_first(message: str) -> None:
    weights = {"l": [KERNEL, BIAS]}
    got = run(layer("Convolution3D", f"{message} {{ {C3D} }}"), weights)
    assert got.shape == (2, 4, 7, 4, 4)
    np.testing.assert_array_equal(got, run(layer("Convolution", BVLC), weights))


def test_c3ds_deconvolution_is_bvlcs() -> None:
    weights = {"l": [SPREAD, BIAS]}
    got = run(layer("Deconvolution3D", f"convolution_param {{ {C3D} }}"), weights)
    np.testing.assert_array_equal(got, run(layer("Deconvolution", BVLC), weights))


def test_a_convolution_with_shapes_is_bvlcs() -> None:
    fields = ("convolution_param { num_output: 4 kernel_shape { dim: [3, 2, 2] } "
              "stride_shape { dim: [1, 2, 2] } pad_shape { dim: [2, 1, 1] } }")  # fmt: skip
    weights = {"l": [KERNEL, BIAS]}
    got = run(layer("NdConvolution", fields), weights)
    np.testing.assert_array_equal(got, run(layer("Convolution", BVLC), weights))


def pooled(kernel: tuple[int, ...], stride: tuple[int, ...], mean: bool = False) -> np.ndarray:
    """Windows without padding, as many as start within the clip, rounded up."""
    sizes = [-(-(n - k) // s) + 1
             for n, k, s in zip(CLIP_VALUES.shape[2:], kernel, stride, strict=True)]  # fmt: skip
    top = np.zeros((2, 3, *sizes), np.float32)
    for place in itertools.product(*map(range, sizes)):
        window = tuple(slice(p * s, p * s + k)
                       for p, s, k in zip(place, stride, kernel, strict=True))  # fmt: skip
        part = CLIP_VALUES[(..., *window)].reshape(2, 3, -1)
        top[(..., *place)] = part.mean(axis=2) if mean else part.max(axis=2)
    return top


@pytest.mark.parametrize(
    ("kind", "fields", "kernel", "stride"),
    [
        # C3D: time moves by 1 where `temporal_stride` is not written.
        ("Pooling3D", "pooling3d_param { kernel_size: 2 kernel_depth: 3 stride: 2 }",
         (3, 2, 2), (1, 2, 2)),
        ("Pooling3D", "pooling_param { kernel_size: 2 kernel_depth: 1 stride: 2 "
         "temporal_stride: 2 }", (1, 2, 2), (2, 2, 2)),
        ("Pooling", "pooling_param { kernel_size: [1, 2, 2] stride: [1, 2, 3] }",
         (1, 2, 2), (1, 2, 3)),
        ("Pooling", "pooling_param { kernel_size: 2 stride: 2 }", (2, 2, 2), (2, 2, 2)),
        ("Pooling", "pooling_param { global_pooling: true }", (5, 6, 7), (1, 1, 1)),
        ("NdPooling", "pooling_param { kernel_shape { dim: [3, 1, 2] } "
         "stride_shape { dim: [2, 1, 2] } }", (3, 1, 2), (2, 1, 2)),
        ("PoolingND", "pooling_nd_param { kernel_size: 3 stride: 2 }", (3, 3, 3), (2, 2, 2)),
    ],
)  # fmt: skip
def test_pooling_of_clips(
    kind: str, fields: str, kernel: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    text = layer(kind, fields)
    np.testing.assert_array_equal(run(text), pooled(kernel, stride))
    mean = run(re.sub(r"(pooling\w*_param \{)", r"\1 pool: AVE", text), backend="cpu")
    ceiled = [-(-(n - k) // s) * s + k <= n
              for n, k, s in zip((5, 6, 7), kernel, stride, strict=True)]  # fmt: skip
    if all(ceiled):  # a window over the edge is divided by less or more, by Caffe's rule
        np.testing.assert_allclose(mean, pooled(kernel, stride, mean=True), rtol=1e-5, atol=1e-6)


def test_bn_of_pseudo_3d_nets_takes_clips() -> None:
    text = layer("BN", "bn_param { slope_filler { value: 2 } bias_filler { value: 1 } }")
    centred = CLIP_VALUES - CLIP_VALUES.mean(axis=(0, 2, 3, 4), keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=(0, 2, 3, 4), keepdims=True) + 1e-5)
    for backend in ("reference", "cpu"):
        net = netc.compile(text=text, backend=backend, phase="TRAIN")
        got = net({"x": CLIP_VALUES})["y"]
        np.testing.assert_allclose(got, 2 * centred / deviation + 1, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ("image_data_param { batch_size: 4 crop_size: 112 new_length: 16 }", (4, 3, 16, 112, 112)),
        ("video_data_param { batch_size: 4 new_length: 8 use_image: true } "
         "transform_param { crop_size: 112 }", (4, 3, 8, 112, 112)),
        # yjxiong's joins the frames along the channels
        ("video_data_param { batch_size: 4 new_length: 5 modality: FLOW } "
         "transform_param { crop_size: 224 }", (4, 10, 224, 224)),
    ],
)  # fmt: skip
def test_what_video_layers_give(fields: str, shape: tuple[int, ...]) -> None:
    text = f'layer {{ name: "v" type: "VideoData" top: "data" top: "label" {fields} }}'
    graph = build(read_net(text=text).message).graph
    assert graph.shape("data") == shape
    assert graph.shape("label") == (4,)


@pytest.mark.parametrize(
    ("kind", "fields", "code", "field"),
    [
        ("Convolution3D", "convolution3d_param { num_output: 4 kernel_size: 2 }",
         "missing-field", "kernel_depth"),
        ("Convolution3D", "convolution_param { num_output: 4 kernel_size: [2, 3] "
         "kernel_depth: 2 }", "value-count", "kernel_size"),
        ("NdConvolution", "convolution_param { num_output: 4 }", "missing-field", "kernel_shape"),
        ("Pooling", "pooling_param { kernel_size: [2, 2] }", "value-count", "kernel_size"),
        ("NdPooling", "pooling_param { pool: MAX }", "missing-field", "kernel_size"),
        ("PoolingND", "pooling_nd_param { kernel_size: 2 pad: 2 }", "out-of-range", "padding"),
    ],
)  # fmt: skip
def test_refusals_name_the_field(kind: str, fields: str, code: str, field: str) -> None:
    with pytest.raises(NetcError) as caught:
        netc.compile(text=layer(kind, fields))
    found = caught.value.diagnostics[0]
    assert found.code == code and field in found.message
    assert found.span is not None and found.span.line == 2
