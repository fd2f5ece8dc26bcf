"""Compiled nets and pycaffe's that read what their data layers name, where it is not fed."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

import netc
from netc.compat import pycaffe
from netc.diagnostics import NetcError
from netc.ir.graph import Array

h5py = pytest.importorskip("h5py", exc_type=ImportError)
TEXT = """
layer { name: "data" type: "HDF5Data" top: "data" top: "label"
        hdf5_data_param { source: "list.txt" batch_size: 4 } }
layer { name: "more" type: "DummyData" top: "more"
        dummy_data_param { shape { dim: 4 dim: 3 } data_filler { value: 0.5 } } }
layer { name: "sum" type: "Eltwise" bottom: "data" bottom: "more" top: "sum" }
layer { name: "ip" type: "InnerProduct" bottom: "sum" top: "ip"
        inner_product_param { num_output: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


@pytest.fixture
def rows(tmp_path: Path) -> tuple[Path, Array, Array]:
    """A net, and the ten rows that it reads."""
    random = np.random.default_rng(0)
    data = random.standard_normal((10, 3)).astype(np.float32)
    label = random.standard_normal((10, 1)).astype(np.float32)
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["data"], file["label"] = data, label
    (tmp_path / "list.txt").write_text(str(tmp_path / "rows.h5"))
    path = tmp_path / "net.prototxt"
    path.write_text(TEXT)
    return path, data, label


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_each_call_takes_the_next_batch(rows: tuple[Path, Array, Array], phase: str) -> None:
    path, data, label = rows
    net = netc.compile(path, phase=phase, read_data=True)
    assert net.inputs["data"] == (4, 3)
    for call in range(4):
        places = np.arange(4 * call, 4 * call + 4) % 10
        want = net({"data": data[places], "label": label[places]})
        np.testing.assert_array_equal(net()["loss"], want["loss"])


def test_what_is_fed_is_not_read(rows: tuple[Path, Array, Array]) -> None:
    path, _, label = rows
    net = netc.compile(path, phase="TRAIN", read_data=True)
    zeros = np.zeros((4, 3), np.float32)
    want = net({"data": zeros, "label": label[:4]})
    np.testing.assert_array_equal(net(data=zeros)["loss"], want["loss"])


def test_gradients_read_too(rows: tuple[Path, Array, Array]) -> None:
    path, data, label = rows
    net = netc.compile(path, phase="TRAIN", read_data=True)
    want = net.gradients({"data": data[:4], "label": label[:4]}).params["ip"][0]
    np.testing.assert_array_equal(net.gradients().params["ip"][0], want)


def test_a_copy_has_to_be_fed(rows: tuple[Path, Array, Array]) -> None:
    net = copy.deepcopy(netc.compile(rows[0], phase="TRAIN", read_data=True))
    with pytest.raises(NetcError, match="input `data` is not given"):
        net()


def test_nothing_is_read_unasked(rows: tuple[Path, Array, Array]) -> None:
    net = netc.compile(rows[0], phase="TRAIN", inputs={"data": (4, 3), "label": (4, 1)})
    with pytest.raises(NetcError, match="input `data` is not given"):
        net()


def test_a_net_with_nothing_to_read_is_told() -> None:
    text = 'input: "x" input_shape { dim: 1 } layer { name: "r" type: "ReLU" bottom: "x" top: "y" }'
    with pytest.raises(NetcError) as caught:
        netc.compile(text=text, read_data=True)
    (found,) = caught.value.diagnostics
    assert found.code == "no-data"
    assert "no data layer in phase TEST" in found.message and "`HDF5Data`" in found.help[0]


def test_a_source_that_is_not_there_is_told(rows: tuple[Path, Array, Array]) -> None:
    (rows[0].parent / "list.txt").unlink()
    with pytest.raises(NetcError) as caught:
        netc.compile(rows[0], phase="TRAIN", read_data=True)
    assert caught.value.diagnostics[0].code == "file-not-found"


def test_pycaffe_reads_at_each_forward(rows: tuple[Path, Array, Array]) -> None:
    path, data, label = rows
    net = pycaffe.Net(str(path), pycaffe.TRAIN, read_data=True)
    for call in range(3):
        net.forward()
        places = np.arange(4 * call, 4 * call + 4) % 10
        np.testing.assert_array_equal(net.blobs["data"].data, data[places])
        np.testing.assert_array_equal(net.blobs["label"].data, label[places])
    net.backward()
    assert net.params["ip"][0].diff.any()
