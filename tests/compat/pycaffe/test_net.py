"""``caffe.Net`` on netc, against Caffe's own numbers and pycaffe's behaviour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc.compat.pycaffe as caffe
from netc.data import prototxt_dir
from netc.diagnostics import NetcError, NetcWarning, Source
from netc.driver import compile

DIGITS = prototxt_dir() / "digits"
TEXT = str(DIGITS / "deploy.prototxt")
WEIGHTS = str(DIGITS / "digits.caffemodel")

SMALL = """
name: "small"
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "double" type: "Power" bottom: "data" top: "twice" power_param { scale: 2 } }
layer { name: "less" type: "Power" bottom: "twice" top: "twice" power_param { shift: -4 } }
layer { name: "cut" type: "ReLU" bottom: "twice" top: "cut" }
layer { name: "more" type: "Power" bottom: "cut" top: "out" power_param { shift: 1 } }
"""


def images(number: int) -> Any:
    rng = np.random.default_rng(3)
    return rng.random((number, 1, 8, 8), dtype=np.float32)


def digits() -> caffe.Net:
    return caffe.Net(TEXT, WEIGHTS, caffe.TEST)


def small() -> caffe.Net:
    return caffe.Net(Source("small", SMALL), caffe.TEST)


@pytest.mark.parametrize("name", ["lenet", "mtcnn_det1"])
def test_trained_models_give_caffes_outputs(golden: Path, name: str) -> None:
    data = np.load(golden / "models" / f"{name}.npz")
    given = {key[3:]: data[key] for key in data if key.startswith("in/")}
    net = caffe.Net(
        str(golden / "models" / f"{name}.prototxt"),
        str(golden / "models" / f"{name}.caffemodel"),
        caffe.TEST,
    )
    for blob, array in given.items():
        net.blobs[blob].reshape(*array.shape)
        net.blobs[blob].data[...] = array
    net.reshape()
    outputs = net.forward()
    expected = {key[4:]: data[key] for key in data if key.startswith("out/")}
    assert set(outputs) == set(expected) == set(net.outputs)
    for blob, array in expected.items():
        assert net.blobs[blob].shape == array.shape
        np.testing.assert_allclose(outputs[blob], array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: caffe.Net(TEXT, WEIGHTS, caffe.TEST),
        lambda: caffe.Net(TEXT, caffe.TEST, weights=WEIGHTS),
        lambda: caffe.Net(TEXT, caffe.TEST, 0, None, WEIGHTS),
        lambda: caffe.Net(network_file=TEXT, phase=caffe.TEST, weights=WEIGHTS, level=0, stages=[]),
        lambda: caffe.Net(TEXT, WEIGHTS),
        lambda: caffe.Net(Path(TEXT), Path(WEIGHTS), phase=caffe.TEST),
    ],
)
def test_every_form_of_the_constructor_makes_the_same_net(make: Any) -> None:
    fed = images(1)
    expected = compile(TEXT, WEIGHTS)(data=fed)["prob"]
    np.testing.assert_array_equal(make().forward(data=fed)["prob"], expected)


def test_a_phase_leaves_layers_out() -> None:
    text = SMALL + 'layer { name: "end" type: "Silence" bottom: "out" include { phase: TRAIN } }'
    assert caffe.Net(Source("s", text), caffe.TEST).outputs == ["out"]
    assert caffe.Net(Source("s", text), caffe.TRAIN).outputs == []


def test_stages_and_level_choose_layers() -> None:
    assert caffe.Net(Source("s", SMALL), caffe.TEST, stages="abc").outputs == ["out"]
    end = 'layer { name: "end" type: "Silence" bottom: "out" include { stage: "a" min_level: 2 } }'
    source = Source("s", SMALL + end)
    assert caffe.Net(source, caffe.TEST, level=2).outputs == ["out"]
    assert caffe.Net(source, caffe.TEST, level=2, stages=["a"]).outputs == []


def test_without_weights_fillers_fill_from_the_seed() -> None:
    try:
        caffe.set_random_seed(1)
        one, same = (caffe.Net(TEXT, caffe.TEST) for _ in range(2))
        caffe.set_random_seed(2)
        other = caffe.Net(TEXT, caffe.TEST)
    finally:
        caffe.set_random_seed(0)
    arrays = [net.params["conv1"][0].data for net in (one, same, other)]
    assert np.array_equal(arrays[0], arrays[1]) and not np.array_equal(arrays[0], arrays[2])


def test_layers_that_the_weights_lack_are_filled_with_a_warning() -> None:
    text = Path(TEXT).read_text(encoding="utf-8").replace('"ip2"', '"new"')
    with pytest.warns(NetcWarning, match="`new`"):
        net = caffe.Net(Source("n", text), WEIGHTS, caffe.TEST)
    assert net.params["new"][0].data.std() > 0


def test_names_are_those_of_pycaffe() -> None:
    net = digits()
    assert net.inputs == ["data"] and net.outputs == ["prob"]
    assert list(net.blobs) == [
        "data", "conv1", "pool1", "conv2", "pool2", "ip1", "ip2", "prob",
    ]  # fmt: skip
    assert list(net.params) == ["conv1", "conv2", "ip1", "ip2"]
    assert net._layer_names[:3] == ["data", "conv1", "relu1"]
    assert [layer.type for layer in net.layers][:3] == ["Input", "Convolution", "ReLU"]
    assert net.layer_dict["conv1"].blobs[0] is net.params["conv1"][0]
    assert net.top_names["relu1"] == net.bottom_names["relu1"] == ["conv1"]
    assert net.bottom_names["data"] == [] and net.top_names["data"] == ["data"]
    blob = net.blobs["conv1"]
    assert (blob.num, blob.channels, blob.height, blob.width) == blob.shape == (1, 16, 8, 8)
    assert blob.count == 1024 and blob.data.shape == blob.shape
    assert net.blobs["ip1"].width == 1 and list(net.blobs["ip1"].shape) == [1, 64]


def test_all_blobs_can_be_read_after_a_forward() -> None:
    net, fed = digits(), images(1)
    net.blobs["data"].data[...] = fed
    net.forward()
    names = tuple(net.blobs)[1:]
    expected = compile(TEXT, WEIGHTS, outputs=names, optimize=False)(data=fed)
    for name in names:
        np.testing.assert_allclose(net.blobs[name].data, expected[name], rtol=1e-4, atol=1e-5)
    assert net.blobs["conv1"].data.min() == 0  # the last value, after the ReLU in place


def test_a_blob_asked_for_late_is_of_the_forward_before_not_of_what_was_fed_since() -> None:
    net = small()
    net.blobs["data"].data[...] = 5
    net.forward()
    net.blobs["data"].data[...] = 100
    assert net.blobs["cut"].data.max() == 6 and net.blobs["out"].data.max() == 7
    net.forward()
    assert net.blobs["cut"].data.max() == 196


def test_arrays_that_a_script_holds_are_written_through() -> None:
    net = small()
    fed, cut, out = (net.blobs[name].data for name in ("data", "cut", "out"))
    fed[...] = 5
    given = net.forward()
    assert given["out"] is out and out.max() == 7 and cut.max() == 6
    fed[...] = 6
    net.forward()
    assert out.max() == 9 and net.blobs["cut"].data is cut and cut.max() == 8


def test_a_look_at_shapes_before_the_first_forward_costs_nothing_later() -> None:
    net = small()
    assert [blob.data.shape for blob in net.blobs.values()] == [(2, 3)] * 4
    part = net.blobs["cut"].data[1:]
    net.blobs["data"].data[...] = 5
    net.forward()
    assert net.blobs["twice"].pending and not net.blobs["cut"].pending
    assert part.max() == 6


def test_many_blobs_asked_for_late_are_all_right() -> None:
    net = digits()
    for seed in (1, 2):
        fed = np.random.default_rng(seed).random((1, 1, 8, 8), dtype=np.float32)
        net.forward(data=fed)
        expected = compile(TEXT, WEIGHTS, outputs=tuple(net.blobs)[1:])(data=fed)
        for name, array in expected.items():
            np.testing.assert_allclose(net.blobs[name].data, array, rtol=1e-4, atol=1e-5)


def test_forward_gives_the_blobs_asked_for() -> None:
    net = small()
    assert set(net.forward(blobs=["cut"])) == {"out", "cut"}
    for other in ("cut", ("cut",)):
        with pytest.raises(TypeError, match="list of blobs"):
            net.forward(blobs=other)  # type: ignore[arg-type]
    given = net.forward(blobs=["cut"], data=np.full((2, 3), 5))
    assert set(given) == {"out", "cut"} and given["cut"].max() == 6


def test_forward_until_a_layer() -> None:
    net = small()
    net.blobs["data"].data[...] = 5
    assert set(net.forward(end="double")) == {"twice"}
    assert net.blobs["twice"].data.max() == 10  # before the layer that rewrites it
    assert net.blobs["out"].data.max() == 0
    assert net.forward(end="less")["twice"].max() == 6


def test_forward_from_a_layer_takes_blobs_as_they_are() -> None:
    net = small()
    net.blobs["data"].data[...] = 5
    net.forward()
    net.blobs["twice"].data[...] = 20
    assert net.forward(start="cut")["out"].max() == 21
    assert net.forward(start="less", end="cut")["cut"].max() == 16
    assert net.blobs["out"].data.max() == 21
    assert net.forward(start="more")["out"].max() == 17


def test_a_part_reads_what_an_earlier_forward_has_yet_to_fetch() -> None:
    net = small()
    net.blobs["data"].data[...] = 5
    net.forward()
    net.blobs["data"].data[...] = 0
    assert net.forward(start="cut", end="cut")["cut"].max() == 6


def test_forward_of_data_layers_alone_computes_nothing() -> None:
    net = small()
    net.blobs["data"].data[...] = 3
    assert net.forward(end="in")["data"].max() == 3


def test_an_input_rewritten_in_place_holds_the_last_value() -> None:
    text = """
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 } } }
    layer { name: "add" type: "Power" bottom: "x" top: "x" power_param { shift: 1 } }
    layer { name: "o" type: "Power" bottom: "x" top: "y" power_param { scale: 2 } }
    """
    net = caffe.Net(Source("n", text), caffe.TEST)
    assert net.forward(x=np.zeros(2))["y"].max() == 2
    assert net.blobs["x"].data.max() == 1
    assert net.forward()["y"].max() == 4


def test_written_parameters_count_from_the_next_forward_on() -> None:
    net, fed = digits(), images(1)
    net.forward(data=fed)
    bias = net.params["ip2"][1].data
    logits = net.blobs["ip2"].data.copy()
    bias[3] += 7
    assert np.array_equal(net.blobs["ip2"].data, logits)
    net.forward()
    moved = net.blobs["ip2"].data - logits
    np.testing.assert_allclose(moved[0], 7 * np.eye(10)[3], atol=1e-5)
    bias[3] -= 7
    net.forward()
    np.testing.assert_allclose(net.blobs["ip2"].data, logits, atol=1e-5)


def test_parameters_shared_by_name_are_one_array() -> None:
    layer = """layer {{ name: "{0}" type: "InnerProduct" bottom: "{1}" top: "{0}"
        param {{ name: "w" }} inner_product_param {{ num_output: 3 bias_term: false }} }}"""
    text = SMALL + layer.format("a", "out") + layer.format("b", "a")
    net = caffe.Net(Source("n", text), caffe.TEST)
    net.params["b"][0].data[...] = np.eye(3)
    assert np.array_equal(net.params["a"][0].data, np.eye(3))
    assert net.forward(data=np.full((2, 3), 5))["b"].max() == 7


def test_share_with_uses_the_other_nets_parameters() -> None:
    one, other = digits(), caffe.Net(TEXT, caffe.TEST)
    other.share_with(one)
    fed = images(1)
    assert np.array_equal(one.forward(data=fed)["prob"], other.forward(data=fed)["prob"])
    one.params["ip2"][1].data[4] += 1000
    assert other.forward()["prob"][0].argmax() == 4


def test_share_with_another_shape_is_refused() -> None:
    text = Path(TEXT).read_text(encoding="utf-8").replace("num_output: 64", "num_output: 65")
    with pytest.raises(NetcError, match="weight-shape"):
        digits().share_with(caffe.Net(Source("n", text), caffe.TEST))


def test_copy_from_takes_over_weights_and_save_writes_them(tmp_path: Path) -> None:
    net, fed = caffe.Net(TEXT, caffe.TEST), images(1)
    held = net.params["ip2"][0].data
    net.copy_from(WEIGHTS)
    expected = digits().forward(data=fed)["prob"]
    assert np.array_equal(net.forward(data=fed)["prob"], expected)
    assert held is net.params["ip2"][0].data
    net.params["ip2"][1].data[2] += 1000
    net.save(str(tmp_path / "new.caffemodel"))
    again = caffe.Net(TEXT, str(tmp_path / "new.caffemodel"), caffe.TEST)
    assert again.forward(data=fed)["prob"][0].argmax() == 2


def test_reshape_brings_all_blobs_to_size() -> None:
    net = digits()
    net.blobs["data"].reshape(5, 1, 8, 8)
    assert net.blobs["prob"].shape == (1, 10)
    net.reshape()
    assert net.blobs["prob"].shape == (5, 10) and net.blobs["conv1"].data.shape[0] == 5
    assert net.forward(data=images(5))["prob"].shape == (5, 10)
    net.blobs["data"].reshape(2, 1, 8, 8)  # without net.reshape(): forward does it
    assert net.forward()["prob"].shape == (2, 10) == net.blobs["prob"].data.shape


def test_a_shape_that_the_weights_do_not_fit_is_refused() -> None:
    net = digits()
    net.blobs["data"].reshape(1, 1, 16, 16)
    with pytest.raises(NetcError, match="ip1/0"):
        net.reshape()


def test_forward_all_runs_any_number_of_items() -> None:
    net, fed = digits(), images(7)
    net.blobs["data"].reshape(3, 1, 8, 8)
    given = net.forward_all(blobs=["ip1"], data=fed)
    shapes, names = {"data": (7, 1, 8, 8)}, ("prob", "ip1")
    expected = compile(TEXT, WEIGHTS, inputs=shapes, outputs=names)(data=fed)
    for name in ("prob", "ip1"):
        np.testing.assert_allclose(given[name], expected[name], rtol=1e-4, atol=1e-6)


def test_what_dummy_data_holds_need_not_be_fed() -> None:
    text = """
    layer { name: "d" type: "DummyData" top: "x" dummy_data_param {
      shape { dim: 2 } data_filler { type: "constant" value: 3 } } }
    layer { name: "o" type: "Power" bottom: "x" top: "y" power_param { scale: 2 } }
    """
    net = caffe.Net(Source("n", text), caffe.TEST)
    assert net.inputs == [] and net.forward()["y"].max() == 6


def code_of(error: pytest.ExceptionInfo[NetcError]) -> str:
    return error.value.diagnostics[0].code


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: small().forward(start="cu"), "unknown-layer"),
        (lambda: small().forward(end="cu"), "unknown-layer"),
        (lambda: small().forward(blobs=["dat"]), "unknown-blob"),
        (lambda: small().forward(dat=1), "unknown-input"),
        (lambda: small().forward(data=np.zeros((3, 3))), "input-shape"),
        (lambda: small().forward(data=np.zeros((2, 4))), "input-shape"),
        (lambda: small().forward_all(), "missing-input"),
        (lambda: small().backward(start="cu"), "unknown-layer"),
        (lambda: small().backward(diffs=["dat"]), "unknown-blob"),
        (lambda: small().backward(dat=1), "unknown-input"),
        (lambda: caffe.SGDSolver("nowhere.prototxt"), "missing-file"),
        (lambda: caffe.get_solver(Source("x", 'type: "Magic"')), "unknown-solver-type"),
        (lambda: small().blobs["data"].reshape(-1, 3), "bad-shape"),
        (lambda: digits().params["ip1"][0].reshape(2, 2), "bad-shape"),
        (lambda: small().blobs["data"].reshape(2**20, 2**20), "blob-too-large"),
        (lambda: small().forward(data=np.array([["a"] * 3] * 2)), "input-dtype"),
        (lambda: small().forward(data=[[1] * 3] * 2), "bad-argument"),
        (lambda: small().forward_all(data=[[1] * 3] * 2), "bad-argument"),
        (lambda: small().blobs["data"].reshape(shape=(2, 3)), "bad-argument"),
        (lambda: caffe.Net(TEXT, "TEST"), "bad-argument"),
        (lambda: small().forward(blobs=3), "bad-argument"),
        (lambda: caffe.Net(TEXT, caffe.TEST, stages=3), "bad-argument"),
        (lambda: caffe.Net(TEXT, caffe.TEST, inputs=[3]), "bad-argument"),
        (lambda: caffe.Net(TEXT, caffe.TEST, weights=3), "bad-weights"),
        (lambda: caffe.Net(None, caffe.TEST), "bad-argument"),
        (lambda: caffe.Net(TEXT, 5), "bad-argument"),
        (lambda: caffe.Net(TEXT, caffe.TEST, 0, None, WEIGHTS, 1), "bad-argument"),
        (lambda: caffe.Net("nowhere.prototxt", caffe.TEST), "missing-file"),
    ],
)
def test_mistakes_are_told(call: Any, code: str) -> None:
    with pytest.raises(NetcError) as error:
        call()
    assert code_of(error) == code


def test_gpu_mode_chooses_the_cuda_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("netc.compat.pycaffe.net.backend", asked.append)
    try:
        caffe.set_mode_gpu()
        small()
        caffe.set_mode_cpu()
        small()
    finally:
        caffe.set_mode_cpu()
    assert asked == ["cuda", "cpu"]


def test_unknown_attributes_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        caffe.nothing  # noqa: B018
    assert "Convolution" in caffe.layer_type_list()


@pytest.mark.parametrize("rows", [3, 40, 300])
def test_the_first_forward_of_many_rows_reads_the_weights(tmp_path: Path, rows: int) -> None:
    text = tmp_path / "net.prototxt"
    text.write_text(
        f'input: "x" input_dim: {rows} input_dim: 50 input_dim: 4 input_dim: 4 '
        'layer { name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param { kernel_size: 1 } } '
        'layer { name: "ip" type: "InnerProduct" bottom: "p" top: "y" inner_product_param { '
        'num_output: 500 weight_filler { type: "gaussian" std: 0.1 } } }'
    )
    net = caffe.Net(str(text), caffe.TEST)
    x = np.random.default_rng(0).normal(size=(rows, 50, 4, 4)).astype(np.float32)
    net.blobs["x"].data[...] = x
    wanted = x.reshape(rows, -1) @ net.params["ip"][0].data.T
    np.testing.assert_allclose(net.forward()["y"], wanted, rtol=1e-3, atol=1e-3)


def test_a_blob_keeps_its_memory_while_there_is_room() -> None:
    blob = small().blobs["data"]
    held = blob.data
    held[...] = [[1, 2, 3], [4, 5, 6]]
    blob.diff[...] = 7
    blob.reshape(1, 4)
    assert np.shares_memory(held, blob.data) and blob.data.tolist() == [[1, 2, 3, 4]]
    assert blob.diff.tolist() == [[7] * 4]
    blob.reshape(3, 2)
    assert np.shares_memory(held, blob.data) and blob.data.tolist() == [[1, 2], [3, 4], [5, 6]]
    blob.reshape(7)  # new memory
    assert not np.shares_memory(held, blob.data) and not blob.data.any() and not blob.diff.any()
    assert held.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_room_counts_before_anybody_has_seen_the_memory() -> None:
    blob = small().blobs["data"]  # 2x3
    blob.reshape(1)
    held = blob.data
    blob.reshape(2, 3)
    assert np.shares_memory(held, blob.data)


def test_what_was_computed_stays_in_a_smaller_shape() -> None:
    net = small()
    net.forward(data=np.arange(6.0).reshape(2, 3))
    cut = net.blobs["cut"]
    expected = net.forward(blobs=["cut"])["cut"].ravel()[:2].tolist()
    net.forward()
    cut.reshape(2)
    assert cut.data.tolist() == expected


def test_a_view_of_a_smaller_shape_sees_the_next_forward() -> None:
    net = small()
    net.forward(data=np.full((2, 3), 5))
    net.blobs["data"].reshape(1, 3)
    net.reshape()
    held = net.blobs["out"].data
    net.forward(data=np.full((1, 3), 7))
    assert held is net.blobs["out"].data


def test_a_parameter_is_shown_in_another_shape() -> None:
    net, fed = digits(), images(1)
    expected = net.forward(data=fed)["prob"].copy()
    weights = net.params["ip1"][0]
    shape = weights.shape
    weights.reshape(shape[0], shape[1] // 4, 2, 2)
    assert weights.data.shape == weights.diff.shape == (shape[0], shape[1] // 4, 2, 2)
    weights.data[0, 0] += 0
    assert np.array_equal(net.forward(data=fed)["prob"], expected)
    weights.data[...] = 0
    assert not np.array_equal(net.forward(data=fed)["prob"], expected)


def test_nets_that_share_in_both_directions() -> None:
    one, other = digits(), digits()
    one.share_with(other)
    other.share_with(one)
    one.share_with(one)
    other.params["ip2"][0].data[...] = 3
    assert one.params["ip2"][0].data.min() == 3
    other.params["ip2"][0].diff[...] = 4
    assert one.params["ip2"][0].diff.max() == 0


def test_batches_follow_the_first_blob_whatever_its_axes(tmp_path: Path) -> None:
    path = tmp_path / "n.prototxt"
    path.write_text(
        'layer { name: "i" type: "Input" top: "x"'
        " input_param { shape { dim: [2, 1, 1, 1, 3] } } }\n"
        'layer { name: "n" type: "Power" bottom: "x" top: "y" power_param { scale: 2 } }'
    )
    net = caffe.Net(str(path).encode(), caffe.TEST)  # paths as bytes too
    assert net.forward_all(x=np.ones((3, 1, 1, 1, 3)))["y"].shape == (3, 1, 1, 1, 3)
    assert [part["x"].shape[0] for part in net._batch({"x": np.ones((3, 1, 1, 1, 3))})] == [2, 2]


def test_a_saved_net_is_the_one_that_runs(tmp_path: Path) -> None:
    text = """name: "n" force_backward: true
