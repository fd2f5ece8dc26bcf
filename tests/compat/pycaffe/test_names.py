"""Names, numbers and small functions of pycaffe that scripts use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc.compat.pycaffe as caffe
from netc.diagnostics import NetcError, Source

TEXT = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [2, 3, 6, 5] } } }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1"
        convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "c2" type: "Convolution" bottom: "c1" top: "c2"
        convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "sum" type: "Eltwise" bottom: "c1" bottom: "c2" top: "sum" }
"""
SPLIT = "c1_r1_0_split"


def net(text: str = TEXT, phase: int = caffe.TEST) -> caffe.Net:
    return caffe.Net(Source("net.prototxt", text), phase)


def test_split_layers_have_caffes_names() -> None:
    made = net()
    assert list(made._layer_names) == ["data", "c1", "r1", SPLIT, "c2", "sum"]
    assert list(made.blobs) == ["data", "c1", f"{SPLIT}_0", f"{SPLIT}_1", "c2", "sum"]
    assert made.bottom_names["sum"] == [f"{SPLIT}_1", "c2"]
    assert made.top_names[SPLIT] == [f"{SPLIT}_0", f"{SPLIT}_1"]
    assert made._top_ids(3) == [2, 3] and made._bottom_ids(5) == [3, 4]
    assert made._inputs == [0] and made._outputs == [5] and made.outputs == ["sum"]
    assert [layer.type for layer in made.layers][3] == "Split"


def test_a_splits_blob_is_the_blob_that_was_split() -> None:
    made = net()
    made.blobs["data"].data[...] = 1
    made.forward()
    np.testing.assert_array_equal(made.blobs[f"{SPLIT}_0"].data, made.blobs["c1"].data)
    assert made.blobs[f"{SPLIT}_1"].shape == (2, 3, 6, 5)
    made.blobs["c1"].data[...] = 0
    assert not made.forward(start=SPLIT, end=SPLIT)[f"{SPLIT}_0"].any()
    assert list(made.forward(blobs=[f"{SPLIT}_0"])) == ["sum", f"{SPLIT}_0"]


LOSSES = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [4, 3] } } }
layer { name: "y" type: "Input" top: "y" input_param { shape { dim: [4, 3] } } }
layer { name: "l2" type: "EuclideanLoss" bottom: "x" bottom: "y" top: "l2" loss_weight: 0.25 }
layer { name: "sq" type: "Reduction" bottom: "x" top: "sq" loss_weight: 0.5
        reduction_param { operation: SUMSQ } }
layer { name: "half" type: "Power" bottom: "sq" top: "half" power_param { scale: 0.5 } }
"""


def test_a_loss_whose_weight_is_not_written_has_no_split() -> None:
    """insert_splits.cpp counts written weights; LossLayer::LayerSetUp adds its 1 afterwards."""
    read = 'layer { name: "again" type: "Silence" bottom: "l2" }'
    made = net(LOSSES.replace("loss_weight: 0.25", "") + read, caffe.TRAIN)
    assert "l2_l2_0_split" not in made._layer_names and made.blob_loss_weights["l2"] == 1
    made = net(LOSSES + read, caffe.TRAIN)
    assert made.blob_loss_weights["l2_l2_0_split_0"] == 0.25


def test_losses_and_their_weights() -> None:
    made = net(LOSSES, caffe.TRAIN)
    assert made.blob_loss_weights["l2"] == 0.25
    assert made.blob_loss_weights["sq"] == 0 and made.blob_loss_weights["sq_sq_0_split_0"] == 0.5
    assert len(made._blob_loss_weights) == len(made.blobs)
    made.blobs["x"].data[...] = 2
    # 0.25 * 12 * 4 / (2 * 4) + 0.5 * 48
    assert made._forward(0, len(made.layers) - 1) == pytest.approx(25.5)


def test_gradients_are_zero_before_a_backward() -> None:
    made = net()
    assert made.blobs["c1"].diff.shape == (2, 3, 6, 5) and not made.params["c1"][0].diff.any()
    made.params["c1"][1].diff[...] = 3
    made.clear_param_diffs()
    assert not made.params["c1"][1].diff.any()


def test_hooks_are_called_around_each_layer() -> None:
    made = net()
    seen: list[str] = []
    made.before_forward(lambda i: seen.append(f"b{i}"))
    made.after_forward(lambda i: seen.append(f"a{i}"))
    made.forward(start="r1", end="c2")
    assert seen == ["b2", "a2", "b3", "a3", "b4", "a4"]

    def write(layer: int) -> None:
        if layer == 4:
            made.blobs["c2"].data[...] = 7

    made.after_forward(write)
    made.blobs["data"].data[...] = 0
    assert (made.forward()["sum"] == 7).all()


def test_a_hook_that_raises_ends_the_forward() -> None:
    made = net()

    def stop(layer: int) -> None:
        raise KeyError(layer)

    made.before_forward(stop)
    with pytest.raises(KeyError):
        made.forward()


MEMORY = """
layer { name: "data" type: "MemoryData" top: "data" top: "label"
        memory_data_param { batch_size: 2 channels: 1 height: 4 width: 4 } }
