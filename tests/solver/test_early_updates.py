"""Updates right behind their gradients, and in bands: the numbers of late ones, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.ir.graph import Array
from netc.ops.gradient_update import NAME, updated_by
from netc.ops.update_rules import UpdateRule
from netc.passes import fuse_updates
from netc.passes.base import Log
from netc.passes.pipeline import ALL
from netc.passes.update_early import update_early
from netc.solver.solver import Solver
from netc.train.distribute import Distribution
from netc.train.step import Updating, step_graphs

LATE = [item.name for item in ALL if not item.in_place]
EARLY = [item.name for item in ALL]
FILLER = 'weight_filler { type: "msra" }'
NET = f"""
layer {{ name: "data" type: "Input" top: "data" top: "label"
        input_param {{ shape {{ dim: 4 dim: 3 dim: 9 dim: 9 }} shape {{ dim: 4 }} }} }}
layer {{ name: "c1" type: "Convolution" bottom: "data" top: "c1"
        param {{ lr_mult: 1 }} param {{ lr_mult: 2 decay_mult: 0 }}
        convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 {FILLER} }} }}
layer {{ name: "b1" type: "BatchNorm" bottom: "c1" top: "b1" }}
layer {{ name: "s1" type: "Scale" bottom: "b1" top: "s1" scale_param {{ bias_term: true }} }}
layer {{ name: "r1" type: "ReLU" bottom: "s1" top: "s1" }}
layer {{ name: "c2" type: "Convolution" bottom: "s1" top: "c2" param {{ name: "shared" }}
        convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 bias_term: false {FILLER} }} }}
layer {{ name: "c3" type: "Convolution" bottom: "c2" top: "c3" param {{ name: "shared" }}
        convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 bias_term: false {FILLER} }} }}
layer {{ name: "still" type: "Convolution" bottom: "c3" top: "still" param {{ lr_mult: 0 }}
        convolution_param {{ num_output: 6 kernel_size: 1 bias_term: false {FILLER} }} }}
layer {{ name: "ip1" type: "InnerProduct" bottom: "still" top: "ip1"
        inner_product_param {{ num_output: 53 {FILLER} }} }}
layer {{ name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" param {{ name: "square" }}
        inner_product_param {{ num_output: 53 bias_term: false {FILLER} }} }}
layer {{ name: "ip3" type: "InnerProduct" bottom: "ip2" top: "ip3" param {{ name: "square" }}
        inner_product_param {{ num_output: 53 bias_term: false {FILLER} }} }}