layer { name: "i" type: "Input" top: "x" input_param { shape { dim: [2, 3] } } }
layer { name: "l" type: "Input" top: "t" input_param { shape { dim: [2] } }
        include { phase: TRAIN } }
layer { name: "f" type: "InnerProduct" bottom: "x" top: "f" loss_weight: 2
        inner_product_param { num_output: 3 } }
layer { name: "p" type: "Softmax" bottom: "f" top: "p" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "f" bottom: "t" top: "loss"
        include { phase: TRAIN } }
"""
    path = tmp_path / "n.prototxt"
    path.write_text(text)
    saved = {}
    for phase in (caffe.TRAIN, caffe.TEST):
        caffe.Net(str(path), phase).save(str(tmp_path / "w"))
        saved[phase] = message = caffe.proto.caffe_pb2.NetParameter()
        message.ParseFromString((tmp_path / "w").read_bytes())
        assert message.name == "n" and not message.force_backward
        assert {layer.phase for layer in message.layer} == {phase}
    names = [layer.name for layer in saved[caffe.TRAIN].layer]
    assert names == ["i", "l", "f", "f_f_0_split", "p", "loss"]
    split, product = saved[caffe.TRAIN].layer[3], saved[caffe.TRAIN].layer[2]
    assert list(split.loss_weight) == [2, 0, 0] and not product.loss_weight
    assert list(saved[caffe.TRAIN].layer[5].loss_weight) == [1]
    assert [layer.name for layer in saved[caffe.TEST].layer] == ["i", "f", "f_f_0_split", "p"]
    again = caffe.Net(str(path), caffe.TRAIN, weights=str(tmp_path / "w"))
    assert again.params["f"][0].shape == (3, 3)


def test_layers_and_parameters_are_of_the_classes_that_scripts_ask_for() -> None:
    net = digits()
    assert net.params is net.params and net.blobs is net.blobs
    layer = net.layer_dict["ip1"]
    assert isinstance(layer, caffe.Layer) and type(layer).__name__ == "Layer"
    assert type(net.params["ip1"]).__name__ == "BlobVec" and layer.blobs is net.params["ip1"]
