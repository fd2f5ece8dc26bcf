"""Shapes for what a text leaves open."""

from __future__ import annotations

import pytest

import netc
from netc.analysis.example_shapes import example_shapes
from netc.frontend import build, read_net, runnable
from netc.ir.types import Shape

HDF5 = 'layer { name: "data" type: "HDF5Data" %s hdf5_data_param { source: "x" batch_size: 8 } }\n'


def examples(text: str, phase: str = "TRAIN", batch: int | None = None) -> dict[str, Shape]:
    """The shapes found, with which the net must be one that runs."""
    net = read_net(text=text)
    built = build(net.message, phase=phase)
    found = example_shapes(built.graph, built.layers, batch)
    runnable(build(net.message, phase=phase, inputs=found))
    return found


def tops(*names: str) -> str:
    return " ".join(f'top: "{name}"' for name in names)


def layer(name: str, kind: str, *bottoms: str, rest: str = "") -> str:
    read = " ".join(f'bottom: "{blob}"' for blob in bottoms)
    return f'layer {{ name: "{name}" type: "{kind}" {read} top: "{name}" {rest} }}\n'


CONVOLUTION = "convolution_param { num_output: 4 kernel_size: %d }"
IP = layer("ip", "InnerProduct", "data", rest="inner_product_param { num_output: 10 }")


@pytest.mark.parametrize(
    ("loss", "label"),
    [
        ("SoftmaxWithLoss", (8,)),
        ("EuclideanLoss", (8, 10)),
        ("SigmoidCrossEntropyLoss", (8, 10)),
        ("HingeLoss", (8,)),
    ],
)
def test_a_label_has_the_shape_that_its_loss_takes(loss: str, label: Shape) -> None:
    found = examples(HDF5 % tops("data", "label") + IP + layer("loss", loss, "ip", "label"))
    assert found["label"] == label


def test_a_label_for_each_place() -> None:
    text = (
        HDF5 % tops("data", "label")
        + layer(
            "c", "Convolution", "data", rest="convolution_param { num_output: 4 kernel_size: 1}"
        )
        + layer("loss", "SoftmaxWithLoss", "c", "label")
    )
    assert examples(text)["label"] == (8, 1, 224, 224)


def test_targets_and_their_weights_are_found_together() -> None:
    text = HDF5 % tops("data", "target", "inside", "outside") + IP
    text += layer("loss", "SmoothL1Loss", "ip", "target", "inside", "outside")
    found = examples(text)
    assert found["target"] == found["inside"] == found["outside"] == (8, 10)


def test_a_label_that_is_cut_is_as_wide_as_its_parts() -> None:
    text = (
        HDF5 % tops("data", "label")
        + IP
        + 'layer { name: "cut" type: "Slice" bottom: "label" top: "class" top: "rest"\n'
        + "  slice_param { axis: 1 slice_point: 1 } }\n"
        + layer("loss", "SoftmaxWithLoss", "ip", "class")
        + layer("other", "EuclideanLoss", "ip", "rest")
    )
    assert examples(text)["label"] == (8, 11)


def test_pictures_are_of_a_size_at_which_no_layer_is_at_fault() -> None:
    text = HDF5 % tops("data") + layer("c", "Convolution", "data", rest=CONVOLUTION % 250)
    found = examples(text)
    assert min(found["data"][2:]) >= 250


def test_pairs_of_pictures_along_the_channels() -> None:
    text = 'layer { name: "p" type: "Data" top: "pair" data_param { batch_size: 4 } }\n'
    text += 'layer { name: "s" type: "Slice" bottom: "pair" top: "a" top: "b"\n'
    text += "  slice_param { slice_point: 1 } }\n"
    share = "convolution_param { num_output: 2 kernel_size: 3 } param { name: 'w' }"
    text += layer("x", "Convolution", "a", rest=share) + layer("y", "Convolution", "b", rest=share)
    assert examples(text)["pair"] == (4, 2, 28, 28)


def test_a_batch_for_which_a_reshape_fits() -> None:
    text = (
        'layer { name: "v" type: "Python" top: "data" python_param { module: "m" layer: "L" } }\n'
    )
    text += IP + layer(
        "r", "Reshape", "ip", rest="reshape_param { shape { dim: 3 dim: 5 dim: 10 } }"
    )
    assert examples(text)["data"][0] == 15


