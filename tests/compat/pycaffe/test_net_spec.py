"""``caffe.NetSpec``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import netc.compat.pycaffe as caffe
from netc.compat.pycaffe import layers as L  # noqa: N812
from netc.compat.pycaffe import params as P  # noqa: N812
from netc.diagnostics import NetcError, Source


def lenet() -> caffe.NetSpec:
    n = caffe.NetSpec()
    n.data, n.label = L.DummyData(ntop=2, dummy_data_param=dict(shape=[dict(dim=[2, 1, 8, 8]),
                                                                       dict(dim=[2])]))  # fmt: skip
    n.conv1 = L.Convolution(
        n.data, kernel_size=3, num_output=4, weight_filler=dict(type="xavier"),
        param=[dict(lr_mult=1), dict(lr_mult=2)],
    )  # fmt: skip
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(n.relu1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.score = L.InnerProduct(n.pool1, num_output=3, weight_filler=dict(type="xavier"))
    n["loss"] = L.SoftmaxWithLoss(n.score, n.label, include=dict(phase=caffe.TRAIN))
    return n


def test_a_net_is_written_as_pycaffe_writes_it() -> None:
    net = lenet().to_proto()
    names = [(layer.name, list(layer.bottom), list(layer.top)) for layer in net.layer]
    assert names == [
        ("data", [], ["data", "label"]),
        ("conv1", ["data"], ["conv1"]),
        ("relu1", ["conv1"], ["conv1"]),
        ("pool1", ["conv1"], ["pool1"]),
        ("score", ["pool1"], ["score"]),
        ("loss", ["score", "label"], ["loss"]),
    ]
    conv = net.layer[1]
    assert list(conv.convolution_param.kernel_size) == [3]
    assert conv.convolution_param.weight_filler.type == "xavier"
    assert [p.lr_mult for p in conv.param] == [1, 2]
    assert net.layer[3].pooling_param.HasField("pool") and net.layer[5].include[0].phase == 0


def test_what_is_written_runs() -> None:
    net = caffe.Net(Source("spec", str(lenet().to_proto())), caffe.TEST)
    assert net.forward()["score"].shape == (2, 3)
    assert net.blobs["conv1"].data.shape == (2, 4, 6, 6)


def test_names_are_made_up_where_none_are_given() -> None:
    data = L.Input(shape=dict(dim=[1, 2]))
    net = caffe.to_proto(L.ReLU(L.Power(data, shift=-1, in_place=True)), L.Power(data))
    assert [(layer.name, list(layer.top)) for layer in net.layer] == [
        ("Input1", ["Input1"]), ("Power1", ["Input1"]), ("ReLU1", ["ReLU1"]),
        ("Power2", ["Power2"]),
    ]  # fmt: skip
    assert net.layer[1].power_param.shift == -1
    assert str(L.ReLU(data).to_proto()) == str(caffe.to_proto(L.ReLU(data)))


def test_a_layer_without_tops_and_blobs_taken_back() -> None:
    n = caffe.NetSpec()
    n.data = L.Input(input_param=dict(shape=dict(dim=[1])))
    n.end = L.Silence(n.data, ntop=0)
    assert [layer.name for layer in n.to_proto().layer] == ["data", "end"]
    del n["end"]
    assert [layer.name for layer in n.to_proto().layer] == ["data"] and n["data"] is n.data
    with pytest.raises(AttributeError, match="`end`"):
        n.end  # noqa: B018


def test_very_deep_nets_are_written() -> None:
    top = L.Input(shape=dict(dim=[1]))
    for _ in range(3000):
        top = L.ReLU(top)
    assert len(caffe.to_proto(top).layer) == 3001


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda x: L.Convolution(x, kernal_size=3), "unknown-field"),
        (lambda x: L.Pooling(x, pool="MAXIMUM"), "bad-argument"),
        (lambda x: L.Convolution(x, num_output="many"), "bad-argument"),
        (lambda x: L.Convolution(x, weight_filler="xavier"), "bad-argument"),
        (lambda x: L.ReLU("data"), "bad-argument"),
        (lambda x: L.Split(x, ntop=2, in_place=True), "bad-argument"),
    ],
)
def test_mistakes_are_told(make: Any, code: str) -> None:
    with pytest.raises(NetcError) as error:
        caffe.to_proto(make(L.Input(shape=dict(dim=[1]))))
    assert error.value.diagnostics[0].code == code


def test_pooling_by_the_values_name() -> None:
    data = L.Input(shape=dict(dim=[1, 1, 4, 4]))
    net = caffe.to_proto(L.Pooling(data, pool="AVE", global_pooling=True))
    assert net.layer[1].pooling_param.pool == P.Pooling.AVE
    assert net.layer[1].pooling_param.global_pooling


SCRIPT = """
import netc.compat.pycaffe
netc.compat.pycaffe.install()
import caffe
import caffe.io
from caffe import layers as L, params as P
from caffe.proto import caffe_pb2
assert caffe is netc.compat.pycaffe and caffe.io.caffe_pb2 is caffe_pb2
net = caffe.Net({net!r}, {weights!r}, caffe.TEST)
net.blobs["data"].data[...] = 1
print(net.forward()["prob"].shape, P.Pooling.MAX, L.ReLU)
"""


def test_import_lines_of_caffe_can_be_left_as_they_are() -> None:
    from netc.data import prototxt_dir

    digits = prototxt_dir() / "digits"
    files = {"net": str(digits / "deploy.prototxt"), "weights": str(digits / "digits.caffemodel")}
    root = Path(caffe.__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(**files)],
        capture_output=True, text=True, check=False, cwd=root,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str((1, 10)))


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (lambda: L.Convolution(kernal_size=3), "ConvolutionParameter has no field `kernal_size`"),
        (lambda: L.Data(sorce="x"), "DataParameter has no field `sorce`"),
        (lambda: L.ReLU(kernel_size=3), "ReLUParameter has no field `kernel_size`"),
        (lambda: L.Data(transform_param={"scle": 1}), "TransformationParameter has no field"),
        (lambda: L.NoSuchLayer(kernal_size=3), "LayerParameter has no field `kernal_size`"),
    ],
)
def test_a_hint_names_the_message_that_the_person_is_in(layer: Any, told: str) -> None:
    net = caffe.NetSpec()
    net.x = layer()
    with pytest.raises(NetcError) as caught:
        net.to_proto()
    assert told in caught.value.diagnostics[0].message


def test_names_and_fields_of_the_ssd_fork() -> None:
    net = lenet()
    assert net.keys()[-2:] == ["score", "loss"] and net.vals()[-1] is net.loss
    net.update("conv1", {"num_output": 7, "param": [dict(lr_mult=0)]})
    conv = next(layer for layer in net.to_proto().layer if layer.name == "conv1")
    assert conv.convolution_param.num_output == 7 and len(conv.param) == 1
