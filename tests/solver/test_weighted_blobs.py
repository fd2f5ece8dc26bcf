"""Blobs that count in the loss and are read as well: the first copies of Caffe's Splits.

BVLC/caffe src/caffe/util/insert_splits.cpp: a use of a top as a loss is a use like any other.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import netc
from netc.lower.rules import NetState
from netc.solver import events, testing
from netc.solver.log import CaffeLog
from netc.solver.solver import Solver
from tests.solver.small import BASE, batches

NET = """
layer { name: "data" type: "Input" top: "data" top: "label"
        input_param { shape { dim: 4 dim: 6 } shape { dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" loss_weight: 0.01
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
RELU
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "other" type: "ReLU" bottom: "data" top: "relu" include { phase: TEST } }
"""
RELU = 'layer { name: "relu" type: "ReLU" bottom: "ip" top: "ip" }'
NAME, WEIGHT = "ip_ip_0_split_0", float(np.float32(0.01))


def ran(more: str = "", relu: str = "") -> tuple[Solver, list[events.Event]]:
    text = f"net_param {{ {NET.replace('RELU', relu)} }} {BASE} display: 1 random_seed: 1 {more}"
    made = Solver(text, feeds=batches(), test_feeds=[batches()])
    found: list[events.Event] = []
    made.listeners.append(found.append)
    made.step(1)
    return made, found


@pytest.mark.parametrize("relu", ["", RELU])
def test_what_is_displayed(relu: str) -> None:
    _, found = ran(relu=relu)
    (shown,) = [e for e in found if isinstance(e, events.Displayed)]
    assert list(shown.outputs) == [NAME, "loss"]
    assert shown.weights == {NAME: WEIGHT, "loss": 1.0}
    assert shown.outputs[NAME].shape == (4, 3)
    total = 0.01 * shown.outputs[NAME].sum() + shown.outputs["loss"].sum()
    assert shown.loss == pytest.approx(float(total), rel=1e-5)


def test_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as stream:
        log = CaffeLog(stream, 1)
        for event in ran()[1]:
            log(event)
    lines = [line.partition("] ")[2] for line in path.read_text().splitlines()]
    own = [line for line in lines if line.startswith("    Train net output #")]
    assert len(own) == 13
    assert own[0].startswith(f"    Train net output #0: {NAME} = ")
    assert own[0].endswith(" loss)") and " (* 0.01 = " in own[0]
    assert own[12].startswith("    Train net output #12: loss = ")


def test_scores_of_a_test_net() -> None:
    _, found = ran("test_iter: 2 test_interval: 1")
    (tested,) = [e for e in found if isinstance(e, events.Tested)]
    assert list(tested.scores) == [NAME, "loss", "relu"]
    assert tested.weights == {NAME: WEIGHT, "loss": 1.0}
    (testing,) = [e for e in found if isinstance(e, events.Testing)]
    assert testing.ignored == ()  # both have the Split


def test_scores_of_netc_test() -> None:
    made = ran()[0]
    text = netc.Source("net", NET.replace("RELU", ""))
    tester = testing.Tester(text, [dict(made.params)], state=NetState("TRAIN"), feeds=batches())
    scores = tester.score(2)
    assert list(scores.means) == [NAME, "loss"]
    assert scores.weights == {NAME: WEIGHT, "loss": 1.0}
    total = 0.01 * np.sum(scores.means[NAME]) + np.sum(scores.means["loss"])
    assert scores.loss == pytest.approx(float(total), rel=1e-5)


def test_a_split_that_the_test_net_lacks_is_told() -> None:
    own = NET.replace("loss_weight: 0.01", "").replace("RELU", "")
    net = NET.replace("RELU", "")
    more = f"test_net_param {{ {own} }} test_iter: 1 test_interval: 1"
    text = f"train_net_param {{ {net} }} {BASE} {more}"
    made = Solver(text, feeds=batches(), test_feeds=[batches()])
    found: list[events.Event] = []
    made.listeners.append(found.append)
    made.step(1)
    (testing,) = [e for e in found if isinstance(e, events.Testing)]
    assert testing.ignored == ("ip_ip_0_split",)


def test_debug_info_has_the_split() -> None:
    _, found = ran("debug_info: true")
    lines = [line.text for e in found if isinstance(e, events.Debug) for line in e.lines]
    heads = [line.rpartition(": ")[0].strip() for line in lines]
    at = heads.index("[Forward] Layer ip_ip_0_split, top blob ip_ip_0_split_0 data")
    assert heads[at + 1] == "[Forward] Layer ip_ip_0_split, top blob ip_ip_0_split_1 data"
    assert "[Backward] Layer loss, bottom blob ip_ip_0_split_1 diff" in heads
    assert "[Backward] Layer ip_ip_0_split, bottom blob ip diff" in heads
