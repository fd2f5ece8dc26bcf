from __future__ import annotations

import numpy as np
import pytest

from netc.backends.cpu.steps.epilogue import Activation, Epilogue
from netc.backends.cpu.steps.linear import linear_step
from tests.backends.cpu.arena import close

SIZES = [(1, 100, 37), (1, 4096, 10), (3, 33, 64), (8, 257, 21), (5, 1, 1)]


def values(*shape):
    return np.random.default_rng(6).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("images, inputs, outputs", SIZES)
def test_inner_products_agree_with_numpy(bench, images, inputs, outputs):
    x, w, bias = values(images, inputs, 1, 1), values(outputs, inputs), values(outputs)
    v, y = bench.value(x), bench.view(images, outputs, 1, 1)
    epilogue = Epilogue(bias, None, Activation("relu"))
    step = linear_step("l", v, y, w, bench.target, epilogue)
    z = x[:, :, 0, 0].astype(np.float64) @ w.T.astype(np.float64) + bias
    close(bench.run(step, outputs=[y])[0][:, :, 0, 0], np.maximum(z, 0))


@pytest.mark.parametrize("images, inputs, outputs", SIZES)
def test_weights_kept_as_halves(bench, images, inputs, outputs):
    x, w = values(images, inputs, 1, 1), values(outputs, inputs)
    v, y = bench.value(x), bench.view(images, outputs, 1, 1)
    step = linear_step("l", v, y, w, bench.target, half=True)
    z = x[:, :, 0, 0].astype(np.float64) @ w.astype(np.float16).T.astype(np.float64)
    close(bench.run(step, outputs=[y])[0][:, :, 0, 0], z)


def test_slopes_of_each_output(bench):
    x, w, slopes = values(2, 30, 1, 1), values(21, 30), values(21)
    v, y = bench.value(x), bench.view(2, 21, 1, 1)
    epilogue = Epilogue(None, None, Activation("prelu", slopes=slopes))
    step = linear_step("l", v, y, w, bench.target, epilogue)
    z = x[:, :, 0, 0].astype(np.float64) @ w.T
    close(bench.run(step, outputs=[y])[0][:, :, 0, 0], np.where(z > 0, z, z * slopes))


def test_weights_are_not_copied(target):
    from netc.backends.shared.views import Arena, dense

    w = values(21, 30)
    x, y = dense(Arena(0), 1, 1, 1, 30), dense(Arena(64), 1, 1, 1, 21)
    step = linear_step("l", x, y, w, target)
    assert any(argument is w for argument in step.args)


def test_a_residual_is_refused(bench):
    x, y = bench.view(1, 30, 1, 1), bench.view(1, 21, 1, 1)
    with pytest.raises(ValueError, match="no residual"):
        linear_step("l", x, y, values(21, 30), bench.target, Epilogue(None, y))
