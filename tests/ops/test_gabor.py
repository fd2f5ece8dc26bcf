"""The filler `gabor`, by parameters read off intel/caffe's gabor.hpp kernel by kernel."""

from __future__ import annotations

from math import cos, exp, pi, sin

import numpy as np
import pytest

from netc.ops.filler import Filler, fill, filler_fault

# (outputs, size, kernel): lambda, sigma, omega, phi, theta, colours
KERNELS = {
    (32, 5, 3): (0.5, 0.6, 2 * pi, 0, 3 * pi / 8, (1, 1, 1)),
    (32, 5, 13): (0.5, 0.6, pi, 0, 11 * pi / 12, (1, 1, 1)),
    (32, 5, 15): (0.5, 0.75, pi / 4, pi, 0, (1, -1, 1)),
    (32, 5, 19): (0.5, 0.6, pi / 2, pi / 2, 15 * pi / 8, (1, 1, 1)),
    (32, 5, 20): (0.5, 0.6, pi / 2, pi / 2, 3 * pi / 8, (1, 0, -1)),
    (32, 5, 26): (0.5, 0.6, pi / 2, pi / 2, 11 * pi / 8, (-1, 1, 1)),
    (32, 5, 29): (0.5, 0.6, pi / 2, pi / 2, 5 * pi / 8, (-1, 1, -1)),
    (32, 5, 31): (0.5, 0.6, pi / 2, pi / 2, 7 * pi / 8, (1, 1, 0)),
    (64, 7, 0): (1, 0.4, 3 * pi, 3 * pi / 8, 0, (1, 1, 1)),
    (64, 7, 29): (8 / 13, 0.525, 6 * pi / 7, 11 * pi / 8, 3 * pi / 4, (1, 1, 1)),
    (64, 7, 34): (0.5, 0.45, 3 * pi, pi, pi / 4, (1, 1, 1)),
    (64, 7, 42): (0.5, 2 / 3, pi / 4, 13 * pi, 0, (0.25, -1, 1)),
    (64, 7, 47): (2 / 3, 1, pi / 4, pi / 2, 57 * pi / 8, (1, 0.1, -0.5)),
    (64, 7, 51): (2 / 3, 1, pi / 4, pi / 2, 25 * pi / 32, (-0.5, 0.1, 1)),
    (64, 7, 57): (1, 1, pi / 4, pi / 2, 5 * pi / 8, (0.25, -1, 1)),
    (64, 7, 63): (2 / 3, 1, pi / 4, pi / 2, 29 * pi / 8, (-1, -1, 1)),
    (64, 3, 29): (8 / 13, 1, 2 * pi / 7, 11 * pi / 8, 3 * pi / 4, (1, 1, 1)),
    (64, 3, 42): (0.5, 1, pi / 4, 13 * pi, 0, (0.25, -1, 1)),
    (96, 11, 45): (8 / 39, 0.625, 10 * pi / 7, 11 * pi / 8, 5 * pi / 6, (1, 1, 1)),
    (96, 11, 51): (2 / 15, 1, pi / 4, 12 * pi, 0, (0.25, -1, 1)),
    (96, 11, 57): (2 / 9, 0.75, 5 * pi / 8, pi / 2, 5 * pi / 8, (-1, 1, -0.5)),
    (96, 11, 63): (1 / 9, 2, 5 * pi / 8, pi / 2, 13 * pi / 8, (1, -0.5, -0.75)),
    (96, 11, 66): (2 / 9, 0.75, 5 * pi / 4, pi / 2, 17 * pi / 32, (1, 0.1, -0.75)),
    (96, 11, 79): (2 / 9, 1, 5 * pi / 12, pi / 2, 57 * pi / 32, (-0.5, 0.1, 1)),
    (96, 11, 80): (2 / 15, 1, 5 * pi / 8, pi / 2, pi / 32, (-1, -1, 1)),
    (96, 11, 90): (1 / 3, 0.6, 5 * pi / 16, pi / 2, 17 * pi / 16, (1, 1, 1)),
    (96, 11, 94): (1 / 12, 0.75, 5 * pi / 4, pi / 2, 49 * pi / 32, (-1, -1, 1)),
}


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_kernels_are_the_forks_waves(kernel: tuple[int, int, int]) -> None:
    number, size, k = kernel
    height, sigma, omega, phi, theta, colours = KERNELS[kernel]
    made = fill(Filler("gabor"), (number, 3, size, size), np.random.default_rng(0))[k]
    for channel, row, column in np.ndindex(3, size, size):
        x, y = 2 * column / (size - 1) - 1, 2 * row / (size - 1) - 1
        wave = cos((x * cos(theta) - y * sin(theta)) * omega + phi)
        wanted = colours[channel] * height * exp(-(x * x + y * y) / (2 * sigma**2)) * wave
        assert made[channel, row, column] == pytest.approx(wanted, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("shape", [(64, 3, 5, 5), (96, 1, 11, 11), (32, 3, 5, 4), (32, 75), ()])
def test_other_shapes_have_no_waves(shape: tuple[int, ...]) -> None:
    assert "fills arrays of 32x3x5x5, 64x3x7x7" in (filler_fault(Filler("gabor"), shape) or "")
