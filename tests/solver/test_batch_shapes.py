"""Batches of other shapes than the first: Caffe reshapes before each pass and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import netc
from netc.diagnostics import NetcError
from netc.ir.graph import Array
from netc.solver.solver import Solver
from tests.solver.small import BASE, NET, batches, solver

BACKENDS = ("reference", "cpu")
STILL, SLOW = (BASE.replace("0.5", rate) for rate in ("0", "1e-4"))


def rows(number: int, seed: int = 0) -> dict[str, Array]:
    """A batch of fewer rows."""
    return {name: array[:number] for name, array in batches(1, seed)[0].items()}


def by_hand(run: Solver, fed: list[dict[str, Array]], momentum: float) -> tuple[list[float], Array]:
    """Losses and the weights of softmax regression in NumPy, with a rate of 0.5."""
    w, b = (array.copy() for array in run.params["ip"])
    hw, hb, losses = np.zeros_like(w), np.zeros_like(b), []
    for batch in fed:
        x, label = batch["data"], batch["label"].astype(int)
        exp = np.exp(x @ w.T + b)
        prob = exp / exp.sum(1, keepdims=True)
        losses.append(float(-np.log(prob[range(len(x)), label]).mean()))
        prob[range(len(x)), label] -= 1
        hw = momentum * hw + 0.5 * prob.T @ x / len(x)
        hb = momentum * hb + 1.0 * prob.sum(0) / len(x)
        w, b = w - hw, b - hb
    return losses, w


@pytest.mark.parametrize("backend", BACKENDS)
def test_fewer_and_more_rows_train_as_by_hand(backend: str) -> None:
    fed = [rows(4), rows(2, 1), rows(4, 2), rows(1, 3), rows(2, 4)]
    run = solver("momentum: 0.9", feeds=fed, backend=backend)
    losses, w = by_hand(run, fed, 0.9)
    np.testing.assert_allclose(run.step(5), losses, rtol=1e-4)
    np.testing.assert_allclose(run.params["ip"][0], w, rtol=1e-3, atol=1e-5)


def test_passes_of_one_iteration_may_differ() -> None:
    fed = [rows(4), rows(2, 1)]
    run = solver("iter_size: 2 clip_gradients: 100", feeds=fed)
    ones = [solver(feeds=[batch]).step(1)[0] for batch in fed]
    np.testing.assert_allclose(run.step(1), [sum(ones) / 2], rtol=1e-5)
    assert np.isfinite(run.step(2)).all()


def test_the_last_batch_of_a_generator_may_be_short() -> None:
    def feeds() -> Iterator[dict[str, Array]]:
        yield rows(4)
        yield rows(4, 1)
        yield rows(3, 2)

    assert len(solver("display: 1 debug_info: true", feeds=feeds()).step(3)) == 3


def test_more_shapes_than_are_kept() -> None:
    fed = [rows(number) for number in (1, 2, 3, 4)]
    fed += [{n: np.repeat(a, k, 0) for n, a in rows(3).items()} for k in (2, 3, 4)]
    run, again = solver(feeds=fed), solver(feeds=fed)
    first = run.step(14)
    np.testing.assert_array_equal(np.concatenate([again.step(7), again.step(7)]), first)


def test_a_shape_that_the_weights_do_not_fit_is_told() -> None:
    wide = {"data": np.zeros((4, 7), np.float32), "label": np.zeros(4, np.float32)}
    with pytest.raises(NetcError) as caught:
        solver(feeds=[rows(4), wide]).step(2)
    assert [d.code for d in caught.value.diagnostics] == ["input-shape"]


def test_a_snapshot_between_shapes_goes_on(tmp_path: Path) -> None:
    fed = [rows(4), rows(2, 1), rows(3, 2)]
    text = f'momentum: 0.9 snapshot: 2 snapshot_prefix: "{tmp_path}/s"'
    whole = solver(text, feeds=fed).step(6)
    again = solver(text, feeds=fed, snapshot=f"{tmp_path}/s_iter_2.solverstate")
    np.testing.assert_array_equal(again.step(4), whole[2:])


RECURRENT = """
layer { name: "in" type: "Input" top: "x" top: "c"
        input_param { shape { dim: 2 dim: 3 dim: 4 } shape { dim: 2 dim: 3 } } }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "c" top: "h"
        recurrent_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "Reduction" bottom: "h" top: "loss" loss_weight: 1
        reduction_param { operation: SUMSQ } }
