"""Values made again for the backward pass: the same numbers to the bit, in less memory."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from netc.ir.graph import Array
from netc.ops.gradient import NAME
from netc.plan.needs import live_bytes
from netc.solver.solver import Solver

MSRA = 'weight_filler { type: "msra" }'


def block(number: int, below: str) -> str:
    """A convolution with BatchNorm and Dropout, a branch beside it, and their concatenation."""
    return f"""
layer {{ name: "c{number}" type: "Convolution" bottom: "{below}" top: "c{number}"
        convolution_param {{ num_output: 8 kernel_size: 3 pad: 1 {MSRA} }} }}
layer {{ name: "b{number}" type: "BatchNorm" bottom: "c{number}" top: "b{number}" }}
layer {{ name: "s{number}" type: "Scale" bottom: "b{number}" top: "b{number}" }}
layer {{ name: "r{number}" type: "ReLU" bottom: "b{number}" top: "b{number}" }}
layer {{ name: "d{number}" type: "Dropout" bottom: "b{number}" top: "d{number}" }}
layer {{ name: "e{number}" type: "Convolution" bottom: "{below}" top: "e{number}"
        convolution_param {{ num_output: 4 kernel_size: 1 {MSRA} }} }}
layer {{ name: "t{number}" type: "TanH" bottom: "e{number}" top: "t{number}" }}
layer {{ name: "j{number}" type: "Concat" bottom: "d{number}" bottom: "t{number}"
        top: "j{number}" }}
"""


NET = f"""
layer {{ name: "data" type: "Input" top: "data" top: "label"
        input_param {{ shape {{ dim: 6 dim: 3 dim: 12 dim: 12 }} shape {{ dim: 6 }} }} }}
{block(1, "data")}{block(2, "j1")}
layer {{ name: "p" type: "Pooling" bottom: "j2" top: "p" pooling_param {{ kernel_size: 2 stride: 2 }} }}
{block(3, "p")}{block(4, "j3")}
layer {{ name: "ip" type: "InnerProduct" bottom: "j4" top: "ip"
        inner_product_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""  # noqa: E501
TEXT = f"""net_param {{ {NET} }} base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 max_iter: 5
random_seed: 3 snapshot_after_train: false """


def batches() -> list[dict[str, Array]]:
    random = np.random.default_rng(4)
    return [
        {
            "data": random.standard_normal((6, 3, 12, 12), np.float32),
            "label": random.integers(0, 5, 6).astype(np.float32),
        }
        for _ in range(3)
    ]


def solver(more: str = "", **given: Any) -> Solver:
    source = netc.Source("solver.prototxt", TEXT + more)
    return Solver(source, feeds=batches(), threads=1, **given)


def held(made: Solver) -> int:
    """Bytes of variables and of the largest program's blobs."""
    report = made.report()
    arenas = (program.get("arena_bytes", 0) for program in report["programs"].values())
    return int(report["variable_bytes"]) + max(arenas)


@cache
def plain(backend: str, more: str = "") -> tuple[Array, tuple[Array, ...], int]:
    """Losses and parameters of four iterations, and the memory taken."""
    made = solver(more, backend=backend)
    size = held(made)
    if backend == "reference":
        size += live_bytes(made._train.graphs.first)
    losses = made.step(4)
    return losses, tuple(a.copy() for arrays in made.params.values() for a in arrays), size


@pytest.mark.parametrize("more", ["", "iter_size: 2 clip_gradients: 0.5"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("share", [0.9, 0.78])
def test_results_are_the_same_to_the_bit_in_less_memory(
    share: float, backend: str, more: str
) -> None:
    losses, params, size = plain(backend, more)
    made = solver(more, backend=backend, memory=int(share * size))
    assert made.report()["recomputed"]
    if backend == "cpu":
        assert held(made) <= share * size
    np.testing.assert_array_equal(made.step(4), losses)
    mine = [array for arrays in made.params.values() for array in arrays]
    for one, other in zip(mine, params, strict=True):
        np.testing.assert_array_equal(one, other)


def again(share: float) -> list[str]:
    found = solver(memory=int(share * plain("cpu")[2])).report()["recomputed"]
    return [name for name in found if name[0] in "ce" or name == "ip"]


def test_convolutions_come_last() -> None:
    assert again(0.88) == []
    assert again(0.72) != []


def test_nothing_runs_twice_where_it_fits() -> None:
    assert solver(memory=plain("cpu")[2]).report()["recomputed"] == []


def test_too_little_says_by_how_much() -> None:
    with pytest.raises(NetcError) as caught:
        solver(memory="100 KB")
    (found,) = caught.value.diagnostics
    assert found.code == "too-little-memory"
    assert found.message.startswith("blobs and gradients need 0.")
    assert "at the least, 0." in found.message and "and there are 0.1 MiB" in found.message
    assert "MiB are missing" in found.help[0]


def test_too_little_for_the_parameters_alone() -> None:
    with pytest.raises(NetcError, match=r"parameters and history need .* and there are 0\.0 MiB"):
        solver(memory=1000)


def test_gradients_of_a_compiled_net() -> None:
    feeds = batches()[0]
    net = netc.compile(text=NET, phase="TRAIN", seed=3)
    want = net.gradients(feeds)
    limit = sum(a.nbytes for arrays in net.params.values() for a in arrays) + 270_000
    with pytest.raises(NetcError, match="blobs and gradients need"):
        netc.compile(text=NET, phase="TRAIN", seed=3, memory=limit - 150_000).gradients(feeds)
    small = netc.compile(text=NET, phase="TRAIN", seed=3, memory=limit)
    got = small.gradients(feeds)
    for layer, arrays in want.params.items():
        for one, other in zip(got.params[layer], arrays, strict=True):
            np.testing.assert_array_equal(one, other)


def test_running_averages_stand_behind_their_layers() -> None:
    """At the end they would keep what they read alive."""
    graph = solver()._train.graphs.first
    places = {node.name: index for index, node in enumerate(graph.nodes)}
    turn = next(i for i, node in enumerate(graph.nodes) if node.op == NAME)
    assert places["b1~running"] == places["b1"] + 1 < turn