def test_another_batch_than_the_text_says() -> None:
    text = 'layer { name: "d" type: "Data" top: "data" top: "label" data_param { batch_size: 64 }\n'
    text += "  transform_param { crop_size: 12 mean_value: 1 mean_value: 2 } }\n" + IP
    text += layer("loss", "SoftmaxWithLoss", "ip", "label")
    net = read_net(text=text)
    assert build(net.message).graph.shape("data") == (64, 2, 12, 12)
    assert examples(text) == {}


def test_rows_of_darknet_and_maps_of_objects_are_what_eric612s_data_layer_documents() -> None:
    text = (
        'layer { name: "d" type: "AnnotatedData" top: "data" top: "label" top: "seg"\n'
        "  transform_param { resize_param { height: 64 width: 96 } mean_value: [1, 2, 3] }\n"
        "  data_param { batch_size: 4 } annotated_data_param { yolo_data_type: 1 } }\n"
    ) + IP
    found = examples(text)
    assert found == {} or found["label"] == (4, 1, 300, 5)
    graph = build(read_net(text=text).message).graph
    assert graph.shape("label") == (4, 1, 300, 5)
    assert graph.shape("seg") == (4, 1, 8, 12)


def test_the_regions_of_fast_rcnn_are_told_from_true_boxes_by_their_names() -> None:
    net = 'layer { name: "d" type: "Python" %s python_param { layer: "RoIDataLayer" } }\n'
    one = build(read_net(text=net % tops("data", "rois", "labels")).message).graph
    assert one.shape("rois") == (1, 5)
    other = build(read_net(text=net % tops("data", "im_info", "gt_boxes")).message).graph
    assert other.shape("im_info") == (1, 3)


def test_clips_have_an_axis_of_time_and_joined_frames_have_none() -> None:
    net = 'layer { name: "d" type: "VideoData" top: "data" top: "label" video_data_param {\n'
    net += "  batch_size: 2 new_length: 16 new_height: 8 new_width: 9 %s } }\n"
    clips = build(read_net(text=net % "").message).graph
    assert clips.shape("data") == (2, 3, 16, 8, 9)
    joined = build(read_net(text=net % "modality: RGB").message).graph
    assert joined.shape("data") == (2, 48, 8, 9)


def test_a_net_that_no_shapes_fit_gets_those_with_the_fewest_faults() -> None:
    text = HDF5 % tops("data") + IP
    text += layer("r", "Reshape", "ip", rest="reshape_param { shape { dim: 7 dim: 7 dim: 7 } }")
    built = build(read_net(text=text).message)
    assert set(example_shapes(built.graph, built.layers)) == {"data"}


def test_a_name_without_a_shape_that_a_layer_makes_is_forgotten() -> None:
    text = 'input: "data"\nlayer { name: "i" type: "Input" top: "data"\n'
    text += "  input_param { shape { dim: 1 dim: 3 } } }\n" + IP
    assert netc.compile(text=text, missing="fill", backend="reference").inputs == {"data": (1, 3)}


def test_pictures_have_the_channels_at_which_they_are_cut() -> None:
    text = HDF5 % tops("data")
    text += 'layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "b"\n'
    text += "  slice_param { slice_point: 7 } }\n"
    assert examples(text)["data"] == (8, 8, 224, 224)


def test_maps_that_are_cut_fit_the_maps_beside_any_part() -> None:
    text = (
        HDF5 % tops("data", "label")
        + layer("c", "Convolution", "data", rest=CONVOLUTION % 1)
        + 'layer { name: "cut" type: "Slice" bottom: "label" top: "mask" top: "rest"\n'
        + "  slice_param { axis: 1 slice_point: 4 } }\n"
        + layer("prod", "Eltwise", "c", "mask", rest="eltwise_param { operation: PROD }")
        + layer("gone", "Power", "rest")
    )
    assert examples(text)["label"] == (8, 5, 224, 224)


def test_pictures_of_a_layer_are_alike_and_a_batch_is_large_enough_for_thirds() -> None:
    names = ("anchor", "like", "unlike")
    data = f'layer {{ name: "data" type: "Python" {tops(*names)} python_param {{ module: "m" '
    text = data + 'layer: "TripletDataLayer" } }\n'
    text += "".join(layer(f"c{name}", "Convolution", name, rest=CONVOLUTION % 5) for name in names)
    found = examples(text)
    assert set(found) == set(names) and len(set(found.values())) == 1
    chosen = layer("fc", "InnerProduct", "cb", rest="inner_product_param { num_output: 4 }")
    chosen += f'layer {{ name: "select" type: "Python" bottom: "fc" {tops("a", "p", "n")} '
    chosen += 'python_param { module: "tripletselectlayer" layer: "TripletSelectLayer" } }\n'
    one = 'layer { name: "data" type: "Python" top: "b" python_param { module: "m" layer: "D" } }\n'
    one += layer("cb", "Convolution", "b", rest=CONVOLUTION % 5) + chosen
    assert examples(one)["b"][0] >= 3


