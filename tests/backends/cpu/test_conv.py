"""Convolutions by the compiled kernels, against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from netc.backends.cpu.context import Context
from netc.backends.cpu.program import Program
from netc.backends.cpu.steps.blocking import Blocking, choose_blocking
from netc.backends.cpu.steps.conv import conv_step
from netc.backends.cpu.steps.epilogue import Activation, Epilogue
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import Arena, View
from tests.backends.cpu.arena import Bench, close
from tests.machines import DESCRIBED, ONE_OF_EACH, described, runnable


def plain_conv(x, w, g):
    """Convolution of (n, c, h, w) in float64 by shifted slices."""
    (kh, kw), (sy, sx), (py, px), (dy, dx) = g.kernel, g.stride, g.pad, g.dilation
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (py, py), (px, px)))
    oh = (x.shape[2] - dy * (kh - 1) - 1) // sy + 1
    ow = (x.shape[3] - dx * (kw - 1) - 1) // sx + 1
    outs, per = w.shape[0] // g.groups, w.shape[1]
    y = np.zeros((x.shape[0], w.shape[0], oh, ow))
    for k in range(g.groups):
        xs = x[:, k * per : (k + 1) * per]
        ws = w[k * outs : (k + 1) * outs]
        for i in range(kh):
            for j in range(kw):
                part = xs[:, :, i * dy : i * dy + sy * oh : sy, j * dx : j * dx + sx * ow : sx]
                part = part[:, :, :oh, :ow]
                y[:, k * outs : (k + 1) * outs] += np.einsum("nchw,oc->nohw", part, ws[:, :, i, j])
    return y


def run_conv(x, w, g, target=None, threads=1, bias=None, gap=5, activation=None, blocking=None):
    target = target or runnable(ONE_OF_EACH[0])
    n, c, h, width = x.shape
    expected = plain_conv(x, w, g)
    o, oh, ow = expected.shape[1:]
    x_view = View(Arena(3), n, h, width, c, c + gap)
    y_view = View(Arena(x_view.span + 3), n, oh, ow, o, o + 3)
    epilogue = Epilogue(bias, None, activation or Activation())
    step = conv_step("c", x_view, [y_view], w, g, target, epilogue, blocking)
    context = Context(Program((step,), x_view.span + 3 + y_view.span + 8, target), threads)
    context.array(x_view)[:] = x
    guard = context.flat(Arena(x_view.span + 3), y_view.span + 8)
    guard[:] = 77
    context.run()
    pixels = guard[: y_view.pixels * y_view.ld].reshape(-1, y_view.ld)
    assert (pixels[:-1, o:] == 77).all() and (guard[y_view.span :] == 77).all()
    return context.array(y_view).copy(), expected


def random_case(shape, outputs, g, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape, np.float32)
    w = rng.standard_normal((outputs, shape[1] // g.groups, *g.kernel), np.float32)
    return x, w


CASES = [
    ((1, 64, 7, 9), 64, Geometry((1, 1))),
    ((2, 5, 7, 6), 37, Geometry((3, 3), (1, 1), (1, 1))),
    ((1, 3, 17, 19), 16, Geometry((7, 7), (2, 2), (3, 3))),
    ((2, 8, 9, 11), 12, Geometry((3, 2), (2, 1), (2, 0), (2, 3), groups=4)),
    ((1, 6, 8, 8), 4, Geometry((1, 1), (2, 2))),
    ((2, 3, 20, 15), 9, Geometry((5, 5), (2, 1))),
    ((1, 7, 9, 4), 5, Geometry((3, 4), (2, 1), (1, 0))),
    ((1, 40, 5, 5), 130, Geometry((5, 5), (1, 1), (2, 2), (1, 1), groups=2)),
]


@pytest.mark.parametrize("shape, outputs, g", CASES)
def test_convolution_agrees_with_numpy(shape, outputs, g, target):
    x, w = random_case(shape, outputs, g)
    bias = np.linspace(-1, 1, outputs, dtype=np.float32)
    for gap in (0, 5):
        got, expected = run_conv(x, w, g, target, bias=bias, gap=gap)
        close(got, expected + bias[:, None, None])


ACTIVATIONS = {
    "none": lambda x, a, b: x,
    "relu": lambda x, a, b: np.maximum(x, 0),
    "leaky": lambda x, a, b: np.where(x > 0, x, a * x),
    "clip": lambda x, a, b: np.clip(x, a, b),
    "elu": lambda x, a, b: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0))),
    "sigmoid": lambda x, a, b: 1 / (1 + np.exp(-x)),
    "tanh": lambda x, a, b: np.tanh(x),
    "swish": lambda x, a, b: x / (1 + np.exp(-a * x)),
}


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_bias_residual_and_activation(target, kind):
    x, w = random_case((1, 20, 5, 7), 37, Geometry((1, 1)))
    rng = np.random.default_rng(3)
    bias = rng.standard_normal(37).astype(np.float32)
    extra = 3 * rng.standard_normal((1, 37, 5, 7)).astype(np.float32)
    bench = Bench(target)
    v, r, y = bench.value(x), bench.value(extra), bench.view(1, 37, 5, 7)
    epilogue = Epilogue(bias, r, Activation(kind, 0.3, 2.0))
    step = conv_step("c", v, [y], w, Geometry((1, 1)), target, epilogue)
    z = plain_conv(x, w, Geometry((1, 1))) + bias[:, None, None] + extra
    close(bench.run(step, outputs=[y])[0], ACTIVATIONS[kind](z, 0.3, 2.0))


def test_prelu_with_a_slope_for_each_channel(bench):
    x, w = random_case((1, 20, 5, 7), 37, Geometry((1, 1)))
    slopes = np.linspace(0, 1, 37, dtype=np.float32)
    v, y = bench.value(x), bench.view(1, 37, 5, 7)
    epilogue = Epilogue(None, None, Activation("prelu", slopes=slopes))
    step = conv_step("c", v, [y], w, Geometry((1, 1)), bench.target, epilogue)
    z = plain_conv(x, w, Geometry((1, 1)))
    close(bench.run(step, outputs=[y])[0], np.where(z > 0, z, z * slopes[:, None, None]))


def test_residual_may_be_the_output_itself(bench):
    x, w = random_case((1, 20, 5, 7), 37, Geometry((1, 1)))
    before = np.random.default_rng(3).standard_normal((1, 37, 5, 7)).astype(np.float32)
    v, y = bench.value(x), bench.value(before)
    step = conv_step("c", v, [y], w, Geometry((1, 1)), bench.target, Epilogue(None, y))
    close(bench.run(step, outputs=[y])[0], plain_conv(x, w, Geometry((1, 1))) + before)


def test_one_product_may_fill_several_values(bench):
    g = Geometry((3, 3), (1, 1), (1, 1))
    x, w = random_case((2, 9, 6, 5), 16 + 33 + 7, g)
    v, parts = bench.value(x), [bench.view(2, c, 6, 5) for c in (16, 33, 7)]
    step = conv_step("c", v, parts, w, g, bench.target)
    got = bench.run(step, outputs=parts)
    close(np.concatenate(got, axis=1), plain_conv(x, w, g))


@pytest.mark.parametrize(
    "rows, columns, tiles, panels", [(1, 1, 1, 1), (5, 2, 3, 2), (4, 3, 99, 1)]
)
@pytest.mark.parametrize("panel_major", [True, False])
def test_any_cut_gives_the_same(bench, rows, columns, tiles, panels, panel_major):
    g = Geometry((3, 3), (1, 1), (1, 1))
    x, w = random_case((1, 10, 9, 8), 70, g)
    v, y = bench.value(x), bench.view(1, 70, 9, 8)
    cut = Blocking(rows, columns, tiles, panels, panel_major)
    step = conv_step("c", v, [y], w, g, bench.target, blocking=cut)
    close(bench.run(step, outputs=[y])[0], plain_conv(x, w, g))


@pytest.mark.parametrize("threads", [2, 3])
def test_results_do_not_depend_on_the_number_of_threads(threads):
    x, w = random_case((1, 30, 23, 23), 70, Geometry((3, 3), (1, 1), (1, 1)))
    g = Geometry((3, 3), (1, 1), (1, 1))
    one, _ = run_conv(x, w, g, threads=1)
    for _ in range(20):
        many, _ = run_conv(x, w, g, threads=threads)
        assert (one == many).all()


@pytest.mark.parametrize("shape, outputs, g", CASES)
def test_sums_in_blocks_are_the_same_to_the_last_bit(shape, outputs, g, target):
    x, w = random_case(shape, outputs, g)
    bias = np.linspace(-1, 1, outputs, dtype=np.float32)
    whole, _ = run_conv(x, w, g, target, bias=bias, blocking=Blocking(4, 2, 3, 1, True))
    for block in (1, 7, 64):
        cut = Blocking(4, 2, 3, 1, True, block)
        for threads in (1, 2):
            got, _ = run_conv(x, w, g, target, threads, bias, blocking=cut)
            np.testing.assert_array_equal(got, whole)


@pytest.mark.parametrize("name", DESCRIBED)
def test_long_sums_run_in_blocks(name):
    machine = described(name)
    assert choose_blocking(49, [512], 16384, machine).block > 0
    assert choose_blocking(3136, [512], 256, machine).block == 0
    assert choose_blocking(49, [512], 64, machine).block == 0
