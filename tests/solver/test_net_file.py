"""Weights files in the layout of those that Caffe wrote of the same nets (net.cpp, ToProto)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc.compat.pycaffe as caffe
from netc.schema.descriptors import message_class
from netc.schema.load import load_schema
from netc.solver.solver import Solver
from netc.solver.watch import Best
from netc.weights import load_weights
from tests.solver.golden import CASES, GOLDEN, arrays, case_named, open_case
from tests.solver.small import BASE, batches

BINARY = [
    (case["name"], file)
    for case in CASES
    for file in case["files"]
    if case["family"] in "kn" and file.endswith(".caffemodel") and "_iter_" in file
]
HDF5 = [(case["name"], f) for case in CASES for f in case["files"] if f.endswith("caffemodel.h5")]

SHARED = """
layer { name: "data" type: "Input" top: "data" top: "label"
        input_param { shape { dim: 4 dim: 6 } shape { dim: 4 } } }
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" } param { }
        inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" } param { }
        loss_weight: 0.01 inner_product_param { num_output: 6 } }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "sum" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "sum" bottom: "label" top: "accuracy"
        include { phase: TEST } }
"""


def definition(path: Path) -> Any:
    """A caffemodel without the elements of its blobs."""
    net = message_class(load_schema([]).message("NetParameter"))()
    net.ParseFromString(path.read_bytes())
    for layer in net.layer:
        for blob in layer.blobs:
            blob.ClearField("data")
            blob.ClearField("diff")
    return net


@pytest.mark.parametrize(("name", "file"), BINARY, ids=lambda value: value)
def test_definitions_are_caffes(name: str, file: str, tmp_path: Path) -> None:
    if name.startswith("log_"):
        pytest.importorskip("h5py", exc_type=ImportError)
    case = case_named(name)
    written = open_case(case, arrays(case), tmp_path, backend="cpu").snapshot().weights
    assert written.suffix == ".caffemodel"
    ours, theirs = definition(written), definition(GOLDEN / file)
    assert [layer.name for layer in ours.layer] == [layer.name for layer in theirs.layer]
    for one, other in zip(ours.layer, theirs.layer, strict=True):
        assert one == other
    assert ours == theirs


@pytest.mark.parametrize(("name", "file"), HDF5, ids=lambda value: value)
def test_groups_are_caffes(name: str, file: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", exc_type=ImportError)
    case = case_named(name)
    written = open_case(case, arrays(case), tmp_path, backend="cpu").snapshot().weights
    found = []
    for path in (written, GOLDEN / file):
        with h5py.File(path) as stored:
            groups = {
                layer: {i: a.shape for i, a in g.items()} for layer, g in stored["data"].items()
            }
            found.append((set(stored), groups))
    assert found[0] == found[1]


def snapshot(more: str, folder: Path) -> Path:
    text = f'net_param {{ {SHARED} }} {BASE} random_seed: 1 {more} snapshot_prefix: "{folder}/x"'
    solver = Solver(text, feeds=batches())
    solver.step(2)
    return solver.snapshot().weights


def test_splits_have_the_weight_and_layers_read_them(tmp_path: Path) -> None:
    layers = {layer.name: layer for layer in definition(snapshot("", tmp_path)).layer}
    assert list(layers) == ["data", "a", "a_a_0_split", "b", "b_b_0_split", "sum", "loss"]
    split = layers["b_b_0_split"]
    assert (split.type, list(split.bottom)) == ("Split", ["b"])
    assert list(split.top) == ["b_b_0_split_0", "b_b_0_split_1"]
    assert list(split.loss_weight) == [np.float32(0.01), 0]
    assert not layers["b"].loss_weight
    assert list(layers["a_a_0_split"].loss_weight) == []
    assert list(layers["b"].bottom) == ["a_a_0_split_0"]
    assert list(layers["sum"].bottom) == ["a_a_0_split_1", "b_b_0_split_1"]
    assert all(layer.phase == 0 and layer.HasField("phase") for layer in layers.values())
    assert len(layers["a"].blobs) == len(layers["b"].blobs) == 2  # the shared one under both


def test_hdf5_has_shared_arrays_under_their_owner_and_steps_under_all(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", exc_type=ImportError)
    path = snapshot("snapshot_format: HDF5 snapshot_diff: true", tmp_path)
    with h5py.File(path) as file:
        data = {name: sorted(group) for name, group in file["data"].items()}
        diff = {name: sorted(group) for name, group in file["diff"].items()}
        np.testing.assert_array_equal(file["diff/a/0"], file["diff/b/0"])
    assert data["a"] == ["0", "1"]
    assert data["b"] == ["1"]
    assert diff["a"] == diff["b"] == ["0", "1"]
    assert data["a_a_0_split"] == data["sum"] == data["data"] == diff["loss"] == []
    assert set(data) == set(diff)


@pytest.mark.parametrize("kind", ["BINARYPROTO", "HDF5"])
def test_what_was_written_is_read(kind: str, tmp_path: Path) -> None:
    if kind == "HDF5":
        pytest.importorskip("h5py", exc_type=ImportError)
    text = f"net_param {{ {SHARED} }} {BASE} random_seed: 1 snapshot_format: {kind}"
    whole = Solver(f'{text} snapshot_prefix: "{tmp_path}/x"', feeds=batches())
    whole.step(2)
    state = whole.snapshot().state
    again = Solver(text, feeds=batches(), snapshot=str(state))
    np.testing.assert_array_equal(again.step(3), whole.step(3))
    assert "sum" in load_weights(tmp_path / f"x_iter_2.caffemodel{'.h5' * (kind == 'HDF5')}").layers


def test_the_best_weights_are_saved_alike(tmp_path: Path) -> None:
    text = f"net_param {{ {SHARED} }} {BASE} random_seed: 1 test_iter: 1 test_interval: 1"
    solver = Solver(text, feeds=batches(), test_feeds=[batches()])
    solver.listeners.append(Best(solver, "accuracy", str(tmp_path / "best.caffemodel")))
    solver.step(2)
    layers = [layer.name for layer in definition(tmp_path / "best.caffemodel").layer]
    assert layers == ["data", "a", "a_a_0_split", "b", "b_b_0_split", "sum", "loss"]


def test_pycaffes_nets_are_saved_alike(tmp_path: Path) -> None:
    text = tmp_path / "net.prototxt"
    text.write_text(SHARED)
    net = caffe.Net(str(text), caffe.TEST)
    net.save(str(tmp_path / "x.caffemodel"))
    layers = {layer.name: layer for layer in definition(tmp_path / "x.caffemodel").layer}
    assert list(layers) == list(net._layer_names)
    assert all(layer.phase == 1 for layer in layers.values())
    assert list(layers["accuracy"].bottom) == ["sum_sum_0_split_1", "label_data_1_split_1"]
    again = caffe.Net(str(text), caffe.TEST, weights=str(tmp_path / "x.caffemodel"))
    for name, blobs in net.params.items():
        for one, other in zip(blobs, again.params[name], strict=True):
            np.testing.assert_array_equal(one.data, other.data)
