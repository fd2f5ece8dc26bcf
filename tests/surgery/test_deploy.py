from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from netc.cli.main import main
from netc.diagnostics import Diagnostic, NetcError
from netc.frontend import build, read_net
from netc.schema.message import Message
from netc.surgery.deploy import deploy
from netc.surgery.printing import printed
from tests.surgery.nets import answers, layer_types, net_of, noise, weights_of

TRAIN = """# a small net
name: "small"
# where pictures come from
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 12 mean_value: [1, 2, 3] } data_param { batch_size: 64 } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 12 mean_value: [1, 2, 3] } data_param { batch_size: 50 } }
# the first convolution
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"  # of 3x3
  param { lr_mult: 1 decay_mult: 1 } param { name: "b" lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 5 } }
layer { name: "seen" type: "Silence" bottom: "label" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
# the loss
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def tops(net: Message) -> list[str]:
    return [top for layer in net.get("layer") for top in layer.get("top")]


def test_a_training_net_becomes_one_for_inference() -> None:
    net = net_of(TRAIN)
    made = deploy(net)
    assert layer_types(made.message) == ["Input", "Convolution", "ReLU", "InnerProduct", "Softmax"]
    assert made.built.graph.outputs == ("prob",)
    assert made.built.graph.shape("data") == (1, 3, 12, 12)
    assert (
        printed(net, made.message)
        == """# a small net
name: "small"
layer {
  name: "data"
  type: "Input"
  top: "data"
  input_param {
    shape {
      dim: 1
      dim: 3
      dim: 12
      dim: 12
    }
  }
}
# the first convolution
layer {
  name: "conv"
  type: "Convolution"
  bottom: "data"
  top: "conv"  # of 3x3
  param {
  }
  param {
    name: "b"
  }
  convolution_param {
    num_output: 4
    kernel_size: 3
  }
}
layer {
  name: "relu"
  type: "ReLU"
  bottom: "conv"
  top: "conv"
}
layer {
  name: "ip"
  type: "InnerProduct"
  bottom: "conv"
  top: "ip"
  inner_product_param {
    num_output: 5
  }
}
# the loss
layer {
  name: "prob"
  type: "Softmax"
  bottom: "ip"
  top: "prob"
}
"""
    )


def test_it_gives_the_scores_that_the_training_net_gives() -> None:
    net = net_of(TRAIN)
    made = deploy(net, batch=2)
    weights = weights_of(made.message)
    data = noise(2, 3, 12, 12)
    scores = deploy(net, until=["ip"], batch=2)
    got = answers(scores.message, weights, {"data": data})["ip"]
    prob = answers(made.message, weights, {"data": data})["prob"]
    wanted = np.exp(got - got.max(1, keepdims=True))
    np.testing.assert_allclose(prob, wanted / wanted.sum(1, keepdims=True), rtol=1e-5)


HEADS = """
layer { name: "d" type: "MemoryData" top: "data" top: "a" memory_data_param {
  batch_size: 4 channels: 1 height: 6 width: 6 } }
layer { name: "split" type: "Slice" bottom: "a" top: "b" top: "c" slice_param { slice_point: 1 } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 3 } }
layer { name: "aux" type: "InnerProduct" bottom: "data" top: "aux"
  inner_product_param { num_output: 3 } }
layer { name: "multi" type: "InnerProduct" bottom: "data" top: "multi"
  inner_product_param { num_output: 2 } }
layer { name: "loss1" type: "SoftmaxWithLoss" bottom: "aux" bottom: "b" top: "loss1"
  loss_weight: 0.3 }
