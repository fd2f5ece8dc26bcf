from __future__ import annotations

import numpy as np
import pytest

from netc.backends.cpu.context import Context
from netc.backends.cpu.program import Program
from netc.backends.cpu.steps.normalization import (
    Response,
    lrn_across_step,
    lrn_within_step,
    softmax_axis_step,
    softmax_step,
)
from netc.backends.shared.views import External
from tests.backends.cpu.arena import close


def values(*shape, scale=2.0):
    return (scale * np.random.default_rng(7).standard_normal(shape)).astype(np.float32)


def caffe_lrn_across(x, r):
    square = np.pad(
        x.astype(np.float64) ** 2, ((0, 0), ((r.size - 1) // 2, r.size), (0, 0), (0, 0))
    )
    total = sum(square[:, i : i + x.shape[1]] for i in range(r.size))
    return x / (r.k + r.alpha / r.size * total) ** r.beta


def caffe_lrn_within(x, r):
    height, width = x.shape[2:]
    pad, scale = (r.size - 1) // 2, np.zeros(x.shape)
    for i in range(height):
        for j in range(width):
            y0, x0 = i - pad, j - pad
            y1, x1 = min(y0 + r.size, height + pad), min(x0 + r.size, width + pad)
            part = x[:, :, max(y0, 0) : min(y1, height), max(x0, 0) : min(x1, width)]
            scale[:, :, i, j] = (part.astype(np.float64) ** 2).sum((2, 3)) / ((y1 - y0) * (x1 - x0))
    return x / (1 + r.alpha * scale) ** r.beta


@pytest.mark.parametrize("beta", [0.75, 0.5, 1.0, 0.6])
@pytest.mark.parametrize("channels, size", [(37, 5), (3, 5), (64, 3), (20, 9)])
def test_lrn_across_channels(bench, channels, size, beta):
    x, r = values(2, channels, 3, 2), Response(size, 0.7, beta, 2.0)
    v, y = bench.value(x), bench.view(*x.shape)
    close(bench.run(lrn_across_step("n", v, y, r), outputs=[y])[0], caffe_lrn_across(x, r))


@pytest.mark.parametrize("beta", [0.75, 0.3])
@pytest.mark.parametrize("size", [3, 5])
def test_lrn_within_channels(bench, size, beta):
    x, r = values(2, 19, 7, 6), Response(size, 0.7, beta)
    v, y = bench.value(x), bench.view(*x.shape)
    close(bench.run(lrn_within_step("n", v, y, r), outputs=[y])[0], caffe_lrn_within(x, r))


def plain_softmax(x, axis):
    e = np.exp(x.astype(np.float64) - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


@pytest.mark.parametrize("channels", [1, 5, 16, 1000])
def test_softmax_over_channels(bench, channels):
    x = values(2, channels, 1, 3, scale=20.0)
    v, y = bench.value(x), bench.view(*x.shape)
    close(bench.run(softmax_step("s", v, y), outputs=[y])[0], plain_softmax(x, 1))


@pytest.mark.parametrize("shape", [(2, 5, 1), (2, 21, 37), (1, 3, 64)])
def test_softmax_over_any_axis(target, shape):
    x, y = values(*shape, scale=20.0), np.zeros(shape, np.float32)
    step = softmax_axis_step("s", External(0), External(1), *shape)
    Context(Program((step,), 0, target)).run([x, y])
    close(y, plain_softmax(x, 1))
