"""The solver's loop: what happens when, and what comes out, on the reference and the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from netc.ir.graph import Array
from netc.ops.update_rules import (
    SOLVER_TYPES,
    LocalRate,
    UpdateRule,
    clip_scale,
    local_rate,
    regularized,
    step,
)
from netc.solver import events
from netc.solver.solver import Solver
from tests.solver.small import BASE, NET, batches, solver

BACKENDS = ("reference", "cpu")


def by_hand(
    rule: UpdateRule, init: list[Array], iterations: int, *, passes: int = 1, clip: float = -1.0
) -> tuple[list[float], list[Array]]:
    """Softmax regression in NumPy: losses and parameters, with weight decay 0.01."""
    data = [array.copy() for array in init]
    history = [(np.zeros_like(array),) * rule.histories for array in data]
    feeds, losses = batches(), []
    for iteration in range(iterations):
        grads = [np.zeros_like(array) for array in data]
        total = 0.0
        for number in range(passes):
            batch = feeds[(iteration * passes + number) % len(feeds)]
            x, label = batch["data"], batch["label"].astype(int)
            scores = x @ data[0].T + data[1]
            exp = np.exp(scores - scores.max(1, keepdims=True))
            prob = exp / exp.sum(1, keepdims=True)
            total += float(-np.log(prob[range(4), label]).mean())
            prob[range(4), label] -= 1
            grads = [grads[0] + prob.T @ x / 4, grads[1] + prob.sum(0) / 4]
        losses.append(total / passes)
        scale = clip_scale(grads, clip)[1]
        for i, (mult, decay) in enumerate(((1, 0.01), (2, 0))):
            grad = grads[i] if scale is None else grads[i] * scale
            mean = regularized(grad, data[i], 0, iter_size=passes)
            rate = local_rate(rule.local, 0.5, mult, data[i], mean)
            inside, outside = (0, rate * decay) if rule.decoupled else (decay, 0)
            grad = regularized(mean, data[i], inside)
            moved = step(rule, grad, history[i], rate, iteration)
            data[i] = data[i] - moved.value - np.float32(outside) * data[i]
            history[i] = moved.history
    return losses, data


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SOLVER_TYPES)
def test_each_rule_trains_as_by_hand(name: str, backend: str) -> None:
    text = f'type: "{name}" weight_decay: 0.01 delta: 0.001'
    momentum = 0.0 if name in ("AdaGrad", "RMSProp") else 0.9
    run = solver(f"{text} momentum: {momentum}", backend=backend)
    init = [array.copy() for array in run.params["ip"]]
    local = LocalRate("lars", 0.001, 0.01) if name == "LARS" else None
    losses, data = by_hand(UpdateRule(name, momentum, delta=0.001, local=local), init, 8)
    np.testing.assert_allclose(run.step(8), losses, rtol=1e-4)
    for got, want in zip(run.params["ip"], data, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


FORKS = {
    "amsgrad: true type: 'Adam' momentum: 0.9": UpdateRule("Adam", 0.9, amsgrad=True),
    "local_lr_auto: true local_gw_ratio: 0.2 momentum: 0.5": UpdateRule(
        "SGD", 0.5, local=LocalRate("lars", 0.2, 0.01)
    ),
    "local_lr_auto: true local_gw_ratio: 0.2 momentum: 0.5 type: 'Nesterov'": UpdateRule(
        "Nesterov", 0.5, local=LocalRate("lars", 0.2, 0.01)
    ),
    "larc: true larc_eta: 0.2": UpdateRule(local=LocalRate("larc", 0.2)),
    "larc: true larc_eta: 0.02 larc_policy: 'clip'": UpdateRule(
        local=LocalRate("larc", 0.02, 0, True)
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("text", FORKS)
def test_fields_of_forks_train_as_by_hand(text: str, backend: str) -> None:
    run = solver(f"{text} weight_decay: 0.01 iter_size: 2", backend=backend)
    init = [array.copy() for array in run.params["ip"]]
    losses, data = by_hand(FORKS[text], init, 8, passes=2)
    np.testing.assert_allclose(run.step(8), losses, rtol=1e-4)
    for got, want in zip(run.params["ip"], data, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("passes", "clip"), [(1, 0.1), (3, -1), (3, 0.2), (2, 0)])
def test_passes_and_clipping(passes: int, clip: float, backend: str) -> None:
    text = f"momentum: 0.9 weight_decay: 0.01 iter_size: {passes} clip_gradients: {clip}"
    run = solver(text, backend=backend)
    init = [array.copy() for array in run.params["ip"]]
    losses, data = by_hand(UpdateRule("SGD", 0.9), init, 6, passes=passes, clip=clip)
    np.testing.assert_allclose(run.step(6), losses, rtol=1e-4)
    for got, want in zip(run.params["ip"], data, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


def test_a_batch_given_to_each_pass_is_worth_one_pass() -> None:
    one, three = solver(feeds=batches()[0]), solver("iter_size: 3", feeds=batches()[0])
    np.testing.assert_allclose(one.step(5), three.step(5), rtol=1e-5)


def told(text: str, **more: Any) -> list[str]:
    run = solver(text, **more)
    found: list[str] = []

    def listen(event: events.Event) -> None:
        if isinstance(event, events.Stepped):
            return
        number = getattr(event, "iteration", "")
        found.append(f"{type(event).__name__} {number}".strip())

    run.listeners.append(listen)
    run.solve()
    return found


def test_events_come_in_caffes_order() -> None:
    text = "display: 6 test_iter: 2 test_interval: 6 clip_gradients: 0.001"
    found = told(text, test_feeds=[batches()])
    clipped = ["Clipped"] * 5
    assert found == [
        "Started 0",
        *("Testing 0", "Tested 0", "Displayed 0", "RateUsed 0", "Clipped", *clipped),
        *("Testing 6", "Tested 6", "Displayed 6", "RateUsed 6", "Clipped", *clipped),
        *("LastLoss 12", "Testing 12", "Tested 12", "Finished 12"),
    ]


def test_no_test_at_first_and_no_pass_at_the_end_where_they_are_not_due() -> None:
    text = "display: 5 test_iter: 1 test_interval: 8 test_initialization: false"
    found = told(text, test_feeds=[batches()])
    assert [entry for entry in found if "Test" in entry] == ["Testing 8", "Tested 8"]
    assert "LastLoss 12" not in found


def test_a_test_is_the_mean_over_its_passes_and_goes_on_where_it_stopped() -> None:
    feeds = batches(3, seed=9)
    run = solver("test_iter: 2 test_interval: 100", test_feeds=[feeds])
    weights, bias = run.params["ip"]

    def accuracy(batch: dict[str, Array]) -> float:
        scores = batch["data"] @ weights.T + bias
        return float((scores.argmax(1) == batch["label"]).mean())

    each = [accuracy(batch) for batch in feeds]
    assert run.test()["accuracy"] == pytest.approx((each[0] + each[1]) / 2)
    assert run.test()["accuracy"] == pytest.approx((each[2] + each[0]) / 2)


def test_test_nets_see_what_is_learned() -> None:
    run = solver("test_iter: 1 test_interval: 100", test_feeds=[batches()[0]], feeds=batches()[0])
    before = float(run.test()["loss"])
    run.step(5)
    assert float(run.test()["loss"]) < before


@pytest.mark.parametrize("format", ["BINARYPROTO", "HDF5"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "AMSGrad", "LARS"])
def test_a_resumed_run_equals_one_that_was_not_interrupted(
    name: str, format: str, tmp_path: Path
) -> None:
    if format == "HDF5":
        pytest.importorskip("h5py", exc_type=ImportError)
    text = (
        f'type: "{name}" momentum: 0.9 snapshot: 5 snapshot_prefix: "{tmp_path}/x" '
        f"snapshot_format: {format} iter_size: 2"
    )
    whole = solver(text)
    losses = whole.step(9)
    suffix = ".h5" if format == "HDF5" else ""
    again = solver(text, snapshot=str(tmp_path / f"x_iter_5.solverstate{suffix}"), seed=7)
    assert again.iteration == 5
    np.testing.assert_array_equal(again.step(4), losses[5:])
    for one, other in zip(whole.params["ip"], again.params["ip"], strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(whole.history, again.history, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_state_of_another_net_is_told(tmp_path: Path) -> None:
    run = solver(f'type: "Adam" snapshot_prefix: "{tmp_path}/x"')
    files = run.snapshot()
    with pytest.raises(NetcError, match="it has 4 arrays of history, and this solver takes 2"):
        solver(snapshot=str(files.state))


def test_a_missing_folder_of_snapshots_is_told_before_training(tmp_path: Path) -> None:
    with pytest.raises(NetcError, match="is not there"):
        solver(f'snapshot: 5 snapshot_prefix: "{tmp_path}/nowhere/x"')


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    with pytest.raises(NetcError) as caught:
        solver("weight_decay: -1e30").step(12)
    (found,) = caught.value.diagnostics
    assert found.code == "not-finite"
    assert "in iteration " in found.message and "at a rate of 0.5" in found.message


def test_a_rate_of_ones_own() -> None:
    rates: list[int] = []

    def rate(iteration: int) -> float:
        rates.append(iteration)
        return 0.0

    run = solver(rate=rate)
    before = [array.copy() for array in run.params["ip"]]
    run.step(3)
    assert rates == [0, 1, 2]
    for one, other in zip(before, run.params["ip"], strict=True):
        np.testing.assert_array_equal(one, other)


def test_frozen_parameters_stay() -> None:
    run = solver("weight_decay: 0.1", freeze=("ip/0",))
    weights, bias = (array.copy() for array in run.params["ip"])
    run.step(3)
    np.testing.assert_array_equal(run.params["ip"][0], weights)
    assert (run.params["ip"][1] != bias).all()


def generated() -> Iterator[dict[str, Array]]:
    yield from batches()


@pytest.mark.parametrize(
    "feeds",
    [lambda: batches(), lambda: lambda i: batches()[i % 5], generated],
    ids=["list", "function", "generator"],
)
def test_feeds_of_any_kind_are_the_same_batches(feeds: Any) -> None:
    np.testing.assert_array_equal(solver(feeds=feeds()).step(5), solver().step(5))


def test_a_generator_that_ends_is_told() -> None:
    with pytest.raises(NetcError, match="feeds of the train net: there are no more batches"):
        solver(feeds=generated()).step(6)


def test_plateau_looks_at_the_loss_of_the_iteration_itself() -> None:
    text = BASE.replace('"fixed"', '"plateau"') + "gamma: 0.1 plateau_winsize: 3 display: 1"
    run = Solver(netc.Source("s", f"net_param {{ {NET} }} {text}"), feeds=batches()[0])
    rates: list[float] = []
    run.listeners.append(
        lambda e: rates.append(float(e.rate)) if isinstance(e, events.RateUsed) else None
    )
    run.params["ip"][0][...] = 0
    run.params["ip"][1][...] = np.float32(0)
    run.step(2)
    run.params["ip"][0][...] = np.float32(100)  # the loss gets no better from here on
    run.params["ip"][1][...] = np.array([0, 50, 100], np.float32)
    run.step(4)
    assert rates == pytest.approx([0.5, 0.5, 0.5, 0.5, 0.05, 0.05])


def test_a_text_may_be_given_as_it_is_and_callbacks_are_told() -> None:
    steps: list[int] = []
    tests: list[float] = []
    run = Solver(
        f"net_param {{ {NET} }}\n{BASE} test_iter: 1 test_interval: 6",
        feeds=batches(),
        test_feeds=[batches()],
        on_step=lambda event: steps.append(event.iteration),
        on_test=lambda event: tests.append(float(event.scores["loss"])),
    )
    run.solve()
    assert steps == list(range(1, 13))
    assert len(tests) == 3


def test_the_nets_read_what_is_trained() -> None:
    run = solver("test_iter: 1 test_interval: 100", test_feeds=[batches()])
    batch = batches()[0]
    before = float(run.net(batch)["loss"])
    run.step(6)
    assert float(run.net(batch)["loss"]) != before
    assert run.test_nets[0].params["ip"][0].shape == (3, 6)
    np.testing.assert_array_equal(run.net.params["ip"][0], run.test_nets[0].params["ip"][0])


def test_a_loss_with_no_top_trains_as_one_with_a_top() -> None:
    untopped = NET.replace(' top: "loss"', "")
    text = f"net_param {{ {untopped} }}\n{BASE}"
    made = Solver(netc.Source("solver.prototxt", text), feeds=batches())
    assert np.array_equal(made.step(5), solver().step(5))