layer { name: "loss2" type: "SoftmaxWithLoss" bottom: "ip" bottom: "b" top: "loss2" }
layer { name: "loss3" type: "SigmoidCrossEntropyLoss" bottom: "multi" bottom: "c" top: "loss3" }
layer { name: "loss4" type: "EuclideanLoss" bottom: "c" bottom: "multi" top: "loss4" }
"""


def test_every_loss_has_its_prediction_and_lesser_ones_of_the_same_labels_go() -> None:
    made = deploy(net_of(HEADS))
    assert made.built.graph.outputs == ("ip_prob", "multi_prob")
    assert "aux" not in tops(made.message) and "b" not in tops(made.message)
    assert any("its weight is 0.3" in change.message for change in made.changes)


def test_the_blobs_that_are_asked_for_are_given_back_and_no_other() -> None:
    made = deploy(net_of(HEADS), until=["aux"])
    assert made.built.graph.outputs == ("aux",)
    with pytest.raises(NetcError, match="no blob `loss2`"):
        deploy(net_of(HEADS), until=["loss2"])


def test_a_softmax_that_is_there_is_taken() -> None:
    text = TRAIN + 'layer { name: "p" type: "Softmax" bottom: "ip" top: "p" }'
    assert deploy(net_of(text)).built.graph.outputs == ("p",)


def test_a_loss_of_the_training_phase_alone_counts() -> None:
    text = TRAIN.replace('top: "loss" }', 'top: "loss" include { phase: TRAIN } }')
    assert deploy(net_of(text)).built.graph.outputs == ("prob",)


def test_data_of_the_training_phase_alone_tells_the_input() -> None:
    text = TRAIN.replace(
        'type: "Data" top: "data" top: "label" include { phase: TEST }',
        'type: "DummyData" top: "z" include { phase: TEST } include { phase: TEST }',
    )
    old = "transform_param { crop_size: 12 mean_value: [1, 2, 3] } data_param { batch_size: 50 }"
    text = text.replace(old, "dummy_data_param { shape { dim: 1 } }")
    text = text.replace('layer { name: "seen" type: "Silence" bottom: "label" }\n', "")
    assert deploy(net_of(text)).built.graph.shape("data") == (1, 3, 12, 12)


def test_the_stage_that_texts_call_deploy_is_taken() -> None:
    text = TRAIN + (
        'layer { name: "only" type: "Softmax" bottom: "ip" top: "only" '
        'include { stage: "deploy" } }'
    )
    assert deploy(net_of(text)).built.graph.outputs == ("only",)


FASTER = """
layer { name: "input" type: "Python" top: "data" top: "im_info" top: "gt_boxes"
  python_param { module: "roi_data_layer.layer" layer: "RoIDataLayer" } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "cls" type: "Convolution" bottom: "conv" top: "rpn_prob"
  convolution_param { num_output: 18 kernel_size: 1 } }
layer { name: "box" type: "Convolution" bottom: "conv" top: "rpn_box"
  convolution_param { num_output: 36 kernel_size: 1 } }
layer { name: "proposal" type: "Python" bottom: "rpn_prob" bottom: "rpn_box" bottom: "im_info"
  top: "rpn_rois" python_param { module: "rpn.proposal_layer" layer: "ProposalLayer"
  param_str: "'feat_stride': 16" } }
layer { name: "roi-data" type: "Python" bottom: "rpn_rois" bottom: "gt_boxes"
  top: "rois" top: "labels" python_param { module: "rpn.proposal_target_layer"
  layer: "ProposalTargetLayer" param_str: "'num_classes': 21" } }
layer { name: "pool" type: "ROIPooling" bottom: "conv" bottom: "rois" top: "pool"
  roi_pooling_param { pooled_w: 2 pooled_h: 2 spatial_scale: 0.0625 } }