layer { name: "p" type: "Power" bottom: "data" top: "p" power_param { scale: 2 } }
"""


def test_set_input_arrays_gives_the_next_batch_at_each_forward() -> None:
    made = net(MEMORY)
    data = np.arange(64, dtype=np.float32).reshape(4, 1, 4, 4)
    labels = np.float32([3, 4, 5, 6])
    made.set_input_arrays(data, labels)
    seen = []
    for _ in range(3):
        out = made.forward()["p"]
        seen.append((out[0, 0, 0, 0], made.blobs["label"].data.ravel().tolist()))
    assert seen == [(0, [3, 4]), (64, [5, 6]), (0, [3, 4])]
    made.forward(start="p")
    assert made.forward()["p"][0, 0, 0, 0] == 64


@pytest.mark.parametrize(
    ("data", "labels"),
    [
        (np.zeros((3, 1, 4, 4), "f4"), np.zeros(3, "f4")),
        (np.zeros((4, 1, 4, 5), "f4"), np.zeros(4, "f4")),
        (np.zeros((4, 1, 4, 4)), np.zeros(4, "f4")),
        (np.zeros((4, 1, 4, 4), "f4"), np.zeros(3, "f4")),
        (np.zeros((0, 1, 4, 4), "f4"), np.zeros(0, "f4")),
    ],
)
def test_arrays_that_memory_data_does_not_take(data: Any, labels: Any) -> None:
    with pytest.raises(RuntimeError, match="set_input_arrays"):
        net(MEMORY).set_input_arrays(data, labels)


def test_only_memory_data_takes_arrays() -> None:
    with pytest.raises(RuntimeError, match="no MemoryData"):
        net().set_input_arrays(np.zeros((2, 1, 4, 4), "f4"), np.zeros(2, "f4"))


@pytest.mark.parametrize("name", ["snapshot", "vgg.weights", "x.caffemodel.v2", "b.h5"])
def test_weights_are_saved_under_any_name(name: str, tmp_path: Path) -> None:
    made = net()
    path = tmp_path / name
    made.save(str(path))
    assert path.read_bytes()[:4] != b"\x89HDF"
    again = caffe.Net(Source("net.prototxt", TEXT), str(path), caffe.TEST)
    np.testing.assert_array_equal(again.params["c2"][0].data, made.params["c2"][0].data)


def test_hdf5_is_saved_under_any_name(tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="needs h5py")
    made = net()
    path = tmp_path / "a.caffemodel"
    made.save_hdf5(str(path))
    assert path.read_bytes()[:4] == b"\x89HDF"
    again = net()
    again.load_hdf5(str(path))
    np.testing.assert_array_equal(again.params["c2"][0].data, made.params["c2"][0].data)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: net().forward(end="nope"), ValueError),
        (lambda: net().forward(blobs=["nope"]), KeyError),
        (lambda: net().forward(data=np.zeros((2, 3, 6, 6))), ValueError),
        (lambda: net().forward_all(), RuntimeError),
        (lambda: net()._forward(0, 99), IndexError),
        (lambda: net(LOSSES).forward_all(x=np.ones((4, 3)), y=np.ones((4, 3))), TypeError),
        (lambda: caffe.set_random_seed("x"), TypeError),  # type: ignore[arg-type]
        (lambda: caffe.Net("nowhere.prototxt", caffe.TEST), RuntimeError),
        (lambda: caffe.Net(Source("n", TEXT), "nowhere.caffemodel", caffe.TEST), RuntimeError),
        (lambda: net().copy_from(3), TypeError),
        (lambda: net().blobs["data"].reshape((1, 2)), TypeError),
        (lambda: caffe.io.load_image("nowhere.png"), FileNotFoundError),
        (lambda: caffe.layers.ReLU(nothing=1).to_proto(), AttributeError),
    ],
)
def test_errors_are_of_pycaffes_classes_too(call: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind) as error:
        call()
    assert isinstance(error.value, NetcError)


def test_a_schema_of_ones_own(tmp_path: Path) -> None:
    proto = tmp_path / "own.proto"
    proto.write_text(
        'syntax = "proto2"; package caffe; message Own { optional int32 level = 1; }'
        " message LayerParameter { optional Own my_own_param = 9100; }",
        encoding="utf-8",
    )
    text = Source("n", TEXT.replace('name: "r1"', 'name: "r1" my_own_param { level: 3 }'))
    assert caffe.Net(text, caffe.TEST, schema=proto).outputs == ["sum"]
    with pytest.raises(NetcError, match="unknown-field"):
        caffe.Net(text, caffe.TEST)


def test_functions_that_training_scripts_call() -> None:
    caffe.init_log(0, True)
    caffe.set_multiprocess(True)
    caffe.set_solver_count(2)
    caffe.set_solver_rank(1)
    assert (caffe.solver_count(), caffe.solver_rank(), caffe.has_nccl()) == (2, 1, False)
    caffe.set_solver_count(1)
    caffe.set_solver_rank(0)
    timer = caffe.Timer()
    timer.start()
    timer.stop()
    assert timer.ms >= 0 and timer.us >= timer.ms


def test_a_net_spec_without_a_blob() -> None:
    with pytest.raises(KeyError):
        caffe.NetSpec().nothing  # noqa: B018
    assert not hasattr(caffe.NetSpec(), "nothing")


def test_load_hdf5_takes_no_other_file(tmp_path: Path) -> None:
    made = net()
    made.save(str(tmp_path / "w.caffemodel"))
    with pytest.raises(NetcError, match="is no HDF5 file"):
        made.load_hdf5(str(tmp_path / "w.caffemodel"))
    with pytest.raises(NetcError, match="missing-file"):
        made.load_hdf5(str(tmp_path / "gone.h5"))


def test_names_of_the_modules_are_where_scripts_look_for_them() -> None:
    assert caffe.pycaffe.Net is caffe._caffe.Net is caffe.Net
    assert caffe.net_spec.Function and caffe.net_spec.Layers and caffe.net_spec.Parameters


def test_a_function_tells_what_it_was_made_of() -> None:
    one, two = caffe.layers.Slice(caffe.layers.Input(), ntop=2, slice_point=1)
    made = one.fn
    assert type(made).__name__ == "Function" and made is two.fn and (one.n, two.n) == (0, 1)
    assert (made.type_name, made.ntop, made.in_place) == ("Slice", 2, False)
    assert dict(made.params) == {"slice_point": 1}


def test_param_name_dict_and_assign_proto() -> None:
    names = caffe.net_spec.param_name_dict()
    assert (names["Pooling"], names["Loss"], names["ReLU"]) == (
        "pooling", "loss", "relu",
    )  # fmt: skip
    layer = caffe.proto.caffe_pb2.LayerParameter()
    caffe.net_spec.assign_proto(layer, "pooling_param", {"kernel_size": 3})
    caffe.net_spec.assign_proto(layer, "bottom", ["a", "b"])
    assert layer.pooling_param.kernel_size == 3 and list(layer.bottom) == ["a", "b"]
    with pytest.raises(AttributeError):
        caffe.net_spec.assign_proto(layer, "poolingparam", {})


def test_descriptors_of_messages() -> None:
    pb = caffe.proto.caffe_pb2
    assert pb.DESCRIPTOR.message_types_by_name["NetParameter"].name == "NetParameter"
    assert pb._LAYERPARAMETER is pb.LayerParameter.DESCRIPTOR
    with pytest.raises(AttributeError):
        pb._NOTHING  # noqa: B018


def test_a_pydot_graph_or_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from types import SimpleNamespace

    spec = caffe.NetSpec()
    spec.x = caffe.layers.Input(input_param={"shape": {"dim": [1, 2]}})
    spec.y = caffe.layers.InnerProduct(spec.x, num_output=7)
    seen: list[str] = []
    stub = SimpleNamespace(graph_from_dot_data=lambda text: (seen.append(text), text))
    monkeypatch.setitem(sys.modules, "pydot", stub)
    caffe.draw.get_pydot_graph(spec.to_proto(), "TB")
    caffe.draw.get_pydot_graph(spec.to_proto(), "TB", label_edges=False)
    assert 'label="7"' in seen[0] and 'label="7"' not in seen[1]
    monkeypatch.setitem(sys.modules, "pydot", None)
    with pytest.raises(NetcError, match=r"missing-package.*pydot"):
        caffe.draw.get_pydot_graph(spec.to_proto(), "TB")
