"""``caffe_pb2``: Caffe's messages for google.protobuf."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from netc.compat.pycaffe.proto import caffe_pb2
from netc.data import prototxt_dir
from netc.schema.load import load_schema

DIGITS = prototxt_dir() / "digits"


def test_a_text_is_read_changed_and_written() -> None:
    net = caffe_pb2.NetParameter()
    text_format.Merge((DIGITS / "deploy.prototxt").read_text(encoding="utf-8"), net)
    assert net.layer[1].convolution_param.num_output == 16
    net.layer.extend([caffe_pb2.LayerParameter(name="more", type="ReLU")])
    net.layer.add(name="pool").pooling_param.pool = caffe_pb2.PoolingParameter.AVE
    text = text_format.MessageToString(net)
    assert 'name: "more"' in text and "pool: AVE" in text
    again = text_format.Parse(text, caffe_pb2.NetParameter())
    assert again == net


def test_a_caffemodel_is_read() -> None:
    net = caffe_pb2.NetParameter.FromString((DIGITS / "digits.caffemodel").read_bytes())
    sizes = {layer.name: [len(blob.data) for blob in layer.blobs] for layer in net.layer}
    assert sizes["ip2"] == [640, 10]


def test_values_of_enums_are_where_caffes_module_has_them() -> None:
    assert (caffe_pb2.TRAIN, caffe_pb2.TEST) == (0, 1)
    assert caffe_pb2.Phase.Name(1) == "TEST" and caffe_pb2.Phase.Value("TRAIN") == 0
    assert caffe_pb2.PoolingParameter.MAX == 0
    assert caffe_pb2.V1LayerParameter.CONVOLUTION == 4
    assert caffe_pb2.SolverParameter.GPU == 1
    assert caffe_pb2.EltwiseParameter.EltwiseOp.Name(1) == "SUM"


def test_every_message_is_there() -> None:
    assert set(dir(caffe_pb2)) == set(load_schema().messages)
    for name in dir(caffe_pb2):
        if "." not in name:
            assert getattr(caffe_pb2, name)().SerializePartialToString() == b""


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="NetParametre"):
        caffe_pb2.NetParametre  # noqa: B018


def test_fields_of_forks_are_known() -> None:
    text = 'layer { name: "n" type: "Normalize" norm_param { across_spatial: false } }'
    net = text_format.Parse(text, caffe_pb2.NetParameter())
    assert net.layer[0].norm_param.across_spatial is False