layer { name: "score" type: "InnerProduct" bottom: "pool" top: "cls_score"
  inner_product_param { num_output: 21 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "cls_score" bottom: "labels" top: "loss" }
"""


def test_a_detector_reads_its_proposals_where_training_samples_them() -> None:
    shapes = {"data": (1, 3, 32, 48), "im_info": (1, 3)}
    made = deploy(net_of(FASTER), inputs=shapes)
    assert made.built.graph.outputs == ("prob",)
    pool = next(x for x in made.message.get("layer") if x.get("name") == "pool")
    assert pool.get("bottom") == ("conv", "rpn_rois")
    assert "gt_boxes" not in tops(made.message)


CASCADE = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 4 dim: 8 dim: 8 } } }
layer { name: "regions" type: "Input" top: "proposals" input_param { shape { dim: 9 dim: 5 } } }
layer { name: "truth" type: "DetectionData" top: "images" top: "gt_boxes" include { phase: TRAIN } }
layer { name: "sampled" type: "ProposalTarget" bottom: "proposals" bottom: "gt_boxes" top: "rois"
  top: "labels" top: "targets" top: "inside" top: "outside" top: "match" include { phase: TRAIN } }
layer { name: "low" type: "ScaleRoute" bottom: "rois" bottom: "labels" bottom: "match"
  top: "rois_low" top: "labels_low" top: "match_low" scale_route_param { high_scale: 4 } }
layer { name: "high" type: "ScaleRoute" bottom: "rois" bottom: "labels" bottom: "match"
  top: "rois_high" top: "labels_high" top: "match_high" scale_route_param { low_scale: 4 } }
layer { name: "joined" type: "Concat" bottom: "rois_low" bottom: "rois_high" top: "all"
  concat_param { axis: 0 } }
layer { name: "matched" type: "Concat" bottom: "match_low" bottom: "match_high" top: "matched"
  concat_param { axis: 0 } }
layer { name: "pool" type: "ROIPooling" bottom: "data" bottom: "all" top: "pool"
  roi_pooling_param { pooled_w: 2 pooled_h: 2 spatial_scale: 1 } }
layer { name: "box" type: "InnerProduct" bottom: "pool" top: "box"
  inner_product_param { num_output: 8 } }
layer { name: "second" type: "DecodeBBox" bottom: "box" bottom: "all" bottom: "matched"
  top: "second" }
"""


def test_what_takes_targets_in_training_takes_regions_alone_in_inference() -> None:
    made = deploy(net_of(CASCADE))
    bottoms = {x.get("name"): x.get("bottom") for x in made.message.get("layer")}
    assert bottoms["low"] == bottoms["high"] == ("proposals",)
    assert bottoms["second"] == ("box", "all")
    assert not {"truth", "sampled", "matched"} & bottoms.keys()


def test_what_no_size_mends_is_told_before_a_size_is_asked_for() -> None:
    text = TRAIN.replace("crop_size: 12 ", "").replace('"ReLU"', '"RealReLU"')
    with pytest.raises(NetcError, match="RealReLU"):
        deploy(net_of(text))


def test_a_size_that_nothing_tells_is_asked_for_with_its_place() -> None:
    text = TRAIN.replace("crop_size: 12 ", "")
    with pytest.raises(NetcError) as caught:
        deploy(net_of(text))
    found = caught.value.diagnostics[0]
    assert found.code == "unknown-input-shape"
    assert found.span is not None and (found.span.line, found.span.column) == (6, 15)
    assert found.help[0].startswith("give it with --input-shape data=1,3,HEIGHT,WIDTH")


def test_weights_tell_the_size_and_the_channels() -> None:
    weights = weights_of(deploy(net_of(TRAIN)).message)
    text = TRAIN.replace("crop_size: 12 mean_value: [1, 2, 3]", "scale: 1")
    made = deploy(net_of(text), weights=weights)
    assert made.built.graph.shape("data") == (1, 3, 12, 12)
    assert [d.code for d in made.diagnostics] == ["assumed-size"]


def test_channels_that_nothing_tells_are_those_of_colours_with_a_warning() -> None:
    made = deploy(net_of(TRAIN.replace("mean_value: [1, 2, 3]", "")))
    assert made.built.graph.shape("data") == (1, 3, 12, 12)
    assert [d.code for d in made.diagnostics] == ["assumed-channels"]


def test_a_batch_that_the_net_fixes_stays() -> None:
    text = TRAIN + (
        'layer { name: "r" type: "Reshape" bottom: "ip" top: "r" '
        "reshape_param { shape { dim: 50 dim: 5 } } }"
    )
    made = deploy(net_of(text))
    assert made.built.graph.shape("data")[0] == 50
    assert "the batch stays 50" in made.changes[-1].message


def test_a_net_of_losses_alone_is_refused() -> None:
    text = (
        'layer { name: "d" type: "Data" top: "data" top: "label" }\n'
        'layer { name: "l" type: "EuclideanLoss" bottom: "data" bottom: "label" top: "l" }'
    )
    with pytest.raises(NetcError) as caught:
        deploy(net_of(text))
    assert caught.value.diagnostics[0].code == "nothing-to-deploy"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, out = tmp_path / "train.prototxt", tmp_path / "deploy.prototxt"
    train.write_text(TRAIN, encoding="utf-8")
    assert main(["deploy", str(train), "-o", str(out)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-1] == f"wrote {out}: data 1x3x12x12 -> prob 1x5"
    assert main(["check", str(out)]) == 0
    capsys.readouterr()
    assert main(["deploy", str(train), "-o", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outputs"] == {"prob": [1, 5]}


def test_the_input_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = tmp_path / "train.prototxt"
    train.write_text(TRAIN, encoding="utf-8")
    assert main(["deploy", str(train), "-o", str(train)]) == 1
    assert "overwrites-input" in capsys.readouterr().err
    assert train.read_text(encoding="utf-8") == TRAIN
    assert main(["deploy", str(train), "-o", str(train), "--force"]) == 0


TRAINED = """
layer { name: "data" type: "Data" top: "data" top: "label" data_param {
  source: "x" batch_size: 8 } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param {
  num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
BESIDE = """
layer { name: "data" type: "Input" top: "data" input_param {
  shape { dim: 64 dim: 1 dim: 6 dim: 6 } } }
layer { name: "NAME" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param {
  num_output: 2 } }
"""


def test_a_text_to_deploy_beside_it_tells_the_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, beside = tmp_path / "lenet_train.prototxt", tmp_path / "lenet_deploy.prototxt"
    train.write_text(TRAINED)
    out = tmp_path / "out.prototxt"
    assert main(["deploy", str(train), "-o", str(out)]) == 1  # nothing beside it
    assert "unknown-input-shape" in capsys.readouterr().err
    beside.write_text(BESIDE.replace("NAME", "another"))  # another net's
    assert main(["deploy", str(train), "-o", str(out)]) == 1
    capsys.readouterr()
    beside.write_text(BESIDE.replace("NAME", "ip"))
    assert main(["deploy", str(train), "-o", str(out)]) == 0
    told = capsys.readouterr()
    assert "`lenet_deploy.prototxt` beside it does: `data` 64x1x6x6" in told.err
    graph = build(read_net(out).message).graph
    assert graph.shape("data") == (1, 1, 6, 6)
    asked = ["deploy", str(train), "-o", str(out), "--force", "--input-shape", "data=3,2,4,4"]
    assert main(asked) == 0
    assert build(read_net(out).message).graph.shape("data") == (3, 2, 4, 4)


TWIN = TRAINED.replace("data_param", "transform_param { crop_size: 7 } data_param")


def test_a_text_to_train_the_same_net_tells_the_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    val, out = tmp_path / "val.prototxt", tmp_path / "out.prototxt"
    val.write_text(TRAINED)
    (tmp_path / "train.prototxt").write_text(TWIN.replace("num_output: 2", "num_output: 3"))
    assert main(["deploy", str(val), "-o", str(out)]) == 1  # another net of the same names
    (tmp_path / "train.prototxt").write_text(TWIN)
    assert main(["deploy", str(val), "-o", str(out)]) == 0
    told = capsys.readouterr().err
    assert "`train.prototxt` beside it does: `data` 1x3x7x7" in told and "assumed-channels" in told
    assert build(read_net(out).message).graph.shape("data") == (1, 3, 7, 7)
    (tmp_path / "train_b.prototxt").write_text(TWIN.replace("crop_size: 7", "crop_size: 9"))
    assert main(["deploy", str(val), "-o", str(out), "--force"]) == 1  # which of the two?


def asked(text: str) -> Diagnostic:
    with pytest.raises(NetcError) as error:
        deploy(net_of(text))
    return error.value.diagnostics[0]


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ("crop_height: 12 crop_width: 10", (12, 10)),
        ("crop_h: 9 crop_w: 8", (9, 8)),
        ("resize_param { height: 11 width: 13 }", (11, 13)),
        ("crop_size: 12 resize_param { height: 14 width: 14 }", (12, 12)),
    ],
)
def test_a_transformation_of_forks_tells_the_size(fields: str, size: tuple[int, int]) -> None:
    text = TRAIN.replace("crop_size: 12", fields)
    assert deploy(net_of(text)).built.graph.shape("data") == (1, 3, *size)


def test_the_data_layer_of_training_tells_the_size_that_the_one_of_tests_does_not() -> None:
    test = "crop_size: 12 mean_value: [1, 2, 3] } data_param { batch_size: 50"
    net = net_of(TRAIN.replace(test, test.replace("crop_size: 12 ", "")))
    made = deploy(net)
    assert made.built.graph.shape("data") == (1, 3, 12, 12)
    (told,) = made.diagnostics
    assert (told.code, told.severity) == ("assumed-size", "note")
    assert "another phase" in told.message and "3x12x12" in told.message
    given = deploy(net, inputs={"data": (1, 3, 9, 9)})
    assert not given.diagnostics and given.built.graph.shape("data") == (1, 3, 9, 9)


@pytest.mark.parametrize(
    ("fields", "example"),
    [
        ('data_param { source: "examples/mnist/mnist_train_lmdb" }', "data=1,1,28,28"),
        ('data_param { source: "a/cifar10_lmdb" }', "data=1,3,32,32"),
        ('transform_param { mean_value: [1, 2] } data_param { source: "x" }', "data=1,2,224,224"),
        ('data_param { source: "x" }', "data=1,3,224,224"),
    ],
)
def test_an_error_about_a_size_has_an_example(fields: str, example: str) -> None:
    text = (
        'layer { name: "d" type: "Data" top: "data" top: "label" ' + fields + " }\n"
        'layer { name: "c" type: "Convolution" bottom: "data" top: "c"'
        " convolution_param { num_output: 2 kernel_size: 3 } }\n"
        'layer { name: "l" type: "SoftmaxWithLoss" bottom: "c" bottom: "label" top: "l" }'
    )
    told = asked(text)
    assert told.code == "unknown-input-shape"
    assert told.help[1].startswith("for example") and told.help[1].endswith(example)


def test_where_no_shape_fits_the_first_fault_is_told() -> None:
    told = asked("""layer { name: "data" type: "Data" top: "data" top: "label" }
    layer { name: "a" type: "Convolution" bottom: "data" top: "a"
      convolution_param { num_output: 2 kernel_size: 3 } }
    layer { name: "b" type: "Convolution" bottom: "data" top: "b"
      convolution_param { num_output: 3 kernel_size: 3 } }
    layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }""")
    (help,) = [text for text in told.help if "no shape" in text]
    assert "with --input-shape data=1,3,224,224: layer `sum` (Eltwise)" in help


def test_an_example_where_not_even_the_axes_are_known() -> None:
    text = """layer { name: "d" type: "HDF5Data" top: "data" hdf5_data_param { source: "x" } }
layer { name: "c" type: "InnerProduct" bottom: "data" top: "c"
  inner_product_param { num_output: 2 } }
"""
    assert asked(text).help[-1] == "for example: --input-shape data=1,3,224,224"
