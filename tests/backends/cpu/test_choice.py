from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from netc.backends.cpu.steps.choice import convolution_steps
from netc.backends.cpu.steps.costs import ConvShape, choose_algorithm, is_faster_in_float32
from netc.backends.cpu.steps.epilogue import Activation, Epilogue
from netc.backends.shared.geometry import Geometry
from netc.ops.reduced import Bfloat16, Int8
from tests.backends.cpu.arena import close
from tests.backends.cpu.test_conv import plain_conv, random_case
from tests.machines import DESCRIBED, described

ANY = pytest.mark.parametrize("machine", [described(name) for name in DESCRIBED], ids=DESCRIBED)

SQUARE = Geometry((3, 3), pad=(1, 1))


def shape(channels, outputs, size, geometry=SQUARE, images=1):
    return ConvShape(images, channels, (outputs,), size, size, geometry)


@ANY
def test_large_maps_of_many_channels_go_by_winograd(machine):
    assert choose_algorithm(shape(128, 128, 28), machine) == "winograd4"
    assert choose_algorithm(shape(64, 64, 224), machine) == "winograd4"


@ANY
def test_nothing_reassociates_when_it_must_be_exact(machine):
    assert choose_algorithm(shape(128, 128, 28), machine, exact=True) == "product"


@ANY
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
def test_what_winograd_cannot_do_is_a_product(machine, geometry):
    assert choose_algorithm(shape(128, 128, 28, geometry), machine) == "product"


@ANY
def test_a_group_for_each_channel_is_depthwise(machine):
    geometry = Geometry((3, 3), pad=(1, 1), groups=128)
    assert choose_algorithm(shape(128, 128, 28, geometry), machine) == "depthwise"
    assert choose_algorithm(shape(128, 256, 28, geometry), machine) == "product"


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


@ANY
def test_few_tiles_do_not_pay_for_larger_weights(machine):
    assert choose_algorithm(shape(512, 512, 7), machine) != "winograd4"


@pytest.mark.parametrize("channels, outputs, groups", [(40, 48, 1), (16, 16, 16), (16, 32, 16)])
def test_every_choice_gives_the_sums(bench, channels, outputs, groups):
    g = Geometry((3, 3), pad=(1, 1), groups=groups)
    x, w = random_case((1, channels, 24, 24), outputs, g)
    expected = plain_conv(x, w, g)
    for exact in (False, True):
        v, y = bench.value(x), bench.view(*expected.shape)
        steps = convolution_steps("c", v, [y], w, g, bench.target, exact=exact)
        close(bench.run(*steps, outputs=[y])[0], expected)


@pytest.mark.parametrize(
    "inputs, outputs, groups, chosen",
    [
        (128, 128, 32, "grouped"),  # 4 channels a group, as in ResNeXt's first stage
        (256, 256, 32, "grouped"),
        (512, 512, 32, "product"),  # a group fills a vector of 16
        (128, 256, 32, "product"),
        (96, 96, 32, "product"),  # no whole groups of 3 in a vector
        (128, 128, 128, "depthwise"),
    ],
)
def test_small_groups_share_a_vector(inputs, outputs, groups, chosen):
    machine = described(next(name for name in DESCRIBED if "avx512" in name))
    geometry = Geometry((3, 3), pad=(1, 1), groups=groups)
    found = choose_algorithm(shape(inputs, outputs, 56, geometry), machine, exact=True)
    assert found == chosen


@ANY
@pytest.mark.parametrize("channels, size", [(64, 224), (64, 56), (128, 28), (512, 28)])
def test_what_winograd_saves_bfloat16_does_not(machine, channels, size):
    wide = shape(channels, channels, size)
    assert is_faster_in_float32(wide, Bfloat16(), machine)
    # Four int8 products an instruction are as many as the algorithm spares, and need no transform.
    assert not is_faster_in_float32(wide, Int8(1.0, 0), machine)


@ANY
@pytest.mark.parametrize(
    "geometry",
    [
        Geometry((1, 1)),
        Geometry((3, 3), stride=(2, 2), pad=(1, 1)),
        Geometry((3, 3), pad=(2, 2), dilation=(2, 2)),
    ],
)
def test_what_float32_does_by_sums_too_is_faster_in_fewer_bits(machine, geometry):
    assert not is_faster_in_float32(shape(128, 128, 56, geometry), Bfloat16(), machine)
    assert not is_faster_in_float32(shape(3, 64, 224), Bfloat16(), machine)


def test_the_choice_reads_how_many_vectors_a_machine_multiplies_a_cycle():
    """Where arithmetic is slower beside memory, sparing it is worth more weights to read."""
    two = described("avx512 1M")
    one = replace(two, units=1)
    assert not is_faster_in_float32(shape(512, 512, 14), Bfloat16(), two)
    assert is_faster_in_float32(shape(512, 512, 14), Bfloat16(), one)
    assert choose_algorithm(shape(256, 256, 14), one) == "winograd4"
    assert choose_algorithm(shape(256, 256, 14), two) == "winograd2"


def test_groups_are_compared_whole():
    machine = described("avx512 1M")
    two = Geometry((3, 3), pad=(1, 1), groups=2)
    assert is_faster_in_float32(shape(128, 128, 56, two), Bfloat16(), machine)
    many = Geometry((3, 3), pad=(1, 1), groups=64)  # no group fills a vector
    assert not is_faster_in_float32(shape(256, 256, 56, many), Bfloat16(), machine)