"""


def test_recurrent_layers_begin_anew_with_another_number_of_sequences() -> None:
    random = np.random.default_rng(0)

    def sequences(number: int) -> dict[str, Array]:
        x = random.standard_normal((2, number, 4), np.float32)
        return {"x": x, "c": np.ones((2, number), np.float32)}

    source = netc.Source("s.prototxt", f"net_param {{ {RECURRENT} }} {STILL}")
    fed = [sequences(3), sequences(2), sequences(3)]
    run = Solver(source, feeds=fed)
    losses = run.step(3)
    alone = [Solver(source, feeds=[batch]).step(1)[0] for batch in fed]
    np.testing.assert_allclose(losses, alone, rtol=1e-6)


def test_images_of_their_own_sizes_one_by_one(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number, size in enumerate([(8, 6), (5, 9), (8, 6)]):
        pixels = random.integers(0, 255, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    (tmp_path / "list.txt").write_text("".join(f"{n}.png {n % 2}\n" for n in range(3)))
    net = f"""
        layer {{ name: "d" type: "ImageData" top: "data" top: "label"
                image_data_param {{ source: "{tmp_path}/list.txt" root_folder: "{tmp_path}/"
                                   batch_size: 1 }} }}
        layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
                convolution_param {{ num_output: 2 kernel_size: 3 }} }}
        layer {{ name: "pool" type: "Pooling" bottom: "conv" top: "pool"
                pooling_param {{ pool: AVE global_pooling: true }} }}
        layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "pool" bottom: "label" top: "loss" }}
    """
    run = Solver(netc.Source("s.prototxt", f"net_param {{ {net} }} {SLOW}"))
    assert np.isfinite(run.step(4)).all()


@pytest.mark.parametrize(("number", "mode"), [(3, "STRICT"), (2, "PERMISSIVE")])
def test_a_test_net_without_the_owner_of_its_weights_takes_other_shapes(
    number: int, mode: str
) -> None:
    ip = "bias_term: false weight_filler { type: 'xavier' } num_output:"
    net = f"""
        layer {{ name: "in" type: "Input" top: "x" top: "y"
                input_param {{ shape {{ dim: 4 dim: {2 * number} }} shape {{ dim: 4 dim: 6 }} }} }}
        layer {{ name: "a" type: "InnerProduct" bottom: "x" top: "a" param {{ name: "w" }}
                inner_product_param {{ {ip} {18 // (2 * number)} axis: 1 }}
                include {{ phase: TRAIN }} }}
        layer {{ name: "b" type: "InnerProduct" bottom: "y" top: "b"
                param {{ name: "w" share_mode: {mode} }} inner_product_param {{ {ip} 3 }} }}
        layer {{ name: "la" type: "Reduction" bottom: "a" top: "la" loss_weight: 1
                include {{ phase: TRAIN }} }}
        layer {{ name: "lb" type: "Reduction" bottom: "b" top: "lb" loss_weight: 1 }}
    """
    net = net.replace("dim: 4 dim: 4 ", "dim: 4 dim: 9 ") if mode == "PERMISSIVE" else net
    net = net.replace("num_output: 4 axis", "num_output: 2 axis")

    def fed(rows: int) -> dict[str, Array]:
        wide = 9 if mode == "PERMISSIVE" else 6
        return {"x": np.ones((rows, wide), np.float32), "y": np.ones((rows, 6), np.float32)}

    text = f"net_param {{ {net} }} {BASE} test_iter: 1 test_interval: 1"
    tests = [fed(4), fed(3), fed(4), fed(2)]
    run = Solver(netc.Source("s.prototxt", text), feeds=[fed(4), fed(2)], test_feeds=[tests])
    for rows in (4, 3, 4, 2):
        want = rows * run.params["a"][0].sum(dtype=np.float64)
        run.step(1)
        np.testing.assert_allclose(run.tests[-1].scores["lb"], want, rtol=1e-4)


def test_the_mean_of_an_output_needs_one_shape() -> None:
    net = 'layer { name: "id" type: "Power" bottom: "data" top: "id" include { phase: TEST } }'
    text = f"net_param {{ {NET} {net} }} {BASE} test_iter: 2 test_interval: 1"
    fed = [rows(4), rows(1)]  # whose shapes NumPy would broadcast
    run = Solver(netc.Source("s.prototxt", text), feeds=fed, test_feeds=[fed])
    with pytest.raises(NetcError) as caught:
        run.step(1)
    (told,) = caught.value.diagnostics
    assert told.code == "input-shape"
    assert "`id` is 1x6 in this pass and 4x6 before" in told.message
