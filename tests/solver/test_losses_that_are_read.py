"""A loss whose blob another layer reads: what it counts in the gradient and in what is displayed.

BVLC/caffe: a weight in the loss is what a top's gradient holds at first (layer.hpp:393). A layer
that reads the top and passes a gradient writes over it, and below one that passes none there is no
backward pass (net.cpp:171); a weight that is written moves to a Split (insert_splits.cpp:78), whose
backward pass adds it to what the readers pass.
"""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.ir.graph import Array
from netc.lower.rules import NetState
from netc.solver import events, testing
from netc.solver.solver import Solver
from tests.solver.small import batches

NET = """
layer { name: "data" type: "Input" top: "data" top: "label"
        input_param { shape { dim: 4 dim: 6 } shape { dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" OWN }
"""
BASE = """base_lr: 0.5 lr_policy: "fixed" max_iter: 9 random_seed: 1 snapshot_after_train: false
test_iter: 1 test_interval: 1 test_compute_loss: true"""
TRIPLE = """layer { name: "triple" type: "Power" bottom: "loss" top: "triple" loss_weight: 0.5
                    power_param { scale: 3 } BELOW }"""
SQUARE = 'layer { name: "square" type: "Power" bottom: "loss" top: "s" power_param { power: 2 } }'
SILENCE = 'layer { name: "silence" type: "Silence" bottom: "loss" }'


def ran(own: str = "", *readers: str) -> tuple[float, float, Array, Solver]:
    """The loss of the first iteration, that of its test, and the step of the weights."""
    text = NET.replace("OWN", own) + "".join(readers)
    made = Solver(f"net_param {{ {text} }} {BASE}", feeds=batches(1), test_feeds=[batches(1)])
    before, tested = made.params["ip"][0].copy(), list[events.Event]()
    made.listeners.append(tested.append)
    (loss,) = made.step(1)
    (test,) = (event for event in tested if isinstance(event, events.Tested))
    assert test.loss is not None
    return float(loss), test.loss, before - made.params["ip"][0], made


PLAIN = ran()

# In parts of the loss: what the gradient is, and what is displayed.
CASES = {
    "alone": ("", (), 1, 1),
    "written": ("loss_weight: 2", (), 2, 2),
    "read": ("", (TRIPLE.replace("BELOW", ""),), 1.5, 1 + 1.5),
    "read and written": ("loss_weight: 2", (TRIPLE.replace("BELOW", ""),), 2 + 1.5, 1 + 2 + 1.5),
    "read twice": ("", (TRIPLE.replace("BELOW", ""), SILENCE), 1.5, 1 + 1.5),
    "read twice and written": (
        "loss_weight: 2", (TRIPLE.replace("BELOW", ""), SILENCE), 2 + 1.5, 1 + 2 + 1.5,
    ),
    "read by what is no loss": ("", (SQUARE,), 0, 1),
    "silenced": ("", (SILENCE,), 0, 1),
    "written and read by what is no loss": ("loss_weight: 2", (SQUARE,), 2, 1 + 2),
    "written and silenced": ("loss_weight: 1", (SILENCE,), 1, 1 + 1),
    "no gradient passes": (
        "", (TRIPLE.replace("BELOW", "propagate_down: false"),), 0, 1 + 1.5,
    ),
    "weight 0": ("loss_weight: 0", (TRIPLE.replace("BELOW", ""),), 1.5, 1.5),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_gradient_and_what_is_displayed(name: str) -> None:
    own, readers, gradient, displayed = CASES[name]
    loss, tested, step, _ = ran(own, *readers)
    np.testing.assert_allclose(step, gradient * PLAIN[2], rtol=1e-5, atol=1e-7)
    assert loss == pytest.approx(displayed * PLAIN[0], rel=1e-5)
    assert tested == pytest.approx(displayed * PLAIN[0], rel=1e-5)


def test_netc_test_displays_the_same() -> None:
    text = NET.replace("OWN", "loss_weight: 2") + SILENCE
    tester = testing.Tester(
        netc.Source("net", text), [dict(PLAIN[3].params)], state=NetState("TRAIN"), feeds=batches(1)
    )
    scores = tester.score(1)
    (name,) = scores.means
    assert name == "loss_loss_0_split_0"
    assert scores.loss == pytest.approx(3 * float(scores.means[name]), rel=1e-6)


def test_gradients_of_a_compiled_net() -> None:
    feeds, weights = batches(1)[0], dict(PLAIN[3].params)

    def of(own: str, *readers: str) -> Array:
        text = NET.replace("OWN", own) + "".join(readers)
        net = netc.compile(netc.Source("net", text), weights, phase="TRAIN")
        return net.gradients(feeds).params["ip"][0]

    plain = of("")
    np.testing.assert_allclose(of("", TRIPLE.replace("BELOW", "")), 1.5 * plain, rtol=1e-5)


def test_the_note_says_so() -> None:
    (found,) = [d for d in ran("", TRIPLE.replace("BELOW", ""))[3].diagnostics]
    assert (found.code, found.severity) == ("loss-weight-lost", "note")
    assert found.span is not None and found.span.line == 6
    assert not ran("loss_weight: 2", TRIPLE.replace("BELOW", ""))[3].diagnostics
    (found,) = [d for d in ran("", SILENCE)[3].diagnostics]
    assert (found.code, found.severity) == ("loss-weight-lost", "warning")
    assert not ran("loss_weight: 1", SILENCE)[3].diagnostics


SLICED = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 6 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "slice" type: "Slice" bottom: "ip" top: "a" top: "b"
        loss_weight: 1 loss_weight: 10 slice_param { axis: 1 } }
READER
"""


def test_weights_beside_one_that_moved_do_not_count() -> None:
    """Caffe clears all weights of the layer (insert_splits.cpp:83)."""
    feeds = [{"data": np.ones((4, 6), np.float32)}]

    def steps(reader: str) -> tuple[list[float], Solver]:
        text = f"net_param {{ {SLICED.replace('READER', reader)} }} {BASE.partition('test')[0]}"
        made = Solver(text, feeds=feeds)
        before = made.params["ip"][1].copy()
        made.step(1)
        return (before - made.params["ip"][1]).tolist(), made

    assert steps("")[0] == pytest.approx([0.5 * 4, 0.5 * 40])
    moved, made = steps('layer { name: "s" type: "Silence" bottom: "a" }')
    assert moved == pytest.approx([0.5 * 4, 0])
    (found,) = made.diagnostics
    assert (found.code, found.severity) == ("loss-weight-lost", "warning")
    assert "10 of top 1" in found.message