def test_labels_have_four_axes_where_a_layer_behind_their_loss_needs_them() -> None:
    text = """
    layer { name: "d" type: "Python" top: "data" top: "rois" top: "labels" top: "bbox_targets"
      top: "bbox_inside_weights" top: "bbox_outside_weights" python_param {
        module: "roi_data_layer.layer" layer: "RoIDataLayer" param_str: "'num_classes': 3" } }
    layer { name: "p" type: "ROIPooling" bottom: "data" bottom: "rois" top: "p"
      roi_pooling_param { pooled_h: 1 pooled_w: 1 } }
    layer { name: "c" type: "Convolution" bottom: "p" top: "c"
      convolution_param { num_output: 3 kernel_size: 1 } }
    layer { name: "b" type: "Convolution" bottom: "p" top: "b"
      convolution_param { num_output: 8 kernel_size: 1 } }
    layer { name: "lc" type: "SoftmaxWithLossOHEM" bottom: "c" bottom: "labels"
      top: "lc" top: "prob" top: "each" }
    layer { name: "lb" type: "SmoothL1LossOHEM" bottom: "b" bottom: "bbox_targets"
      bottom: "bbox_inside_weights" top: "lb" top: "each_b" }
    layer { name: "sum" type: "Eltwise" bottom: "each" bottom: "each_b" top: "sum" }
    layer { name: "a" type: "BoxAnnotatorOHEM" bottom: "rois" bottom: "sum" bottom: "labels"
      bottom: "bbox_inside_weights" top: "l" top: "w"
      box_annotator_ohem_param { roi_per_img: 128 ignore_label: -1 } }
    """
    found = examples(text)
    assert found["labels"] == (1, 1, 1, 1)
    assert found["bbox_targets"] == found["bbox_inside_weights"] == (1, 8, 1, 1)


def test_a_batch_holds_every_scale_of_a_picture() -> None:
    text = """
    layer { name: "d" type: "Python" top: "data" top: "info_boxes" top: "parameters" python_param {
        module: "gt_data_layer.layer" layer: "GtDataLayer" param_str: "'num_classes': 3" } }
    layer { name: "f" type: "FeatureExtrapolating" bottom: "data" top: "f"
      feature_extrapolating_param { scale_string: "0.25 0.5 1.0 2.0" num_scale_base: 4
        num_per_octave: 2 } }
    """
    found = examples(text)
    assert found["data"][0] == 4
    assert found["info_boxes"] == (1, 18)


def test_labels_of_the_first_yolo_are_those_of_its_cells() -> None:
    text = 'layer { name: "d" type: "BoxData" top: "data" top: "label" data_param {\n'
    text += "  batch_size: 2 } transform_param { force_color: true } }\n"
    text += layer("fc", "InnerProduct", "data", rest="inner_product_param { num_output: 117 }")
    text += 'layer { name: "loss" type: "DetectionLoss" bottom: "fc" bottom: "label" top: "loss"\n'
    text += "  detection_loss_param { side: 3 num_class: 3 } }\n"
    assert examples(text)["label"] == (2, 63)


def recurrent(name: str, *bottoms: str) -> str:
    return layer(name, "LSTM", *bottoms, rest="recurrent_param { num_output: 3 }")


EMBED = layer("e", "Embed", "words", rest="embed_param { num_output: 4 input_dim: 9 }")
PICTURES = """
layer { name: "pictures" type: "DummyData" top: "p" dummy_data_param { shape { dim: [5, 7] } } }
"""


def test_captions_have_a_step_for_each_row_and_a_stream_for_each_picture() -> None:
    text = PICTURES + HDF5 % tops("cont", "words", "target") + EMBED
    text += recurrent("r", "e", "cont", "p")
    text += layer("ip", "InnerProduct", "r", rest="inner_product_param { num_output: 9 axis: 2 }")
    text += layer("loss", "SoftmaxWithLoss", "ip", "target", rest="softmax_param { axis: 2 }")
    found = examples(text)
    assert found["cont"] == found["words"] == found["target"] == (8, 5)


def test_features_of_each_step_and_of_each_stream() -> None:
    text = HDF5 % tops("x", "cont", "static") + recurrent("r", "x", "cont", "static")
    found = examples(text, phase="TEST")
    assert found == {"x": (8, 2, 16), "cont": (8, 2), "static": (2, 16)}
