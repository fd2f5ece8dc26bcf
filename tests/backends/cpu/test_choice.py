from __future__ import annotations

import numpy as np
import pytest

from netc.backends.cpu.machine import machine
from netc.backends.cpu.steps.choice import ConvShape, choose_algorithm, convolution_steps
from netc.backends.cpu.steps.conv import Geometry
from netc.backends.cpu.steps.epilogue import Activation, Epilogue
from tests.backends.cpu.arena import close
from tests.backends.cpu.test_conv import plain_conv, random_case

SQUARE = Geometry((3, 3), pad=(1, 1))


def shape(channels, outputs, size, geometry=SQUARE, images=1):
    return ConvShape(images, channels, (outputs,), size, size, geometry)


def test_large_maps_of_many_channels_go_by_winograd(target):
    assert choose_algorithm(shape(128, 128, 28), target) == "winograd4"
    assert choose_algorithm(shape(64, 64, 224), target) == "winograd4"


def test_nothing_reassociates_when_it_must_be_exact(target):
    assert choose_algorithm(shape(128, 128, 28), target, exact=True) == "product"


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry((1, 1)),
        Geometry((3, 3), stride=(2, 2), pad=(1, 1)),
        Geometry((3, 3), pad=(2, 2), dilation=(2, 2)),
        Geometry((3, 3), stride=(2, 2), pad=(1, 1), groups=2),
        Geometry((3, 2), pad=(1, 0)),
    ],
)
def test_what_winograd_cannot_do_is_a_product(target, geometry):
    assert choose_algorithm(shape(128, 128, 28, geometry), target) == "product"


def test_a_group_for_each_channel_is_depthwise(target):
    geometry = Geometry((3, 3), pad=(1, 1), groups=128)
    assert choose_algorithm(shape(128, 128, 28, geometry), target) == "depthwise"
    assert choose_algorithm(shape(128, 256, 28, geometry), target) == "product"


def test_large_groups_go_by_winograd_one_by_one(bench):
    g = Geometry((3, 3), pad=(1, 1), groups=2)
    assert choose_algorithm(shape(128, 128, 28, g), bench.target) == "winograd4"
    x, w = random_case((1, 80, 26, 26), 96, g)
    rng = np.random.default_rng(5)
    bias, slopes = (rng.standard_normal(96).astype(np.float32) for _ in range(2))
    extra = rng.standard_normal((1, 96, 26, 26)).astype(np.float32)
    v, r, y = bench.value(x), bench.value(extra), bench.view(1, 96, 26, 26)
    epilogue = Epilogue(bias, r, Activation("prelu", slopes=slopes))
    steps = convolution_steps("c", v, [y], w, g, bench.target, epilogue)
    assert {s.kernel.module for s in steps} == {"winograd"}
    z = plain_conv(x, w, g) + bias[:, None, None] + extra
    close(bench.run(*steps, outputs=[y])[0], np.where(z > 0, z, z * slopes[:, None, None]), 1e-4)


def test_few_tiles_do_not_pay_for_larger_weights():
    assert choose_algorithm(shape(512, 512, 7), machine()) != "winograd4"


@pytest.mark.parametrize("channels, outputs, groups", [(40, 48, 1), (16, 16, 16), (16, 32, 16)])
def test_every_choice_gives_the_sums(bench, channels, outputs, groups):
    g = Geometry((3, 3), pad=(1, 1), groups=groups)
    x, w = random_case((1, channels, 24, 24), outputs, g)
    expected = plain_conv(x, w, g)
    for exact in (False, True):
        v, y = bench.value(x), bench.view(*expected.shape)
        steps = convolution_steps("c", v, [y], w, g, bench.target, exact=exact)
        close(bench.run(*steps, outputs=[y])[0], expected)
