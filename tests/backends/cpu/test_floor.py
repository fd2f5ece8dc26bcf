"""The least time of a step: what is counted; of the measured rates only that they are there."""

from __future__ import annotations

import pytest

import netc
from netc.backends.cpu.floor import bandwidth, multiplied, peak, roof_of
from netc.backends.profile import Roof
from netc.diagnostics import Source
from tests.backends.cpu.test_layers import layer, text_of


def test_the_longer_of_arithmetic_and_bytes() -> None:
    roof = Roof(operations=100e9, bytes=10e9)
    assert roof.floor(50e9, 0) == pytest.approx(1.0)
    assert roof.floor(1, 20e9) == pytest.approx(2.0)
    assert roof.floor(50e9, 20e9) == pytest.approx(2.0)


def test_rates_are_positive(target) -> None:
    assert peak(target, 1) > 1e6 < bandwidth(target, 2, 100)


CONV = "convolution_param { num_output: 64 pad: 1 kernel_size: %d }"


def test_multiplications_of_tiles() -> None:
    """A 3x3 layer by tiles of 4x4 makes 36 of 144; a 1x1 layer and an exact one all of them."""
    layers = [layer("Convolution", "x", "a", CONV % 3), layer("Convolution", "a", "b", CONV % 1)]
    source = Source("net", text_of({"x": (1, 64, 56, 56)}, layers))
    for optimize, share in ((True, 0.25), ("exact", 1.0)):
        net = netc.compile(source, optimize=optimize, missing="fill")
        found = multiplied(net.executable(tuple(net.inputs.values())))
        assert found["l_a"] == pytest.approx(share)
        assert found["l_b"] == 1.0


def test_what_runs_by_definitions_has_no_floor() -> None:
    source = Source("net", text_of({"x": (2, 3)}, [layer("ReLU", "x", "y")]))
    net = netc.compile(source, backend="reference")
    assert roof_of(net.executable(tuple(net.inputs.values()))) is None
