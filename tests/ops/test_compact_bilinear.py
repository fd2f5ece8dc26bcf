"""CompactBilinear against the sum that its transforms stand for, and glibc's numbers."""

from __future__ import annotations

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.ops.forks.compact_bilinear import glibc_rand, sketches
from tests.ops.test_fork_parts import close, run

RNG = np.random.default_rng(9)


def test_the_numbers_are_glibcs() -> None:
    """Those that C programs print first, on Linux."""
    assert glibc_rand(4) == [1804289383, 846930886, 1681692777, 1714636915]
    first, second = sketches(10, 2, 1)
    assert first.place.tolist() == [3, 6] and first.sign.tolist() == [1, 1]
    numbers = glibc_rand(6)
    assert second.place[0] == numbers[4] % 10 and second.sign[0] == 2 * (numbers[5] % 2) - 1


@pytest.mark.parametrize("pooled", (True, False))
def test_each_pair_of_channels_goes_to_the_sum_of_their_places(pooled: bool) -> None:
    number = 8
    x, y = RNG.normal(size=(2, 3, 2, 2)), RNG.normal(size=(2, 5, 2, 2))
    first, second = sketches(number, 3, 5)
    wanted = np.zeros((2, number, 2, 2))
    for i, (p, s) in enumerate(zip(*first, strict=True)):
        for j, (q, t) in enumerate(zip(*second, strict=True)):
            wanted[:, (p + q) % number] += number * s * t * x[:, i] * y[:, j]
    if pooled:
        wanted = wanted.sum(axis=(2, 3), keepdims=True)
    fields = f"compact_bilinear_param {{ num_output: {number} sum_pool: {pooled} }}".lower()
    got = run("CompactBilinear", fields, x, y)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def test_one_map_with_itself() -> None:
    x = np.ones((1, 1, 1, 1))
    got = run("CompactBilinear", "compact_bilinear_param { num_output: 4 }", x, 2 * x)
    assert np.count_nonzero(got) == 1
    close(abs(got).sum(), 8)


@pytest.mark.parametrize(
    ("number", "shapes", "said"),
    [(3, ((1, 2, 2, 2), (1, 2, 2, 2)), "must be even"),
     (4, ((1, 2, 2, 2), (1, 2, 3, 2)), "1x2x2x2 and 1x2x3x2"),
     (4, ((1, 2), (1, 2)), "axes")],
)  # fmt: skip
def test_what_does_not_fit(number: int, shapes: tuple[tuple[int, ...], ...], said: str) -> None:
    fields = f"compact_bilinear_param {{ num_output: {number} }}"
    with pytest.raises(NetcError, match=said):
        run("CompactBilinear", fields, *(np.ones(shape) for shape in shapes))
