"""Layers that draw: a key as an input of the graph, the same masks forward and backward."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.backends import reference
from netc.diagnostics import NetcError, Source
from netc.ops.catalog import CATALOG
from netc.ops.python import PYTHON
from netc.ops.random import generator_key
from netc.train.differentiate import differentiate
from netc.train.generator import KEY, with_generator

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 3 dim: 4 dim: 6 dim: 6 } } }
layer { name: "op" bottom: "x" top: "y" %s }
"""
DRAWING = {
    "Dropout": 'type: "Dropout"',
    "Dropout by 0.3": 'type: "Dropout" dropout_param { dropout_ratio: 0.3 }',
    "DropPath": 'type: "DropPath" drop_path_param { survival_ratio: 0.5 }',
    "DropPath of items": 'type: "DropPath" drop_path_param { per_sample: true }',
    "Pooling": 'type: "Pooling" pooling_param { pool: STOCHASTIC kernel_size: 3 stride: 2 }',
    "SPP": 'type: "SPP" spp_param { pool: STOCHASTIC pyramid_height: 2 }',
}


def graph_of(text: str, phase: str = "TRAIN"):
    return netc.compile(Source("net.prototxt", NET % text), backend="reference", phase=phase).graph


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).random((3, 4, 6, 6), dtype=np.float32) + 0.1


@pytest.mark.parametrize("text", DRAWING.values(), ids=DRAWING)
def test_iterations_draw_anew_and_a_key_of_zeros_draws_as_none_does(text: str, x) -> None:
    plain, keyed = graph_of(text), with_generator(graph_of(text))
    assert keyed.inputs == ("x", KEY)

    def run(seed: int, iteration: int) -> np.ndarray:
        return reference.run(keyed, {"x": x, KEY: generator_key(seed, iteration)})["y"]

    np.testing.assert_array_equal(run(0, 0), reference.run(plain, {"x": x})["y"])
    np.testing.assert_array_equal(run(3, 9), run(3, 9))
    assert any((run(0, i) != run(0, 0)).any() for i in range(1, 9))  # DropPath has two outcomes
    assert any((run(i, 0) != run(0, 0)).any() for i in range(1, 9))


@pytest.mark.parametrize("text", DRAWING.values(), ids=DRAWING)
def test_a_backward_pass_draws_what_the_forward_pass_drew(text: str, x) -> None:
    keyed = with_generator(graph_of(text))
    joint = differentiate(keyed, values=("x",), seeds=("y",))
    rng = np.random.default_rng(1)
    seed = rng.random(keyed.shape("y"), dtype=np.float32)
    for key in (generator_key(0, 0), generator_key(5, 77)):
        feeds = {"x": x, KEY: key, joint.seeds["y"]: seed}
        made = reference.run(joint.graph, feeds)
        # All of these are linear in x once it is drawn what passes: y . seed = x . dx.
        want = float((made["y"] * seed).sum())
        assert float((made[joint.values["x"]] * x).sum()) == pytest.approx(want, rel=1e-4)


def test_a_graph_that_draws_nothing_has_no_key() -> None:
    for text, phase in (('type: "ReLU"', "TRAIN"), ('type: "Dropout"', "TEST")):
        graph = graph_of(text, phase)
        assert with_generator(graph) is graph


def test_a_second_time_changes_nothing() -> None:
    keyed = with_generator(graph_of('type: "Dropout"'))
    assert with_generator(keyed) is keyed


def test_the_keys_name_is_taken() -> None:
    text = (NET % 'type: "Dropout"').replace('"y"', f'"{KEY}"')
    graph = netc.compile(Source("net.prototxt", text), backend="reference", phase="TRAIN").graph
    with pytest.raises(NetcError) as error:
        with_generator(graph)
    assert error.value.diagnostics[0].code == "reserved-name"
    assert str(error.value).startswith("net.prototxt:3:")


def test_whoever_draws_says_so() -> None:
    """One that draws has a fixed number of inputs: the key is the one behind them.

    A Python layer has as many as the built-in layer that stands for it, and the params of an
    EntropyLoss, of FlowNet's augmentation and of Ristretto's layers have the number of their
    bottoms.
    """
    counted = {
        "EntropyLoss", "DataAugmentation", "GenerateAugmentationParameters", "LpqLoss",
        "ConvolutionRistretto", "FcRistretto",
    }  # fmt: skip
    for name, op in CATALOG.items():
        least, most = op.arity.bottoms
        fixed = least == most or op is PYTHON or name in counted
        assert op.draws is None or fixed, name
