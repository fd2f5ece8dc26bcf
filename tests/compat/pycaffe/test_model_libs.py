"""``caffe.model_libs``: the nets of the SSD fork's generators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

import netc.compat.pycaffe as caffe
from netc.compat.pycaffe import model_libs
from netc.compat.pycaffe.proto import caffe_pb2
from netc.diagnostics import NetcError
from netc.frontend import build, read_net

PUBLISHED = "intel+caffe/models/intel_optimized_models/ssd/VGGNet/VOC0712/SSD_300x300"


def spec(size: int = 300) -> caffe.NetSpec:
    net = caffe.NetSpec()
    net.data = caffe.layers.Input(shape={"dim": [1, 3, size, size]})
    return net


def layers(net: caffe.NetSpec) -> dict[str, Any]:
    return {layer.name: layer for layer in net.to_proto().layer}


def shapes(net: caffe.NetSpec) -> dict[str, tuple[int, ...]]:
    built = build(read_net(text=str(net.to_proto())).message)
    assert not built.diagnostics
    return {value.blob: value.shape or () for value in built.graph.values.values()}


def test_a_convolution_with_statistics() -> None:
    net = spec(8)
    model_libs.ConvBNLayer(net, "data", "c", True, True, 4, [1, 3], [0, 1], 1, lr_mult=2)
    made = layers(net)
    assert list(made) == ["data", "c", "c_bn", "c_scale", "c_relu"]
    conv = made["c"].convolution_param
    assert (conv.kernel_h, conv.kernel_w, conv.pad_h, conv.pad_w) == (1, 3, 0, 1)
    assert not conv.bias_term and made["c"].param[0].lr_mult == 2
    assert made["c_bn"].batch_norm_param.moving_average_fraction == pytest.approx(0.999)
    assert not made["c_bn"].batch_norm_param.HasField("use_global_stats")
    assert [p.lr_mult for p in made["c_scale"].param] == [2, 2]
    assert {tuple(layer.top) for name, layer in made.items() if name != "data"} == {("c",)}


def test_global_statistics_learn_nothing() -> None:
    net = spec(8)
    model_libs.ConvBNLayer(
        net, "data", "c", True, False, 4, 3, 1, 1, use_scale=False, use_global_stats=True
    )
    made = layers(net)
    assert made["c_bn"].batch_norm_param.use_global_stats
    assert [p.lr_mult for p in made["c_bias"].param] == [0] and "c_relu" not in made


def test_a_convolution_without_statistics_has_a_bias() -> None:
    net = spec(8)
    model_libs.ConvBNLayer(net, "data", "c", False, False, 4, 3, 2, 1, dilation=2)
    made = layers(net)
    assert [p.lr_mult for p in made["c"].param] == [1, 2]
    assert list(made["c"].convolution_param.dilation) == [2] and list(made) == ["data", "c"]


@pytest.mark.parametrize(("value", "values"), [(3, [3, 3]), ([4], [4, 4]), ([1, 2], [1, 2])])
def test_one_value_stands_for_all(value: Any, values: list[int]) -> None:
    assert model_libs.UnpackVariable(value, 2) == values


def test_a_list_of_another_length_is_an_error() -> None:
    with pytest.raises(AssertionError, match="2 values or one are needed, the list has 3"):
        model_libs.UnpackVariable([1, 2, 3], 2)


@pytest.mark.parametrize(
    ("body", "arguments", "top", "shape"),
    [
        ("VGGNetBody", {}, "fc7", (1, 4096)),
        ("VGGNetBody", {"need_fc": False}, "conv5_3", (1, 512, 18, 18)),
        ("VGGNetBody", {"fully_conv": True, "reduced": True, "dilated": True}, "fc7",
         (1, 1024, 19, 19)),
        ("VGGNetBody", {"need_fc": False, "dilate_pool4": True}, "conv5_3", (1, 512, 38, 38)),
        ("VGGNetBody", {"nopool": True, "fully_conv": True}, "fc7", (1, 4096, 10, 10)),
        ("ZFNetBody", {"need_fc": False}, "conv5", (1, 256, 20, 20)),
        ("ZFNetBody", {"fully_conv": True, "reduced": True, "need_fc8": True}, "prob",
         (1, 1000, 11, 11)),
        ("ResNet101Body", {"use_pool5": False}, "res5c", (1, 2048, 10, 10)),
        ("ResNet152Body", {"use_dilation_conv5": True}, "pool5", (1, 2048, 1, 1)),
        ("InceptionV3Body", {"output_pred": True}, "softmax_prob", (1, 1008)),
    ],
)  # fmt: skip
def test_backbones(body: str, arguments: dict[str, Any], top: str, shape: tuple[int, ...]) -> None:
    net = spec(299 if "Inception" in body else 300)
    if "VGG" in body and arguments.get("need_fc") is False and "dilate_pool4" not in arguments:
        net = spec(288)
    assert getattr(model_libs, body)(net, "data", **arguments) is net
    assert shapes(net)[top] == shape


@pytest.mark.parametrize(("body", "blocks"), [("ResNet101Body", 33), ("ResNet152Body", 50)])
def test_residual_blocks(body: str, blocks: int) -> None:
    net = spec(64)
    getattr(model_libs, body)(net, "data")
    made = layers(net)
    assert sum(layer.type == "Eltwise" for layer in made.values()) == blocks
    assert (
        sum("branch1" in name and layer.type == "Convolution" for name, layer in made.items()) == 4
    )


def test_frozen_layers() -> None:
    net = spec()
    model_libs.VGGNetBody(net, "data", need_fc=False, freeze_layers=["conv1_1", "none"])
    made = layers(net)
    assert [p.lr_mult for p in made["conv1_1"].param] == [0, 0]
    assert [p.lr_mult for p in made["conv1_2"].param] == [1, 2]


def head(net: caffe.NetSpec, **arguments: Any) -> list[Any]:
    model_libs.ConvBNLayer(net, "data", "a", False, True, 8, 3, 1, 8)
    model_libs.ConvBNLayer(net, "a", "b", False, True, 8, 3, 1, 2)
    made: list[Any] = model_libs.CreateMultiBoxHead(
        net, num_classes=3, from_layers=["a", "b"], **arguments
    )
    return made


@pytest.mark.parametrize(
    ("arguments", "priors"),
    [
        ({"min_sizes": [16, [32, 48]]}, (1, 2)),
        ({"min_sizes": [16, 32], "max_sizes": [32, 48]}, (2, 2)),
        ({"min_sizes": [16, 32], "aspect_ratios": [[2, 3], [2]]}, (5, 3)),
        ({"min_sizes": [16, 32], "aspect_ratios": [[2, 3], 2], "flip": False}, (3, 2)),
        ({"min_sizes": [16, 32], "max_sizes": [[], 64], "aspect_ratios": [[], 2]}, (1, 4)),
    ],
)
def test_predictions_are_as_many_as_priors(
    arguments: dict[str, Any], priors: tuple[int, int]
) -> None:
    net = spec(64)
    tops = head(net, **arguments)
    count = priors[0] * 8 * 8 + priors[1] * 4 * 4
    found = shapes(net)
    assert len(tops) == 3
    assert found["mbox_loc"] == (1, 4 * count) and found["mbox_conf"] == (1, 3 * count)
    assert found["mbox_priorbox"] == (1, 2, 4 * count)


def test_what_stands_in_front_of_predictions() -> None:
    net = spec(64)
    tops = head(
        net, min_sizes=[16, 32], normalizations=[20, -1], inter_layer_depth=[0, 6],
        use_objectness=True, share_location=False, loc_postfix="_l", conf_postfix="_c",
        img_height=64, img_width=128, steps=[8, 16],
    )  # fmt: skip
    made = layers(net)
    assert made["a_norm"].norm_param.scale_filler.value == 20 and "b_norm" not in made
    assert made["b_inter"].convolution_param.num_output == 6 and "a_inter" not in made
    assert made["b_inter_mbox_loc_l"].convolution_param.num_output == 4 * 3
    assert made["a_norm_mbox_conf_c"].convolution_param.num_output == 3
    boxes = made["b_inter_mbox_priorbox"].prior_box_param
    assert (boxes.img_h, boxes.img_w, boxes.step) == (64, 128, 16)
    assert len(tops) == 4 and shapes(net)["mbox_objectness"] == (1, 2 * (8 * 8 + 4 * 4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_sizes": [1]}, "`min_sizes` and `from_layers` have the same length, not 1 and 2"),
        ({"min_sizes": [1, 2], "steps": [8]}, "`steps` and `from_layers`"),
        ({"min_sizes": [1, 2], "max_sizes": [[2, 3], 4]}, "`max_sizes` and `min_sizes` of `a`"),
        ({"min_sizes": [1, 2], "data_layer": "picture"}, "no blob `picture` yet"),
    ],
)
def test_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(NetcError, match=message) as caught:
        head(spec(64), **arguments)
    assert isinstance(caught.value, AssertionError)


def test_the_number_of_classes_is_positive() -> None:
    with pytest.raises(NetcError, match="`num_classes` is a positive number, not 0"):
        model_libs.CreateMultiBoxHead(spec(8), num_classes=0)


def test_a_data_layer() -> None:
    net = caffe.NetSpec()
    net.data, net.label = model_libs.CreateAnnotatedDataLayer(
        "db", batch_size=4, label_map_file="names", transform_param={"mirror": True},
        batch_sampler=[{"max_sample": 1}, {"sampler": {"min_scale": 0.5}}],
    )  # fmt: skip
    net.only = model_libs.CreateAnnotatedDataLayer("db", output_label=False, train=False)
    first, second = net.to_proto().layer
    assert list(first.top) == ["data", "label"] and first.include[0].phase == caffe.TRAIN
    assert first.data_param.batch_size == 4 and first.transform_param.mirror
    assert len(first.annotated_data_param.batch_sampler) == 2
    assert list(second.top) == ["only"] and second.include[0].phase == caffe.TEST


def test_the_published_net_of_ssd(corpus: Path) -> None:
    """SSD300's training net, as the fork's script for Pascal VOC made it and Intel published it."""
    path = corpus / "files" / PUBLISHED / "train.prototxt"
    if not path.is_file():
        pytest.skip(f"{path} is not in the corpus")
    published = text_format.Parse(path.read_text("utf-8"), caffe_pb2.NetParameter())
    net = caffe.NetSpec()
    net.data, net.label = model_libs.CreateAnnotatedDataLayer("db")
    model_libs.VGGNetBody(net, "data", fully_conv=True, reduced=True, dilated=True, dropout=False)
    last = "relu7"
    for name, outputs, size, pad, stride in (
        ("conv6_1", 256, 1, 0, 1), ("conv6_2", 512, 3, 1, 2), ("conv7_1", 128, 1, 0, 1),
        ("conv7_2", 256, 3, 1, 2), ("conv8_1", 128, 1, 0, 1), ("conv8_2", 256, 3, 0, 1),
        ("conv9_1", 128, 1, 0, 1), ("conv9_2", 256, 3, 0, 1),
    ):  # fmt: skip
        model_libs.ConvBNLayer(net, last, name, False, True, outputs, size, pad, stride)
        last = name
    model_libs.CreateMultiBoxHead(
        net, num_classes=21, use_batchnorm=False, kernel_size=3, pad=1, clip=False,
        from_layers=["conv4_3", "fc7", "conv6_2", "conv7_2", "conv8_2", "conv9_2"],
        min_sizes=[30.0, 60.0, 111.0, 162.0, 213.0, 264.0],
        max_sizes=[60.0, 111.0, 162.0, 213.0, 264.0, 315.0],
        aspect_ratios=[[2], [2, 3], [2, 3], [2, 3], [2], [2]], steps=[8, 16, 32, 64, 100, 300],
        normalizations=[20, -1, -1, -1, -1, -1], prior_variance=[0.1, 0.1, 0.2, 0.2],
    )  # fmt: skip
    made = {layer.name: layer for layer in net.to_proto().layer}
    wanted = {layer.name: layer for layer in published.layer}
    assert list(made) == [name for name in wanted if name != "mbox_loss"]
    assert {n: made[n] for n in made if n != "data"} == {n: wanted[n] for n in made if n != "data"}
