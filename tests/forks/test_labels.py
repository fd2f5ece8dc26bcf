"""Layers of forks that compare with labels, beyond the numbers that forks computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError


def run(layer: str, phase: str = "TEST", **arrays: Any) -> Any:
    inputs = "".join(
        f'input: "{name}" input_shape {{ {" ".join(f"dim: {size}" for size in a.shape)} }}\n'
        for name, a in arrays.items()
    )
    bottoms = " ".join(f'bottom: "{name}"' for name in arrays)
    text = f'{inputs}layer {{ name: "l" {bottoms} top: "l" {layer} }}'
    net = netc.compile(text=text, backend="reference", phase=phase)
    return net({name: a.astype(np.float32) for name, a in arrays.items()})["l"]


def test_of_equal_scores_the_last_is_taken() -> None:
    scores, labels = np.zeros((1, 3, 1, 2)), np.array([2, 0]).reshape(1, 1, 1, 2)
    assert run('type: "EltwiseAccuracy"', x=scores, t=labels).item() == 0.5
    skipped = 'type: "EltwiseAccuracy" eltwise_accuracy_param { ignore_label: 0 }'
    assert run(skipped, x=scores, t=labels).item() == 1


def places(values: list[int]) -> np.ndarray[Any, Any]:
    return np.array(values).reshape(1, 1, 1, -1)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ("", [[0, 1, 0], [0, 0, 1], [0, 0, 0]]),
        ("fg_bias: 2", [[0, 2, 0], [0, 0, 2], [0, 0, 0]]),
        ("bg_bias: 5", [[5, 5, 5], [0, 0, 1], [0, 0, 0]]),
        ("background_label: 2 bg_bias: 5", [[0, 1, 0], [0, 0, 1], [5, 5, 5]]),
    ],
)
def test_a_known_background_is_raised_at_each_place(fields: str, wanted: list[list[float]]) -> None:
    """Loops of bias_channel_layer.cpp for labels 255, 0 and 1, where 255 is ignored."""
    ignored = "ignore_label: 255 label_type: PIXEL"
    layer = f'type: "BiasChannel" bias_channel_param {{ {ignored} fg_bias: 1 {fields} }}'
    layer = layer.replace("fg_bias: 1 fg_bias", "fg_bias")
    labels = places([255, 0, 1])
    made = run(layer, x=np.zeros((1, 3, 1, 3)), t=labels)[0, :, 0]
    wanted = [[0, *row[1:]] for row in wanted]  # the ignored place keeps its scores
    assert np.array_equal(made, np.array(wanted))


def test_the_background_of_an_image_is_label_0() -> None:
    fields = "bg_bias: 5 fg_bias: 1 background_label: 1"
    layer = f'type: "BiasChannel" bias_channel_param {{ {fields} }}'
    made = run(layer, x=np.zeros((1, 3, 1, 2)), t=np.array([0, 1]).reshape(1, 2, 1, 1))
    assert np.array_equal(made[0, :, 0], [[5, 5], [1, 1], [0, 0]])


def test_seg_accuracy_counts_absent_classes_as_wholly_found() -> None:
    """confusion_matrix.cpp: an empty intersection over an empty union is 1."""
    scores = np.zeros((1, 4, 1, 3))  # all equal: the last class is the prediction
    made = run('type: "SegAccuracy"', x=scores, t=places([3, 3, 1]))
    assert made.reshape(-1) == pytest.approx([2 / 3, (1 + 0) / 2, (1 + 0 + 1 + 2 / 3) / 4])


def test_more_labels_than_unique_label_has_room_for() -> None:
    layer = 'type: "UniqueLabel" unique_label_param { max_labels: 2 ignore_label: 255 }'
    assert run(layer, x=places([7, 255, 3])).reshape(-1).tolist() == [3, 7]
    with pytest.raises(NetcError, match="an image has 3 labels, and `max_labels` is 2"):
        run(layer, x=places([7, 2, 3]))
    with pytest.raises(NetcError, match="must be more than the 2 forced"):
        run(layer.replace("255", "9 force_label: [0, 1]"), x=places([1]))


def test_a_sequence_is_right_without_its_repeats_and_blanks() -> None:
    said = np.eye(4)[[[1, 1, 0, 1, 2], [3, 3, 0, 0, 2]]]
    labels = np.array([[1, 1, 2], [3, 0, 1]])
    assert run('type: "LabelsequenceAccuracy"', x=said, t=labels) == 0.5


@pytest.mark.parametrize("bias", (0.35, -0.35))
def test_the_margin_is_taken_off_scores_above_it(bias: float) -> None:
    x, layer = np.array([[0.3, 1], [2, 1]]), 'type: "LabelSpecificAdd"'
    layer += f" label_specific_add_param {{ bias: {bias} }}"
    labels = np.array([0, 0])
    assert np.array_equal(run(layer, x=x, t=labels), x.astype(np.float32))
    wanted = [[0.3, 1], [1.65, 1]]
    assert run(layer, "TRAIN", x=x, t=labels) == pytest.approx(np.array(wanted))


ANCHORS = "biases: [32, 32, 64, 64, 96, 96, 128, 128, 160, 160]"
YOLO = {
    "RegionLoss": (f"region_loss_param {{ num_class: 3 {ANCHORS} }}", 40),
    "Yolov3": (f"yolov3_param {{ num_class: 3 num: 2 mask: [0, 1] {ANCHORS} }}", 16),
}


@pytest.mark.parametrize("kind", YOLO)
@pytest.mark.parametrize("centre", ((1.5, 0.5), (0.5, 1), (-0.1, 0.5), (np.inf, 0.5)))
def test_a_true_box_outside_the_image_is_refused(kind: str, centre: tuple[float, float]) -> None:
    param, channels = YOLO[kind]
    labels = np.zeros((1, 300, 5))
    labels[0, 0] = 0, *centre, 0.3, 0.3
    with pytest.raises(NetcError, match="outside the image") as raised:
        run(f'type: "{kind}" {param}', x=np.zeros((1, channels, 3, 3)), t=labels)
    assert raised.value.diagnostics[0].code == "region-out-of-range"
