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
