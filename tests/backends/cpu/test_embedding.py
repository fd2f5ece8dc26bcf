"""Embed by its kernel: what its definition gives, and its errors."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.backends.base import Options
from netc.backends.cpu import backend
from netc.backends.cpu.backend import CpuBackend
from netc.diagnostics import NetcError
from netc.passes.pipeline import ALL
from tests.machines import ONE_OF_EACH, runnable

NET = """
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {} }} }} }}
layer {{ name: "e" type: "Embed" bottom: "x" top: "e" embed_param {{ num_output: {} input_dim: {}
        bias_term: {} weight_filler {{ type: "gaussian" }} bias_filler {{ type: "gaussian" }} }} }}
"""


def net_of(shape: tuple[int, ...], outputs: int, rows: int, bias: bool = True) -> str:
    dims = " ".join(f"dim: {size}" for size in shape)
    return NET.format(dims, outputs, rows, str(bias).lower())


@pytest.mark.parametrize("name", ONE_OF_EACH)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape, outputs", [((7,), 21), ((6, 3), 16), ((900, 2), 40)])
def test_rows_are_those_of_the_definition(
    name: str, bias: bool, shape: tuple[int, ...], outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "machine", lambda: runnable(name))
    net = netc.compile(text=net_of(shape, outputs, 50, bias), backend="reference")
    x = np.random.default_rng(1).integers(0, 50, shape).astype(np.float32)
    (want,) = net(x=x).values()
    for threads in (1, 2):
        made = CpuBackend().prepare(net.graph, Options(ALL, threads=threads))
        assert not made.report()["reference_steps"]
        (found,) = made.run({net.graph.inputs[0]: x}).values()
        np.testing.assert_array_equal(found, want)


def test_values_of_four_axes_are_looked_up_by_the_definition() -> None:
    """They lie as pixels."""
    text = net_of((2, 5, 4), 3, 9)
    x = np.random.default_rng(3).integers(0, 9, (2, 5, 4)).astype(np.float32)
    slow, fast = (netc.compile(text=text, backend=name) for name in ("reference", "cpu"))
    assert fast.report()["reference_steps"] == ["e"]
    np.testing.assert_array_equal(fast(x=x)["e"], slow(x=x)["e"])


@pytest.mark.parametrize("wrong", [-1, 50, 1.5, np.nan, np.inf, 1e20])
def test_a_number_that_is_no_row_is_told_as_the_definition_tells_it(wrong: float) -> None:
    text = net_of((6, 3), 8, 50)
    x = np.zeros((6, 3), np.float32)
    x[2, 1], x[4, 0] = wrong, 99
    told = []
    for name in ("reference", "cpu"):
        with pytest.raises(NetcError, match="index-out-of-range") as caught:
            netc.compile(text=text, backend=name)(x=x)
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_the_next_run_is_right_again() -> None:
    net = netc.compile(text=net_of((3,), 4, 5))
    with pytest.raises(NetcError):
        net(x=np.array([0, 5, 1], np.float32))
    (found,) = net(x=np.array([0, 4, 1], np.float32)).values()
    assert found.shape == (3, 4)


def test_marks_of_sequences_are_worked_out_once() -> None:
    """A ContinuationIndicator follows from its parameters alone."""
    text = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 2 dim: 3 } } }
    layer { name: "m" type: "ContinuationIndicator" top: "m"
            continuation_indicator_param { time_step: 4 batch_size: 2 } }
    layer { name: "l" type: "LSTM" bottom: "x" bottom: "m" top: "l"
            recurrent_param { num_output: 5 weight_filler { type: "gaussian" } } }
    """
    x = np.random.default_rng(2).standard_normal((4, 2, 3)).astype(np.float32)
    slow, fast = (netc.compile(text=text, backend=name) for name in ("reference", "cpu"))
    assert not fast.report()["reference_steps"]
    np.testing.assert_allclose(fast(x=x)["l"], slow(x=x)["l"], atol=1e-5)
