"""Parameters with lr_mult 0: whose gradients count, and what their histories do (net.cpp:146-152,
228; sgd_solver.cpp, ComputeUpdateValue)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import netc
from netc.ir.graph import Array
from netc.solver import events
from netc.solver.solver import Solver
from tests.solver.small import BASE, NET, batches

BACKENDS = ("reference", "cpu")
IP = "inner_product_param { num_output: 3 bias_term: false weight_filler { type: 'xavier' } }"


def shared(first: str, second: str, more: str = "") -> str:
    """The loss is the sum of all elements of W x + W y + C x, so gradients are sums of rows."""
    return f"""
        layer {{ name: "in" type: "Input" top: "x" top: "y"
                input_param {{ shape {{ dim: 4 dim: 6 }} }} }}
        layer {{ name: "a" type: "InnerProduct" bottom: "x" top: "a"
                param {{ name: "w" {first} }} {IP} }}
        layer {{ name: "b" type: "InnerProduct" bottom: "y" top: "b"
                param {{ name: "w" {second} }} {IP} }}
        layer {{ name: "c" type: "InnerProduct" bottom: "x" top: "c" {IP} }}
        layer {{ name: "sum" type: "Eltwise" bottom: "a" bottom: "b" bottom: "c" top: "sum" }}
        layer {{ name: "loss" type: "Reduction" bottom: "sum" top: "loss" loss_weight: 1 }}
        {more}
    """


def fed() -> dict[str, Array]:
    random = np.random.default_rng(3)
    return {name: random.standard_normal((4, 6), np.float32) for name in "xy"}


def trained(net: str, text: str, backend: str = "cpu") -> Solver:
    source = netc.Source("s.prototxt", f"net_param {{ {net} }} {BASE} {text}")
    return Solver(source, feeds=fed(), backend=backend)


def norm(run: Solver) -> float:
    """The norm of all gradients in the first iteration."""
    told: list[events.Event] = []
    run.listeners.append(told.append)
    run.step(1)
    (clipped,) = (event for event in told if isinstance(event, events.Clipped))
    return float(clipped.norm)


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize(
    ("first", "second", "more", "counted"),
    [
        ("lr_mult: 0", "", "", "y"),
        ("", "lr_mult: 0", "", "x"),
        ("lr_mult: 0", "lr_mult: 0", "", ""),
        ("lr_mult: 0", "", "force_backward: true", "xy"),
        ("", "", "", "xy"),
    ],
)
def test_each_layer_s_own_lr_mult_says_whether_its_gradient_counts(
    first: str, second: str, more: str, counted: str, passes: int
) -> None:
    text = f"clip_gradients: 0.01 iter_size: {passes}"
    run = trained(shared(first, second, more), text)
    before = run.params["a"][0].copy()
    batch = {name: array.sum(0, dtype=np.float64) for name, array in fed().items()}
    own = sum((batch[name] for name in counted), start=np.zeros(6))
    want = passes * np.sqrt(3 * (own @ own + batch["x"] @ batch["x"]))
    assert norm(run) == pytest.approx(want, rel=1e-5)
    assert np.array_equal(run.params["a"][0], before) == (first + second != "")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("first", "second", "more", "counted"),
    [
        ("lr_mult: 0", "", "", "y"),
        ("lr_mult: 0", "lr_mult: 0", "force_backward: true", "xy"),
        ("lr_mult: 0", "lr_mult: 0", "", ""),
    ],
)
@pytest.mark.parametrize("rule", ["Adam", "AdaGrad", "RMSProp", "AdaDelta"])
def test_histories_of_frozen_parameters_fill(
    rule: str, first: str, second: str, more: str, counted: str, backend: str
) -> None:
    momentum = "momentum: 0.9" if rule in ("Adam", "AdaDelta") else ""
    run = trained(shared(first, second, more), f'type: "{rule}" {momentum}', backend)
    before = run.params["a"][0].copy()
    run.step(1)
    batch = fed()
    own = sum((batch[name].sum(0) for name in counted), start=np.zeros(6, np.float32))
    scale = {"Adam": 0.1, "AdaGrad": 1.0, "RMSProp": 0.01, "AdaDelta": 0.1}[rule]
    want = scale * (own if rule == "Adam" else own * own)
    np.testing.assert_allclose(run.history[0], np.tile(want, (3, 1)), rtol=1e-4)
    np.testing.assert_array_equal(run.params["a"][0], before)


@pytest.mark.parametrize("rule", ["SGD", "Nesterov", "LARS"])
@pytest.mark.parametrize("more", ["", "iter_size: 2", 'lr_policy: "plateau" plateau_winsize: 9'])
def test_a_weight_coasts_that_no_longer_learns(tmp_path: Path, rule: str, more: str) -> None:
    frozen = NET.replace("lr_mult: 1", "lr_mult: 0")
    base = BASE.replace('lr_policy: "fixed"', "") if "policy" in more else BASE

    def opened(net: str, snapshot: str | None = None) -> Solver:
        text = f"""net_param {{ {net} }} {base} type: "{rule}" momentum: 0.5 gamma: 0.1 {more}
                   snapshot_prefix: "{tmp_path}/s" """
        if "policy" not in more:
            text = text.replace("gamma: 0.1", "")
        return Solver(netc.Source("s.prototxt", text), feeds=batches(), snapshot=snapshot)

    run = opened(NET)
    run.step(3)
    files = run.snapshot()
    again = opened(frozen, str(files.state))
    w, h = run.params["ip"][0].copy(), run.history[0].copy()
    assert h.any()
    for _ in range(3):
        again.step(1)
        moved = 0.5 * h
        w -= 1.5 * moved - 0.5 * h if rule == "Nesterov" else moved
        h = moved
        np.testing.assert_allclose(again.params["ip"][0], w, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(again.history[0], h, rtol=1e-5, atol=1e-9)


def test_a_layer_that_is_frozen_by_its_name_does_not_coast(tmp_path: Path) -> None:
    text = f'net_param {{ {NET} }} {BASE} momentum: 0.5 snapshot_prefix: "{tmp_path}/s"'
    source = netc.Source("s.prototxt", text)
    run = Solver(source, feeds=batches())
    run.step(3)
    state = str(run.snapshot().state)
    again = Solver(source, feeds=batches(), snapshot=state, freeze=["ip/0"])
    again.step(2)
    np.testing.assert_array_equal(again.params["ip"][0], run.params["ip"][0])
