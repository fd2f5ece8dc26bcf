"""Weights that kernels pack against those that NumPy packs."""

from __future__ import annotations

import numpy as np
import pytest

from netc.backends.cpu.packing import StepPacking
from netc.backends.cpu.steps.deconv import by_outputs
from netc.backends.cpu.steps.packing import in_c_order
from netc.backends.cpu.steps.product import pack_channels, pack_weights
from netc.backends.cpu.steps.winograd import pack_transformed
from netc.backends.shared.cook_toom import Filtering
from netc.backends.shared.derived import Derived, Weights, joined, versions
from netc.backends.variables import Variable
from tests.machines import HERE, runnable

# As described in tests/machines.py: the widest of those whose instructions run here.
TARGET = runnable(HERE[-1] if HERE else "plain 256K")


def variable(shape: tuple[int, ...], seed: int = 0) -> Derived:
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    place = Variable("w", values)
    return Derived(place.array, (place,))


def made(packed: Weights, threads: int = 2) -> np.ndarray:
    """The array that the steps give; it must have a recipe, and so be theirs."""
    assert isinstance(packed, Derived)
    owner = packed.base or packed
    assert owner.recipe is not None
    packing = StepPacking([packed], versions(owner.variables), TARGET, threads)
    assert packing.refresh() == 1
    assert packing.refresh() == 0
    return packed.array


SHAPES = [
    (64, 32, 3, 3), (70, 5, 3, 3), (16, 17, 1, 1), (100, 130, 1, 1), (33, 20, 5, 5), (1, 1, 3, 3),
    (48, 300, 2, 2), (128, 64, 1, 7),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lanes", [16, 64])
@pytest.mark.parametrize("turned", [False, True])
def test_panels(shape: tuple[int, ...], lanes: int, turned: bool) -> None:
    weights: Weights = variable(shape)
    if turned:
        weights = by_outputs(weights, 1)[:, :, ::-1, ::-1]
    assert isinstance(weights, Derived)
    expected = pack_weights(weights.array, lanes)
    assert np.array_equal(made(pack_weights(weights, lanes)), expected)


def test_taps_that_lie_apart() -> None:
    weights = by_outputs(variable((40, 70, 3, 3)), 1)[:, :, slice(2, None, -2), slice(0, 3, 2)]
    assert isinstance(weights, Derived)
    expected = pack_weights(weights.array, 32)
    assert np.array_equal(made(pack_weights(weights, 32)), expected)


@pytest.mark.parametrize("taps", [(3, 3), (5, 5), (1, 7), (3, 1)])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("outputs", "inputs"), [(64, 32), (70, 19), (5, 3)])
def test_transformed(taps: tuple[int, int], turned: bool, outputs: int, inputs: int) -> None:
    weights: Weights = variable((outputs, inputs, *taps))
    if turned:
        weights = by_outputs(weights, 1)[:, :, ::-1, ::-1]
    assert isinstance(weights, Derived)
    filtering = Filtering((1 if taps[0] == 1 else 4, 1 if taps[1] == 1 else 4), taps)
    expected = pack_transformed(weights.array, filtering, 32)
    found = made(pack_transformed(weights, filtering, 32))
    assert np.allclose(found, expected, rtol=0, atol=3e-7 * np.abs(expected).max())


def test_a_group_and_a_sibling_are_packed_alone() -> None:
    grouped = by_outputs(variable((8, 6, 3, 3)), 2)  # a deconvolution's
    assert isinstance(grouped, Derived)
    both = joined([variable((16, 4, 1, 1)), variable((32, 4, 1, 1), 1)])
    assert isinstance(both, Derived)
    for whole, part in ((grouped, slice(6, 12)), (both, slice(16, 48))):
        expected = pack_weights(whole.array[part], 16)
        assert np.array_equal(made(pack_weights(whole[part], 16)), expected)


def test_channels_are_padded() -> None:
    bias = variable((37,))
    found = made(pack_channels(bias, 32, 37))
    assert np.array_equal(found.reshape(-1)[:37], bias.array)
    assert not found.reshape(-1)[37:].any()


@pytest.mark.parametrize("shape", [(300, 70), (17, 5), (6, 10, 4, 3)])
def test_weights_that_are_turned_around(shape: tuple[int, ...]) -> None:
    weights = variable(shape).T if len(shape) == 2 else variable(shape).transpose(0, 2, 3, 1)
    assert isinstance(weights, Derived)
    found = in_c_order(weights)
    assert np.array_equal(made(found), weights.array)
    assert found.array.flags.c_contiguous  # type: ignore[union-attr]
