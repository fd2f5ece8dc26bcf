"""The counter-based generator: its authors' vectors, and what a layer's numbers follow from."""

from __future__ import annotations

import numpy as np
import pytest

from netc.ops.random import generator_key, layer_number, philox, uniform

# Salmon et al.'s kat_vectors of philox4x32 with 10 rounds: counter, key, output.
VECTORS = (
    ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0xFFFFFFFF,) * 4,
        (0xFFFFFFFF,) * 2,
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)


@pytest.mark.parametrize(("counter", "key", "output"), VECTORS)
def test_the_vectors_of_its_authors(counter, key, output) -> None:
    words = philox([np.array([word], np.uint64) for word in counter], key)
    assert tuple(int(word[0]) for word in words) == output


LIKE = np.zeros(1, np.float32)


def test_the_layout_that_kernels_reproduce() -> None:
    seed, iteration, layer, draw = 70000, 2**20 + 3, layer_number("drop1"), 2
    got = uniform(LIKE, (3, 5), layer, generator_key(seed, iteration), draw).reshape(-1)
    for element in (0, 1, 6, 14):
        counter = [np.array([w], np.uint64) for w in (element // 4, draw, iteration, 0)]
        word = int(philox(counter, (seed, layer))[element % 4][0])
        assert got[element] == np.float32((word >> 8) * 2**-24)


def test_numbers_are_uniform_and_below_one() -> None:
    drawn = uniform(LIKE, (400, 500), 7)
    assert drawn.dtype == np.float32
    assert 0 <= drawn.min() and drawn.max() < 1
    counts, _ = np.histogram(drawn, bins=20, range=(0, 1))
    assert np.abs(counts - 10000).max() < 500  # 5 standard deviations


def test_what_the_numbers_follow_from() -> None:
    def drawn(seed: int = 0, iteration: int = 0, layer: int = 1, draw: int = 0) -> np.ndarray:
        return uniform(LIKE, (100,), layer, generator_key(seed, iteration), draw)

    np.testing.assert_array_equal(drawn(), uniform(LIKE, (100,), 1))
    for other in (drawn(seed=1), drawn(iteration=1), drawn(layer=2), drawn(draw=1)):
        assert (other != drawn()).mean() > 0.9
    np.testing.assert_array_equal(uniform(LIKE, (99,), 1), drawn()[:99])
    assert (drawn(iteration=1) != drawn(iteration=2**31 + 1)).any()
    assert (drawn(seed=-1) == drawn(seed=2**32 - 1)).all()
