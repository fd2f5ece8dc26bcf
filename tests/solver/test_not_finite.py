"""The first number that is not finite: where it is, and which gradients grew before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.solver.solver import Solver

NET = """
layer { name: "data" type: "Input" top: "data" top: "label"
        input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } } }
layer { name: "one" type: "InnerProduct" bottom: "data" top: "one"
        inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "two" type: "InnerProduct" bottom: "one" top: "two"
        inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 0.5 } } }
EXTRA
layer { name: "loss" type: "EuclideanLoss" bottom: "two" bottom: "label" top: "loss" }
"""


def batch(number: int) -> dict[str, Array]:
    random = np.random.default_rng(number)
    return {
        "data": random.standard_normal((4, 3), np.float32),
        "label": random.standard_normal((4, 2), np.float32),
    }


def solver(extra: str = "", more: str = "base_lr: 2", **given: Any) -> Solver:
    net = NET.replace("EXTRA", extra)
    text = f'net_param {{ {net} }} lr_policy: "fixed" max_iter: 500 random_seed: 1 {more}'
    return Solver(text, **{"feeds": batch, **given})


def diverged(made: Solver) -> Diagnostic:
    with pytest.raises(NetcError) as caught:
        made.step(500)
    (found,) = caught.value.diagnostics
    assert found.code == "not-finite"
    return found


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(
    "more", ["base_lr: 2", "base_lr: 2 iter_size: 2", "base_lr: 2 momentum: 0.9"]
)
def test_layer_blob_and_the_gradients_that_grew(more: str, backend: str) -> None:
    found = diverged(solver(more=more, backend=backend))
    assert "at a rate of 2" in found.message
    notes = [note.message for note in found.notes]
    assert notes[0].startswith("first in ") and " of layer `" in notes[0]
    grown = [note for note in notes if note.startswith("the gradient of `")]
    assert grown and all("grew: norm " in note for note in grown)


def test_the_layer_is_the_one_that_makes_it() -> None:
    log = 'layer { name: "log" type: "Log" bottom: "two" top: "two" }'
    found = diverged(solver(log, "base_lr: 0.001"))
    assert found.notes[0].message.startswith("first in blob `two` of layer `log`: ")
    assert found.notes[0].message.endswith("of 8 numbers")
    assert "in iteration 0" in found.message


def test_a_parameter_that_was_written_to() -> None:
    made = solver()
    made.params["one"][1][2] = np.inf
    found = diverged(made)
    assert found.notes[0].message == "first in parameter 1 of layer `one`: 1 of 4 numbers"


def test_the_solver_stands_before_the_iteration_that_failed() -> None:
    made = solver()
    diverged(made)
    failed = made.iteration
    again = solver()
    again.step(failed)
    for layer in ("one", "two"):
        for one, other in zip(made.params[layer], again.params[layer], strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_cannot_be_gone_back_to_is_told_without_notes() -> None:
    found = diverged(solver(feeds=(batch(number) for number in range(500))))
    assert found.notes == ()


def test_the_smallest_float_is_explained() -> None:
    assert any("87.3365" in text for text in diverged(solver()).help)


def test_more_iterations_than_are_copied() -> None:
    def late(number: int) -> dict[str, Array]:
        made = batch(number)
        return made if number < 120 else {**made, "data": made["data"] * np.float32(np.inf)}

    found = diverged(solver(more="base_lr: 0.01", feeds=late))
    assert "in iteration 120" in found.message
    assert found.notes[0].message.startswith("first in blob `one` of layer `one`: ")


def test_the_rate_of_policies_that_wait_for_the_loss() -> None:
    plateau = {"lr_policy": "plateau", "gamma": "0.1", "plateau_winsize": "1000"}
    assert "at a rate of 2 " in diverged(solver(fields=plateau)).message
