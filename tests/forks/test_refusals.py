"""What layers of forks refuse, with the place in the text."""

from __future__ import annotations

import pytest

from netc.diagnostics import Diagnostic, Source
from netc.frontend import build, read_net


def errors(layer: str, **inputs: tuple[int, ...]) -> list[Diagnostic]:
    text = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {size}" for size in shape)
        + " } } }\n"
        for name, shape in inputs.items()
    )
    bottoms = " ".join(f'bottom: "{name}"' for name in inputs)
    text += layer.replace("BOTTOMS", bottoms)
    built = build(read_net(Source("net.prototxt", text)).message)
    return [d for d in built.diagnostics if d.severity == "error"]


REFUSED = [
    (
        'layer { name: "l" type: "MultiBoxLoss" BOTTOMS top: "l"\n'
        "  multibox_loss_param { num_classes: 3 } }",
        {"a": (1, 16), "b": (1, 13), "p": (1, 2, 16), "t": (1, 1, 2, 8)},
        "shape-mismatch", "4 priors with 3 confidences each need 12",
    ),
    (
        'layer { name: "l" type: "MultiBoxLoss" BOTTOMS top: "l"\n'
        "  multibox_loss_param { num_classes: 3 share_location: false } }",
        {"a": (1, 48), "b": (1, 12), "p": (1, 2, 16), "t": (1, 1, 2, 8)},
        "unsupported-value", "mined for shared locations alone",
    ),
    (
        'layer { name: "l" type: "MultiBoxLoss" BOTTOMS top: "l"\n'
        "  multibox_loss_param { num_classes: 3 map_object_to_agnostic: true } }",
        {"a": (1, 16), "b": (1, 12), "p": (1, 2, 16), "t": (1, 1, 2, 8)},
        "unsupported-value", "objects of one kind need `num_classes: 2`",
    ),
    (
        'layer { name: "l" type: "SoftmaxWithLoss" BOTTOMS top: "l"\n'
        "  softmax_param { label_smooth_factor: 0.1 } }",
        {"a": (2, 4), "t": (2,)}, "unsupported-field", "`label_smooth_factor`",
    ),
    (
        'layer { name: "l" type: "InfogainLoss" BOTTOMS top: "l"\n'
        "  softmax_param { margin: 0.1 } }",
        {"a": (2, 4), "t": (2,), "h": (4, 4)}, "unsupported-field", "`margin`",
    ),
    (
        'layer { name: "l" type: "SmoothL1Loss" BOTTOMS top: "l"\n'
        "  smoothl1_param { turn_point: 2 } }",
        {"a": (2, 4), "b": (2, 4)}, "unsupported-field", "`turn_point`",
    ),
    (
        'layer { name: "l" type: "SmoothL1Loss" BOTTOMS top: "l" }',
        {"a": (2, 4), "b": (2, 5)}, "shape-mismatch", "as many elements",
    ),
    (
        'layer { name: "l" type: "ROIAlign" BOTTOMS top: "l"\n'
        "  }",
        {"a": (1, 2, 8, 8), "r": (3, 5)}, "ambiguous-layer", "different layers in different forks",
    ),
    (
        'layer { name: "l" type: "DetectionGroupLoss" BOTTOMS top: "l"\n'
        "  detection_group_loss_param { cls_num: 2 field_h: 8 field_w: 8 stride: 4\n"
        '    neg_mining_type: "hard" } }',
        {"c": (1, 2, 3, 3), "b": (1, 4, 3, 3), "g": (1, 6, 3, 3)},
        "unsupported-value", 'none of "bootstrap"',
    ),
    (
        'layer { name: "l" type: "Yolov3DetectionOutput" BOTTOMS top: "l"\n'
        "  yolov3_detection_output_param { num_classes: 2 num_box: 1 biases: 1 biases: 1\n"
        "    mask: 0 mask_group_num: 1 anchors_scale: 8 } }",
        {"x": (1, 8, 3, 3)}, "shape-mismatch", "need 7 channels",
    ),
    (
        'layer { name: "l" type: "Yolov3DetectionOutput" BOTTOMS top: "l"\n'
        "  yolov3_detection_output_param { num_classes: 2 num_box: 1 biases: 1 biases: 1\n"
        "    mask: 4 mask_group_num: 1 anchors_scale: 8 } }",
        {"x": (1, 7, 3, 3)}, "out-of-range", "one of 1 anchors",
    ),
    (
        'layer { name: "l" type: "Pooling3D" BOTTOMS top: "l"\n'
        "  pooling3d_param { kernel_size: 2 kernel_l: 9 } }",
        {"x": (1, 2, 3, 4, 4)}, "shape-mismatch", "larger than the padded",
    ),
    (
        'layer { name: "l" type: "Correlation" BOTTOMS top: "l"\n'
        "  correlation_param { kernel_size: 2 max_displacement: 1 } }",
        {"a": (1, 2, 8, 8), "b": (1, 2, 8, 8)}, "out-of-range", "must be odd",
    ),
    (
        'layer { name: "l" type: "Lstm" BOTTOMS top: "l"\n'
        "  lstm_param { num_output: 3 batch_size: 4 } }",
        {"x": (6, 2)}, "shape-mismatch", "steps times `batch_size` 4",
    ),
    (
        'layer { name: "l" type: "Interp" BOTTOMS top: "l"\n'
        "  interp_param { use_blob_size: true } }",
        {"x": (1, 2, 3, 3)}, "bottom-count", "a second bottom",
    ),
    (
        'layer { name: "l" type: "CtcLoss" BOTTOMS top: "l"\n'
        "  ctc_loss_param { alphabet_size: 5 time_step: 4 } }",
        {"x": (4, 2, 6), "t": (2, 3)}, "shape-mismatch", "4 steps of 5 symbols",
    ),
    (
        'layer { name: "l" type: "SoftmaxWithLoss" BOTTOMS top: "l"\n'
        "  loss_param { weight_by_label_freqs: true class_weighting: 1 class_weighting: 2 } }",
        {"x": (4, 3), "t": (4,)}, "shape-mismatch", "3 classes need as many weights",
    ),
    (
        'layer { name: "l" type: "SoftmaxWithLoss" BOTTOMS top: "l"\n'
        "  loss_param { class_weighting: 1 class_weighting: 2 class_weighting: 3 } }",
        {"x": (4, 3), "t": (4,)}, "missing-field", "without `weight_by_label_freqs`",
    ),
    (
        'layer { name: "l" type: "RegionLoss" BOTTOMS top: "l"\n'
        "  region_loss_param { num_class: 3 biases: [1, 1] } }",
        {"x": (1, 40, 5, 5), "t": (1, 300, 5)}, "value-count", "5 anchors, and there are 2",
    ),
    (
        'layer { name: "l" type: "RegionLoss" BOTTOMS top: "l"\n'
        "  region_loss_param { num_class: 3 biases: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1] } }",
        {"x": (1, 40, 5, 5), "t": (1, 30, 5)}, "shape-mismatch", "300 rows of 5",
    ),
    (
        'layer { name: "l" type: "LabelSpecificAdd" BOTTOMS top: "l"\n'
        "  label_specific_add_param { bias_base: 0.2 } }",
        {"x": (4, 3), "t": (4,)}, "unsupported-field", "bias_base",
    ),
    (
        'layer { name: "l" type: "LabelsequenceAccuracy" BOTTOMS top: "l"\n }',
        {"x": (4, 3), "t": (4, 2)}, "shape-mismatch", "examples x steps x symbols",
    ),
    (
        'layer { name: "l" type: "EltwiseAccuracy" BOTTOMS top: "l"\n }',
        {"x": (2, 3, 4, 4), "t": (2, 2, 4, 4)}, "shape-mismatch", "the label one channel",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "inputs", "code", "words"), REFUSED)
def test_refused(layer: str, inputs: dict[str, tuple[int, ...]], code: str, words: str) -> None:
    (found,) = errors(layer, **inputs)
    assert found.code == code and words in found.message
    assert found.span is not None and found.span.line > len(inputs)


def test_p3ds_pooling_rounds_up() -> None:
    layer = (
        'layer { name: "l" type: "Pooling3D" bottom: "x" top: "l"\n'
        "  pooling3d_param { pool: MAX kernel_size: 3 stride: 2 kernel_l: 2 stride_l: 2 } }"
    )
    text = 'input: "x" input_shape { dim: 1 dim: 2 dim: 5 dim: 8 dim: 8 }\n' + layer
    graph = build(read_net(Source("n", text)).message).graph
    assert graph.values["l"].shape == (1, 2, 3, 4, 4)
