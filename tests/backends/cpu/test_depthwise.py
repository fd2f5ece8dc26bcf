from __future__ import annotations

import numpy as np
import pytest

from netc.backends.cpu.steps.depthwise import depthwise_deconv_steps, depthwise_step
from netc.backends.cpu.steps.epilogue import Activation, Epilogue
from netc.backends.shared.geometry import Geometry
from tests.backends.cpu.arena import close
from tests.backends.cpu.test_conv import plain_conv
from tests.backends.cpu.test_deconv import plain_deconv

CASES = [
    ((2, 35, 9, 11), (3, 3), (1, 1), (1, 1), (1, 1)),
    ((1, 32, 12, 15), (3, 3), (2, 2), (1, 1), (1, 1)),
    ((1, 7, 6, 3), (5, 5), (1, 1), (2, 2), (1, 1)),
    ((1, 16, 13, 14), (3, 2), (1, 3), (2, 1), (2, 2)),
    ((1, 20, 7, 7), (7, 7), (1, 1), (0, 0), (1, 1)),
    ((1, 5, 4, 30), (1, 3), (1, 2), (0, 0), (1, 1)),
]


@pytest.mark.parametrize("shape, kernel, stride, pad, dilation", CASES)
def test_depthwise_agrees_with_numpy(bench, shape, kernel, stride, pad, dilation):
    g = Geometry(kernel, stride, pad, dilation, groups=shape[1])
    rng = np.random.default_rng(4)
    x = rng.standard_normal(shape).astype(np.float32)
    w = rng.standard_normal((shape[1], 1, *kernel)).astype(np.float32)
    bias = rng.standard_normal(shape[1]).astype(np.float32)
    expected = plain_conv(x, w, g) + bias[:, None, None]
    extra = rng.standard_normal(expected.shape).astype(np.float32)
    v, r, y = bench.value(x), bench.value(extra), bench.view(*expected.shape)
    step = depthwise_step("d", v, y, w, g, Epilogue(bias, r, Activation("relu")))
    close(bench.run(step, outputs=[y])[0], np.maximum(expected + extra, 0))


@pytest.mark.parametrize("kernel, stride, pad", [(4, 2, 1), (3, 2, 1), (16, 8, 4), (2, 3, 0)])
def test_depthwise_deconvolution_agrees_with_numpy(bench, kernel, stride, pad):
    g = Geometry((kernel, kernel), (stride, stride), (pad, pad), groups=21)
    rng = np.random.default_rng(4)
    x = rng.standard_normal((2, 21, 5, 4)).astype(np.float32)
    w = rng.standard_normal((21, 1, kernel, kernel)).astype(np.float32)
    expected = plain_deconv(x, w, g)
    v, y = bench.value(x), bench.view(*expected.shape)
    close(bench.run(*depthwise_deconv_steps("d", v, y, w, g), outputs=[y])[0], expected)


def test_slopes_of_each_channel(bench):
    g = Geometry((3, 3), pad=(1, 1), groups=20)
    rng = np.random.default_rng(4)
    x = rng.standard_normal((1, 20, 6, 6)).astype(np.float32)
    w = rng.standard_normal((20, 1, 3, 3)).astype(np.float32)
    slopes = rng.random(20).astype(np.float32)
    z = plain_conv(x, w, g)
    v, y = bench.value(x), bench.view(1, 20, 6, 6)
    step = depthwise_step("d", v, y, w, g, Epilogue(None, None, Activation("prelu", slopes=slopes)))
    close(bench.run(step, outputs=[y])[0], np.where(z > 0, z, z * slopes[:, None, None]))


GROUPS = [
    ((2, 36, 9, 11), 2, (3, 3), (1, 1), (1, 1), (1, 1)),
    ((1, 32, 12, 15), 4, (3, 3), (2, 2), (1, 1), (1, 1)),
    ((1, 24, 6, 3), 8, (5, 5), (1, 1), (2, 2), (1, 1)),
    ((1, 40, 13, 14), 4, (3, 2), (1, 3), (2, 1), (2, 2)),
    ((1, 6, 7, 9), 2, (1, 1), (1, 1), (0, 0), (1, 1)),
]


@pytest.mark.parametrize("shape, few, kernel, stride, pad, dilation", GROUPS)
def test_groups_of_a_few_channels(bench, shape, few, kernel, stride, pad, dilation):
    if bench.target.width % few:
        pytest.skip("a vector has no whole groups")
    g = Geometry(kernel, stride, pad, dilation, shape[1] // few)
    rng = np.random.default_rng(4)
    x = rng.standard_normal(shape).astype(np.float32)
    w = rng.standard_normal((shape[1], few, *kernel)).astype(np.float32)
    bias = rng.standard_normal(shape[1]).astype(np.float32)
    expected = plain_conv(x, w, g) + bias[:, None, None]
    extra = rng.standard_normal(expected.shape).astype(np.float32)
    v, r, y = bench.value(x), bench.value(extra), bench.view(*expected.shape)
    step = depthwise_step("d", v, y, w, g, Epilogue(bias, r, Activation("relu")))
    close(bench.run(step, outputs=[y])[0], np.maximum(expected + extra, 0))