layer {{ name: "ip4" type: "InnerProduct" bottom: "ip3" top: "ip4"
        inner_product_param {{ num_output: 5 {FILLER} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip4" bottom: "label" top: "loss" }}
"""
RULES = {
    "SGD": 'type: "SGD" momentum: 0.9',
    "without momentum": 'type: "SGD"',
    "Nesterov": 'type: "Nesterov" momentum: 0.9',
    "AdaGrad": 'type: "AdaGrad"',
    "RMSProp": 'type: "RMSProp"',
    "AdaDelta": 'type: "AdaDelta" momentum: 0.95 delta: 1e-6',
    "Adam": 'type: "Adam" momentum: 0.9',
    "AMSGrad": 'type: "AMSGrad" momentum: 0.9',
    "AdaMax": 'type: "AdaMax" momentum: 0.9',
    "AdamW": 'type: "AdamW" momentum: 0.9',
    "LARS": 'type: "LARS" momentum: 0.9',
    "L1": 'type: "SGD" momentum: 0.9 regularization_type: "L1"',
}


def batches() -> list[dict[str, Array]]:
    random = np.random.default_rng(4)
    return [
        {
            "data": random.standard_normal((4, 3, 9, 9), np.float32),
            "label": random.integers(0, 5, 4).astype(np.float32),
        }
        for _ in range(3)
    ]


def solver(text: str, optimize: list[str], **given: Any) -> Solver:
    text = f"""net_param {{ {NET} }} base_lr: 0.01 lr_policy: "fixed" weight_decay: 0.01
    random_seed: 3 snapshot_after_train: false max_iter: 5 {text}"""
    source = netc.Source("solver.prototxt", text)
    return Solver(source, feeds=batches(), optimize=optimize, **{"threads": 1, **given})


def trained(made: Solver) -> list[Array]:
    """Losses, parameters and histories after four iterations."""
    losses = made.step(4)
    arrays = [a.copy() for arrays in made.params.values() for a in arrays]
    return [losses, *arrays, *(a.copy() for a in made.history)]


def assert_same(one: list[Array], other: list[Array]) -> None:
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.fixture(autouse=True)
def small_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands of a few rows, so that gradients of hundreds of elements have several."""
    monkeypatch.setattr(fuse_updates, "BAND_BYTES", 53 * 6 * 4 * 9)


@pytest.mark.parametrize("rule", RULES)
def test_early_updates_give_the_numbers_of_late_ones(rule: str) -> None:
    late, early = (solver(RULES[rule], passes) for passes in (LATE, EARLY))
    assert_same(trained(early), trained(late))
    assert (NAME in operations(early)) == (rule != "LARS")


@pytest.mark.parametrize("threads", [2, 4])
def test_bands_are_the_same_at_any_number_of_threads(threads: int) -> None:
    one, other = (solver(RULES["Adam"], EARLY, threads=n) for n in (1, threads))
    assert_same(trained(other), trained(one))


@pytest.mark.parametrize("more", ["clip_gradients: 0.5", "iter_size: 2"])
def test_what_waits_for_all_gradients_is_as_before(more: str) -> None:
    late, early = (solver(f"{RULES['SGD']} {more}", passes) for passes in (LATE, EARLY))
    assert_same(trained(early), trained(late))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_frozen_layers(backend: str) -> None:
    late, early = (
        solver(RULES["SGD"], passes, freeze=["c1", "ip1"], backend=backend)
        for passes in (LATE, EARLY)
    )
    assert_same(trained(early), trained(late))


def test_the_reference_runs_the_fused_nodes() -> None:
    late, early = (solver(RULES["Adam"], passes, backend="reference") for passes in (LATE, EARLY))
    assert_same(trained(early), trained(late))


def test_with_values_made_again() -> None:
    whole = solver(RULES["SGD"], EARLY)
    report = whole.report()
    arena = report["programs"]["first"]["arena_bytes"]
    less = solver(RULES["SGD"], EARLY, memory=report["variable_bytes"] + int(0.95 * arena))
    assert less.report()["recomputed"]
    assert_same(trained(less), trained(whole))


def operations(made: Solver) -> list[str]:
    return [node.op for node in graph_of(made).nodes]


def graph_of(made: Solver) -> Any:
    net = made._train.programs["first"]
    return net.executable(tuple(net.inputs.values())).graphs()[0]


def test_every_update_is_in_its_variable_and_no_reader_follows() -> None:
    graph = graph_of(solver(RULES["SGD"], EARLY))
    updated = {value: variable for variable, value in graph.updates.items()}
    done: set[str] = set()
    for node in graph.nodes:
        read = {graph.parameters[name].owner or name for name in node.parameters}
        assert not read & done, node.name
        if updated_by(node):
            done |= {updated[value] for value in node.outputs}
    assert len(done) == 20


def test_gradients_are_not_held_together() -> None:
    late, early = (solver(RULES["SGD"], passes) for passes in (LATE, EARLY))
    arenas = [made.report()["programs"]["first"]["arena_bytes"] for made in (late, early)]
    gradients = 4 * (53 * 486 + 53 * 53)
    assert arenas[1] < arenas[0] - gradients // 2


def test_means_over_ranks_are_waited_for() -> None:
    net = netc.compile(text=NET, phase="TRAIN", backend="reference")
    how = Updating(UpdateRule("SGD"), distribution=Distribution("nobody"))
    graph, log = step_graphs(net.graph, how).first, Log()
    assert update_early(graph, log) is graph
    assert {remark.message for remark in log.remarks if remark.missed} == {
        "means over ranks are waited for when the backward pass has ended"
    }
    assert fuse_updates.fuse_updates(graph, log) is graph


def test_sums_over_passes_lie_in_their_variables() -> None:
    """The first pass writes gradients there, the next ones hold one gradient at a time."""
    made = solver(f"{RULES['SGD']} iter_size: 3", EARLY)
    sizes = {name: program["arena_bytes"] for name, program in made.report()["programs"].items()}
    largest = 4 * 53 * 486
    assert sizes["first"] < largest
    assert sizes["further"] < sizes["first"] + largest + 4096
    assert sizes["update"] < largest + 8192
