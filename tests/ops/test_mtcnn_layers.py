"""The Python layers of CongWeilin/mtcnn-caffe, row by row."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from tests.ops.test_fork_parts import close, inputs_of, run, text_of

RNG = np.random.default_rng(2)
LABEL = np.array([[1], [-1], [0], [-1]], np.float32)


def layer(name: str) -> str:
    return f'python_param {{ module: "pythonLayer" layer: "{name}" }}'


@pytest.mark.parametrize(("name", "tail"), (("cls_Layer", ()), ("cls_Layer_fc", (1, 1))))
def test_examples_with_a_label_come_first(name: str, tail: tuple[int, ...]) -> None:
    scores = RNG.normal(size=(4, 2, *tail)).astype(np.float32)
    got, label = run("Python", layer(name), scores, LABEL, tops=2)
    close(got, np.stack([scores[0], scores[2], 0 * scores[0], 0 * scores[0]]))
    close(label, [[1], [0], [0], [0]])
    text = inputs_of([scores.shape, LABEL.shape]) + text_of("Python", layer(name), 2, 2)
    text += 'layer { name: "q" type: "Power" bottom: "y0" top: "q" power_param { power: 2 } }'
    text += 'layer { name: "r" type: "Reduction" bottom: "q" top: "r" loss_weight: 1 }'
    text += 'layer { name: "s" type: "Silence" bottom: "y1" }'
    net = netc.compile(text="force_backward: true\n" + text, backend="reference")
    slopes = net.gradients({"x0": scores, "x1": LABEL}).blobs["x0"]
    close(slopes, 2 * scores * (LABEL != -1).reshape(4, 1, *tail))


def test_scores_of_another_shape() -> None:
    with pytest.raises(NetcError, match="scores of 4x2 are needed, the bottom is 4x3"):
        run("Python", layer("cls_Layer"), np.zeros((4, 3)), LABEL, tops=2)


@pytest.mark.parametrize("some", (True, False))
def test_regression_of_a_batch_with_targets(some: bool) -> None:
    x, target = RNG.normal(size=(2, 3, 4)).astype(np.float32)
    target[:, 0] = [0.5, -1, -1] if some else -1
    close(run("Python", layer("regression_Layer"), x, target),
          [((x - target) ** 2).sum() / 6 if some else 0])  # fmt: skip
    text = inputs_of([x.shape, target.shape])
    text += text_of("Python", layer("regression_Layer") + " loss_weight: 0.5", 2, 1)
    net = netc.compile(text="force_backward: true\n" + text, backend="reference")
    slopes = net.gradients({"x0": x, "x1": target}).blobs["x0"]
    close(slopes, (x - target) / 3 if some else 0 * x)  # the loss's weight is passed over there
