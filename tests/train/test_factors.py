"""Gradients that are kept as factors between passes: the numbers of whole sums, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.ir.graph import Array
from netc.ops.gradient_update import NAME
from netc.passes import fuse_updates
from netc.solver.solver import Solver
from netc.train import step

NET = """
layer { name: "data" type: "Input" top: "data" top: "label"
        input_param { shape { dim: 4 dim: 3 dim: 5 dim: 5 } shape { dim: 4 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
        convolution_param { num_output: 6 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "left" type: "InnerProduct" bottom: "c" top: "left"
        inner_product_param { num_output: 64 weight_filler { type: "msra" } } }
layer { name: "right" type: "InnerProduct" bottom: "c" top: "right" param { lr_mult: 2 }
        inner_product_param { num_output: 64 weight_filler { type: "msra" } } }
layer { name: "sum" type: "Eltwise" bottom: "left" bottom: "right" top: "sum" }
layer { name: "ip" type: "InnerProduct" bottom: "sum" top: "ip"
        inner_product_param { num_output: 5 weight_filler { type: "msra" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
RULES = {
    "SGD": 'type: "SGD" momentum: 0.9',
    "Adam": 'type: "Adam" momentum: 0.9',
    "L1": 'type: "Nesterov" momentum: 0.9 regularization_type: "L1"',
}
WHOLE = {
    "clipping": 'type: "SGD" clip_gradients: 0.5',
    "LARS": 'type: "LARS" momentum: 0.9',
}


def batches(sizes: tuple[int, ...]) -> list[dict[str, Array]]:
    random = np.random.default_rng(4)
    return [
        {
            "data": random.standard_normal((size, 3, 5, 5), np.float32),
            "label": random.integers(0, 5, size).astype(np.float32),
        }
        for size in sizes
    ]


def solver(text: str, sizes: tuple[int, ...] = (4, 4, 4, 4), **given: Any) -> Solver:
    text = f"""net_param {{ {NET} }} base_lr: 0.01 lr_policy: "fixed" weight_decay: 0.01
    random_seed: 3 snapshot_after_train: false max_iter: 50 {text}"""
    source = netc.Source("solver.prototxt", text)
    return Solver(source, feeds=batches(sizes), **{"threads": 1, **given})


def trained(made: Solver, iterations: int = 4) -> list[Array]:
    """Losses, parameters and histories."""
    losses = made.step(iterations)
    arrays = [a.copy() for arrays in made.params.values() for a in arrays]
    return [losses, *arrays, *(a.copy() for a in made.history)]


def assert_same(one: list[Array], other: list[Array]) -> None:
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.fixture(autouse=True)
def small_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands of a few rows, so that gradients of thousands of elements have several."""
    monkeypatch.setattr(fuse_updates, "BAND_BYTES", 150 * 4 * 24)


def whole(monkeypatch: pytest.MonkeyPatch, *given: Any, **named: Any) -> Solver:
    """A solver that sums whole gradients."""
    with monkeypatch.context() as patch:
        patch.setattr(step, "factors_of", lambda *_: {})
        return solver(*given, **named)


def factored(made: Solver) -> set[str]:
    return set(made._train.graphs.factors)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("passes", [2, 3])
def test_factors_give_the_numbers_of_sums(
    rule: str, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"{RULES[rule]} iter_size: {passes}"
    sums, kept = whole(monkeypatch, text), solver(text)
    assert not factored(sums) and factored(kept) == {"left/0", "right/0"}
    assert_same(trained(kept), trained(sums))


@pytest.mark.parametrize("threads", [2, 4])
def test_at_any_number_of_threads(threads: int) -> None:
    text = f"{RULES['SGD']} iter_size: 2"
    assert_same(trained(solver(text, threads=threads)), trained(solver(text)))


@pytest.mark.parametrize("optimize", [True, False])
def test_on_the_reference(optimize: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{RULES['Adam']} iter_size: 3"
    sums = whole(monkeypatch, text, backend="reference", optimize=optimize)
    kept = solver(text, backend="reference", optimize=optimize)
    assert_same(trained(kept), trained(sums))


def test_a_rate_that_waits_for_the_loss_keeps_factors_too(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'type: "SGD" momentum: 0.9 gamma: 0.5 plateau_winsize: 2'
    settings = {"fields": {"lr_policy": "plateau"}}
    sums, kept = whole(monkeypatch, text, **settings), solver(text, **settings)
    assert factored(kept)
    assert_same(trained(kept), trained(sums))


@pytest.mark.parametrize("rule", WHOLE)
def test_what_needs_a_norm_sums_whole_gradients(rule: str) -> None:
    made = solver(f"{WHOLE[rule]} iter_size: 2")
    assert not factored(made)
    assert np.isfinite(made.step(2)).all()


@pytest.mark.parametrize(
    "sizes", [(4, 3, 4), (3, 4, 4), (3, 3, 4, 4, 3, 3, 4), (2, 3, 4), (4, 4, 2)]
)
def test_passes_of_several_shapes(sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{RULES['SGD']} iter_size: 3"
    sums, kept = whole(monkeypatch, text, sizes), solver(text, sizes)
    assert factored(kept)
    monkeypatch.setattr(step, "factors_of", step.factors_of)
    assert_same(trained(kept, 6), trained(sums, 6))
    assert not factored(kept) or len(set(sizes)) == 1


def test_an_iteration_of_another_shape_keeps_its_own_factors() -> None:
    """The last iteration of an epoch may have smaller batches throughout."""
    made = solver(f"{RULES['SGD']} iter_size: 2", (4, 4, 3, 3))
    made.step(4)
    assert factored(made)


def test_memory_is_that_of_the_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{RULES['SGD']} iter_size: 2"
    sums, kept = whole(monkeypatch, text), solver(text)
    operations = [node.op for node in last_graph(kept).nodes]
    assert operations.count(NAME) == 2
    gradients, rows = 4 * 2 * 64 * 150, 4 * 4 * (150 + 64)
    saved = sums.report()["variable_bytes"] - kept.report()["variable_bytes"]
    assert saved == gradients - 2 * rows


def last_graph(made: Solver) -> Any:
    net = made._train.programs["update"]
    return net.executable(tuple(net.inputs.values())).graphs()[0]


def test_a_resumed_run_goes_on_bit_for_bit(tmp_path: Any) -> None:
    text = f'{RULES["SGD"]} iter_size: 2 snapshot_prefix: "{tmp_path}/run"'
    one = solver(text)
    one.step(2)
    state = one.snapshot().state
    one.step(2)
    other = solver(text, snapshot=state)
    other.step(2)
    for layer, arrays in one.params.items():
        for mine, theirs in zip(arrays, other.params[layer], strict=True):
            np.testing.assert_array_equal(mine, theirs)
