"""`debug_info`: Caffe's lines on a net with Splits, shared parameters and BatchNorm."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import netc
from netc.ir.graph import Array
from netc.solver import events
from netc.solver.solver import Solver

FILL = 'weight_filler { type: "gaussian" std: 0.3 }'
NET = f"""
name: "debugged"
layer {{ name: "data" type: "Input" top: "data" top: "label"
        input_param {{ shape {{ dim: 4 dim: 6 }} shape {{ dim: 4 }} }} }}
layer {{ name: "low" type: "InnerProduct" bottom: "data" top: "low" param {{ lr_mult: 0 }}
        param {{ lr_mult: 0 }} inner_product_param {{ num_output: 6 {FILL} }} }}
layer {{ name: "a" type: "InnerProduct" bottom: "low" top: "a" param {{ name: "w" }}
        inner_product_param {{ num_output: 6 bias_term: false {FILL} }} }}
layer {{ name: "norm" type: "BatchNorm" bottom: "a" top: "a" }}
layer {{ name: "b" type: "InnerProduct" bottom: "a" top: "b" param {{ name: "w" }}
        inner_product_param {{ num_output: 6 bias_term: false {FILL} }} }}
layer {{ name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }}
layer {{ name: "relu" type: "ReLU" bottom: "sum" top: "sum" }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "sum" bottom: "label" top: "loss" }}
"""
BASE = 'base_lr: 0.1 lr_policy: "fixed" max_iter: 4 snapshot_after_train: false debug_info: true '


def batches() -> list[dict[str, Array]]:
    random = np.random.default_rng(1)
    return [
        {
            "data": random.standard_normal((4, 6), np.float32),
            "label": random.integers(0, 6, 4).astype(np.float32),
        }
        for _ in range(3)
    ]


def solver(more: str = "display: 2", **given: Any) -> tuple[Solver, list[events.Debug]]:
    made = Solver(f"net_param {{ {NET} }} {BASE} {more}", feeds=batches(), seed=2, **given)
    found: list[events.Debug] = []
    made.listeners.append(
        lambda event: found.append(event) if isinstance(event, events.Debug) else None
    )
    return made, found


def numbers(lines: tuple[events.LogLine, ...]) -> dict[str, float]:
    """What stands before the colon -> the number, of one pass."""
    found = {}
    for _, _, text in lines:
        match = re.fullmatch(r" {4}\[(\w+)\] Layer (.*): (\S+)", text)
        if match:
            found[f"{match[1]} {match[2]}"] = float(match[3])
    return found


def mean(array: Array) -> float:
    return float(np.abs(array).mean())


ORDER = [
    "Forward data, top blob data data",
    "Forward data, top blob label data",
    "Forward low, top blob low data",
    "Forward low, param blob 0 data",
    "Forward low, param blob 1 data",
    "Forward a, top blob a data",
    "Forward a, param blob w data",
    "Forward norm, top blob a data",
    *(f"Forward norm, param blob {i} data" for i in range(3)),
    "Forward a_norm_0_split, top blob a_norm_0_split_0 data",
    "Forward a_norm_0_split, top blob a_norm_0_split_1 data",
    "Forward b, top blob b data",
    "Forward b, param blob w data",
    "Forward sum, top blob sum data",
    "Forward relu, top blob sum data",
    "Forward loss, top blob loss data",
    "Backward loss, bottom blob sum diff",
    "Backward relu, bottom blob sum diff",
    "Backward sum, bottom blob a_norm_0_split_1 diff",
    "Backward sum, bottom blob b diff",
    "Backward b, bottom blob a_norm_0_split_0 diff",
    "Backward b, param blob 0 diff",
    "Backward a_norm_0_split, bottom blob a diff",
    "Backward norm, bottom blob a diff",
    *(f"Backward norm, param blob {i} diff" for i in range(3)),
    "Backward a, param blob 0 diff",
]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_lines_stand_in_caffes_order_with_its_numbers(backend: str) -> None:
    made, found = solver(backend=backend)
    net = made.net
    batch = batches()[0]
    weights = [array.copy() for array in made.params["a"]]
    gradients = net.gradients(batch, wrt=("b",))
    made.step(1)
    (first,) = found
    got = numbers(first.lines)
    assert list(got) == ORDER
    want = {
        "Forward data, top blob data data": mean(batch["data"]),
        "Forward a, param blob w data": mean(weights[0]),
        "Forward loss, top blob loss data": float(gradients.outputs["loss"]),
        "Backward b, param blob 0 diff": got["Backward b, param blob 0 diff"],
        "Backward sum, bottom blob b diff": mean(gradients.blobs["b"]),
        "Backward a, param blob 0 diff": mean(gradients.params["a"][0]),  # the sum of both uses
        "Backward norm, param blob 0 diff": 0.0,
    }
    for name, number in want.items():
        assert got[name] == pytest.approx(number, rel=1e-4, abs=1e-7), name


def test_totals_are_an_error_as_in_caffe_and_count_shared_parameters_once() -> None:
    made, found = solver()
    data = [made.params["low"][0], made.params["low"][1], made.params["a"][0]]
    data += list(made.params["norm"])
    l1 = sum(float(np.abs(a).sum()) for a in data)
    norm = float(np.sqrt(sum(float(np.square(a).sum()) for a in data)))
    gradient = made.net.gradients(batches()[0]).params["a"][0]
    made.step(1)
    severity, place, text = found[0].lines[-1]
    assert (severity, place) == ("E", "net.cpp:721")
    got = [float(number) for number in re.findall(r"\d+\.\d+", text)]
    want = [l1, float(np.abs(gradient).sum()), norm, float(np.sqrt(np.square(gradient).sum()))]
    assert got == pytest.approx(want, rel=1e-4)


def test_displayed_iterations_alone_are_told() -> None:
    made, found = solver()
    made.step(4)
    assert [event.iteration for event in found] == [0, 2]


def test_gradients_add_up_over_the_passes_of_an_iteration() -> None:
    made, found = solver("display: 1 iter_size: 2")
    each = [made.net.gradients(batch).params["a"][0] for batch in batches()[:2]]
    made.step(1)
    got = [numbers(event.lines)["Backward a, param blob 0 diff"] for event in found]
    assert got == pytest.approx([mean(each[0]), mean(each[0] + each[1])], rel=1e-4)


def test_looking_changes_nothing() -> None:
    made, _ = solver("display: 1 momentum: 0.9")
    text = f"net_param {{ {NET} }} {BASE} momentum: 0.9".replace("debug_info: true", "")
    plain = Solver(text, feeds=batches(), seed=2)
    np.testing.assert_array_equal(made.step(4), plain.step(4))
    for one, other in zip(made.params["norm"], plain.params["norm"], strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_pass_of_a_test_is_told_forward_alone() -> None:
    made, found = solver("test_iter: 2 test_interval: 100", test_feeds=[batches()])
    scores = made.test()
    assert list(scores) == ["loss"]
    assert len(found) == 2
    assert all("Backward" not in text for event in found for _, _, text in event.lines)
    assert netc.Solver is Solver
