"""Bottlenecks run band by band: the same numbers as the layers one after another."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.diagnostics import Source

TEXT = """
layer {{ name: "data" type: "Input" top: "data"
        input_param {{ shape {{ dim: {n} dim: 16 dim: 90 dim: 91 }} }} }}
layer {{ name: "a" type: "Convolution" bottom: "data" top: "a"
        convolution_param {{ num_output: 48 kernel_size: 1 weight_filler {{ type: "msra" }}
                            bias_filler {{ type: "uniform" }} }} }}
layer {{ name: "ra" type: "ReLU" bottom: "a" top: "a" }}
layer {{ name: "b" type: "Convolution" bottom: "a" top: "b"
        convolution_param {{ num_output: 16 kernel_size: {kernel} stride: {stride} pad: {pad}
                            dilation: {dilation} weight_filler {{ type: "msra" }} }} }}
"""
SUM = 'layer { name: "s" type: "Eltwise" bottom: "data" bottom: "b" top: "s" }'


@pytest.mark.parametrize("optimize", [True, "exact"])
@pytest.mark.parametrize(
    ("n", "stride", "kernel", "pad", "dilation", "residual"),
    [
        (1, 2, 3, 1, 1, False),
        (2, 1, 3, 1, 1, True),
        (1, 1, 5, 2, 1, False),
        (1, 1, 3, 2, 2, False),
        (1, 1, 3, 0, 1, False),
        (1, 3, 7, 5, 1, False),
    ],
)
def test_bands_give_what_the_layers_give(
    n: int, stride: int, kernel: int, pad: int, dilation: int, residual: bool, optimize: bool | str
) -> None:
    text = TEXT.format(n=n, kernel=kernel, stride=stride, pad=pad, dilation=dilation)
    source = Source("bottleneck.prototxt", text + (SUM if residual else ""))
    x = np.random.default_rng(0).standard_normal((n, 16, 90, 91), dtype=np.float32)
    want = netc.compile(source, backend="reference")(data=x)
    one, two = (netc.compile(source, optimize=optimize, threads=t) for t in (1, 2))
    assert one.report()["passes"]["tile-bottlenecks"] == 1
    for name, array in one(data=x).items():
        scale = np.abs(want[name]).max()
        np.testing.assert_allclose(array, want[name], atol=1e-5 * scale, rtol=1e-4)
        np.testing.assert_array_equal(two(data=x)[name], array)


FIRST = """
layer {{ name: "data" type: "Input" top: "data"
        input_param {{ shape {{ dim: {n} dim: {channels} dim: 151 dim: 149 }} }} }}
layer {{ name: "a" type: "Convolution" bottom: "data" top: "a"
        convolution_param {{ num_output: 48 kernel_size: {kernel} stride: 2 pad: {conv_pad}
                            weight_filler {{ type: "msra" }} bias_filler {{ type: "uniform" }} }} }}
layer {{ name: "ra" type: "ReLU" bottom: "a" top: "a" }}
layer {{ name: "p" type: "Pooling" bottom: "a" top: "p"
        pooling_param {{ pool: {pool} kernel_size: {window} stride: {stride} pad: {pad} }} }}
"""


@pytest.mark.parametrize(
    ("n", "channels", "kernel", "conv_pad", "pool", "window", "stride", "pad"),
    [
        (1, 3, 7, 3, "MAX", 3, 2, 0),
        (2, 3, 3, 0, "MAX", 3, 2, 1),
        (1, 5, 3, 1, "AVE", 3, 2, 0),
        (1, 3, 3, 1, "MAX", 2, 2, 0),
        (1, 4, 5, 2, "MAX", 2, 3, 0),
        (1, 6, 3, 1, "MAX", 5, 1, 2),
    ],
)
def test_a_first_layer_and_its_pooling(
    n: int, channels: int, kernel: int, conv_pad: int, pool: str, window: int, stride: int, pad: int
) -> None:
    text = FIRST.format(
        n=n, channels=channels, kernel=kernel, conv_pad=conv_pad, pool=pool, window=window,
        stride=stride, pad=pad,
    )  # fmt: skip
    source = Source("first.prototxt", text)
    x = np.random.default_rng(0).standard_normal((n, channels, 151, 149), dtype=np.float32)
    want = netc.compile(source, backend="reference")(data=x)["p"]
    one, two = (netc.compile(source, threads=t) for t in (1, 2))
    assert one.report()["passes"]["tile-bottlenecks"] == 1
    got = one(data=x)["p"]
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max(), rtol=1e-4)
    np.testing.assert_array_equal(two(data=x)["p"], got)
