from __future__ import annotations

import numpy as np
import pytest

from netc.backends.cpu.steps.epilogue import Activation, Epilogue
from netc.backends.cpu.steps.tiling import tiling
from netc.backends.cpu.steps.winograd import Cut, choose_cut, winograd_steps
from netc.backends.shared.cook_toom import matrices
from netc.backends.shared.geometry import Geometry
from tests.backends.cpu.arena import Bench, close
from tests.backends.cpu.test_conv import plain_conv, random_case
from tests.machines import DESCRIBED, described


@pytest.mark.parametrize(
    "outputs, taps", [(2, 3), (4, 3), (6, 3), (2, 5), (4, 5), (1, 3), (3, 2), (4, 7), (1, 1)]
)
def test_matrices_give_the_sums(outputs, taps):
    m = matrices(outputs, taps)
    rng = np.random.default_rng(1)
    d, g = rng.standard_normal(outputs + taps - 1), rng.standard_normal(taps)
    fast = np.array(m.output) @ ((np.array(m.filter) @ g) * (np.array(m.input) @ d))
    np.testing.assert_allclose(fast, np.convolve(d, g[::-1], "valid"), rtol=1e-12, atol=1e-12)


def test_known_matrix_of_lavin_and_gray():
    assert matrices(4, 3).input[1] == (0, -4, -4, 1, 1, 0)


def test_too_many_points_are_refused():
    with pytest.raises(ValueError, match="10 points"):
        matrices(7, 5)


CASES = [
    ((1, 20, 9, 11), 37, (1, 1), 4, (3, 3)),
    ((2, 16, 8, 8), 64, (0, 0), 4, (3, 3)),
    ((1, 5, 3, 4), 3, (1, 1), 4, (3, 3)),
    ((2, 33, 7, 7), 20, (1, 1), 2, (3, 3)),
    ((1, 20, 14, 9), 16, (2, 1), 2, (5, 5)),
    ((1, 8, 13, 12), 24, (1, 1), 6, (3, 3)),
    ((2, 20, 17, 9), 37, (0, 3), 4, (1, 7)),
    ((1, 33, 9, 17), 20, (3, 0), 4, (7, 1)),
    ((1, 16, 8, 10), 24, (0, 1), 4, (1, 3)),
    ((1, 9, 11, 6), 24, (2, 0), 2, (5, 1)),
]


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("shape, outputs, pad, size, taps", CASES)
def test_winograd_agrees_with_numpy(bench, shape, outputs, pad, size, taps, split):
    g = Geometry(taps, pad=pad)
    x, w = random_case(shape, outputs, g)
    bias = np.linspace(-1, 1, outputs, dtype=np.float32)
    expected = plain_conv(x, w, g) + bias[:, None, None]
    extra = np.random.default_rng(9).standard_normal(expected.shape).astype(np.float32)
    v, r, y = bench.value(x), bench.value(extra), bench.view(*expected.shape)
    epilogue = Epilogue(bias, r, Activation("relu"))
    cut = Cut(4, 2, 8, split)
    steps = winograd_steps("w", v, [y], w, g, bench.target, epilogue, size, cut)
    assert len(steps) == 1 + split
    got = bench.run(*steps, outputs=[y])[0]
    close(got, np.maximum(expected + extra, 0), 1e-4 if size == 6 else 1e-5)


def test_results_do_not_depend_on_the_number_of_threads(target):
    g = Geometry((3, 3), pad=(1, 1))
    x, w = random_case((1, 30, 23, 23), 70, g)
    found = []
    for threads in (1, 2, 3):
        bench = Bench(target, threads)
        v, y = bench.value(x), bench.view(1, 70, 23, 23)
        found.append(bench.run(*winograd_steps("w", v, [y], w, g, target), outputs=[y])[0])
    assert (found[0] == found[1]).all() and (found[0] == found[2]).all()


def test_one_convolution_may_fill_several_values(bench):
    g = Geometry((3, 3), pad=(1, 1))
    x, w = random_case((1, 9, 6, 5), 40, g)
    v, parts = bench.value(x), [bench.view(1, c, 6, 5) for c in (33, 7)]
    got = bench.run(*winograd_steps("w", v, parts, w, g, bench.target), outputs=parts)
    close(np.concatenate(got, axis=1), plain_conv(x, w, g))


LATE, EARLY = tiling(1, 14, 14, 4, (3, 3)), tiling(1, 224, 224, 4, (3, 3))


@pytest.mark.parametrize(
    "name, early",
    [
        ("avx512 2M", False),
        ("avx512 512K", True),  # few tiles fit beside each other, so weights are read often
        ("avx2 2M", False),
        ("avx2 256K", True),
        ("plain 1M", False),
    ],
)
def test_weights_much_larger_than_the_input_are_read_once(name, early):
    machine = described(name)
    assert choose_cut(LATE, 512, [512], machine).split
    assert choose_cut(EARLY, 64, [64], machine).split == early


@pytest.mark.parametrize("name", DESCRIBED)
def test_a_cut_reads_no_more_than_the_other_one_would(name):
    machine = described(name)
    for tiles, inputs, outputs in ((LATE, 512, 512), (LATE, 16, 16), (EARLY, 64, 64)):
        cut = choose_cut(tiles, inputs, [outputs], machine)
        lanes = cut.columns * machine.width
        panels = -(-outputs // lanes)
        weights, planes = inputs * panels * lanes, tiles.tiles * inputs * (1 + panels)
        if cut.split:  # planes are written and read again, so the weights must be many
            assert planes < weights * tiles.tiles
        else:
            assert weights * -(-tiles.tiles // cut.block) <= weights + planes
            held = 4 * tiles.planes * cut.block * (-(-inputs // 16) * 16 + lanes)
            assert held <= machine.l2 or cut.block <= cut.rows
