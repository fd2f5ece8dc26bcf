"""Layers with a `fuse_type` against the layers that they fuse."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from netc.frontend import read_net

INPUT = (
    'input: "x" input_shape { dim: [1, 4, 6, 6] } input: "z" input_shape { dim: [1, 4, 6, 6] }\n'
)
CONVOLUTION = (
    'layer {{ name: "c" type: "Convolution" bottom: "x" {more} top: "c" convolution_param '
    "{{ num_output: 4 kernel_size: 1 {fields} }} }}\n"
)
RELU = 'layer { name: "r" type: "ReLU" bottom: "c" top: "c" relu_param { negative_slope: 0.1 } }'
SLOPE = "relu_param { negative_slope: 0.1 }"
RNG = np.random.default_rng(3)
WEIGHTS = {"c": [RNG.normal(size=(4, 4, 1, 1)).astype(np.float32), np.ones(4, np.float32)]}
FEEDS = {name: RNG.normal(size=(1, 4, 6, 6)).astype(np.float32) for name in "xz"}


def result(text: str) -> np.ndarray:
    net = netc.compile(text=INPUT + text, weights=WEIGHTS, outputs=["c"], backend="reference")
    return net({name: FEEDS[name] for name in net.inputs})["c"]


def test_a_relu_behind_a_convolution() -> None:
    fused = CONVOLUTION.format(more="", fields=f"fuse_type: FUSED_CONV_RELU {SLOPE}")
    plain = CONVOLUTION.format(more="", fields="") + RELU
    assert np.array_equal(result(fused), result(plain))
    types = [layer.get("type") for layer in read_net(text=INPUT + fused).message.get("layer")]
    assert types[-2:] == ["Convolution", "ReLU"]


def test_a_sum_and_a_relu_behind_a_convolution() -> None:
    fields = f"fuse_type: FUSED_CONV_ELTWISE_RELU {SLOPE}"
    fused = CONVOLUTION.format(more='bottom: "z"', fields=fields)
    plain = CONVOLUTION.format(more="", fields="").replace('top: "c"', 'top: "a"')
    plain += 'layer { name: "s" type: "Eltwise" bottom: "a" bottom: "z" top: "c" }' + RELU
    np.testing.assert_allclose(result(fused), result(plain), rtol=1e-6)
    with pytest.raises(NetcError, match="takes 2 bottoms, it has 1"):
        read_net(text=INPUT + CONVOLUTION.format(more="", fields=fields))


def test_a_pooling_behind_a_normalization() -> None:
    pooling = "pooling_param { pool: MAX kernel_size: 3 stride: 2 }"
    fused = ('layer { name: "n" type: "LRN" bottom: "x" top: "c" lrn_param { local_size: 3 '
             f"fuse_type: FUSED_POOL_MAX {pooling} }} }}")  # fmt: skip
    plain = 'layer { name: "n" type: "LRN" bottom: "x" top: "n" lrn_param { local_size: 3 } }\n'
    plain += f'layer {{ name: "p" type: "Pooling" bottom: "n" top: "c" {pooling} }}'
    assert np.array_equal(*(netc.compile(text=INPUT + text)(FEEDS)["c"] for text in (fused, plain)))


def test_a_fusion_that_is_not_known_is_refused_at_its_field() -> None:
    text = CONVOLUTION.format(more="", fields="fuse_type: FUSED_CONV_MAX_POOLING_RELU")
    with pytest.raises(NetcError, match="`fuse_type` of a Caffe fork"):
        result(text)
