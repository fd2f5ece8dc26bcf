"""FocalLoss and MultiBoxFocalLoss against the formula written out, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError, NetcWarning
from netc.frontend import read_net
from netc.surgery.heads import prediction
from tests.ops.test_fork_parts import close, run
from tests.test_golden import GOLDEN, arrays


def one(scores: np.ndarray, label: int, alpha: float, gamma: float) -> float:
    total = sum(math.exp(s) for s in scores)
    p = math.exp(scores[label]) / total
    return -alpha * (1 - p) ** gamma * math.log(p)


def test_focal_loss_is_the_sum_over_places() -> None:
    rng = np.random.default_rng(1)
    x, label = rng.normal(size=(2, 3, 4)) * 2, rng.integers(0, 3, (2, 4))
    each = [[one(x[n, :, i], label[n, i], 0.25, 2) for i in range(4)] for n in range(2)]
    close(run("FocalLoss", "", x, label), np.mean(each))
    fields = "focal_loss_param { alpha: 0.5 gamma: 1.5 } loss_param { normalization: BATCH_SIZE }"
    each = [[one(x[n, :, i], label[n, i], 0.5, 1.5) for i in range(4)] for n in range(2)]
    close(run("FocalLoss", fields, x, label), np.sum(each) / 2)
    kept = label != 1
    loss, prob = run("FocalLoss", "loss_param { ignore_label: 1 }", x, label, tops=2)
    each = [[one(x[n, :, i], label[n, i], 0.25, 2) for i in range(4)] for n in range(2)]
    close(loss, (np.array(each) * kept).sum() / kept.sum())
    close(prob.sum(axis=1), np.ones((2, 4)))


def test_one_add_p_is_not_scaled() -> None:
    x, label = np.array([[1.0, -1.0]]), np.array([0])
    p = 1 / (1 + math.exp(-2))
    fields = "focal_loss_param { type: ONEADDP alpha: 1 gamma: 2 }"
    close(run("FocalLoss", fields, x, label), -((1 + p) ** 2) * math.log(p))


def test_origin_is_told_to_have_two_readings_unless_they_agree() -> None:
    x, label = np.array([[1.0, -1.0]]), np.array([0])
    with pytest.warns(NetcWarning, match="caffe-windows"):
        run("FocalLoss", "focal_loss_param { type: ORIGIN }", x, label)


@pytest.mark.parametrize(
    ("fields", "shape", "code"),
    [
        ("focal_loss_param { alpha: 0 }", (2,), "out-of-range"),
        ("focal_loss_param { gamma: -1 }", (2,), "out-of-range"),
        ("focal_loss_param { axis: 2 }", (2,), "out-of-range"),
        ("focal_loss_param { type: LINEAR }", (2,), "unsupported-value"),
        ("", (2, 3), "shape-mismatch"),  # a target for each score: a fork's with sigmoids
    ],
)
@pytest.mark.filterwarnings("ignore:.*fork-reading")
def test_refusals(fields: str, shape: tuple[int, ...], code: str) -> None:
    with pytest.raises(NetcError) as caught:
        run("FocalLoss", fields, np.ones((2, 3)), np.zeros(shape))
    assert [d.code for d in caught.value.diagnostics] == [code]


def multibox(tmp_path: Path, kind: str, fields: str = "") -> tuple[Path, dict[str, np.ndarray]]:
    """SSD's golden net with another type of loss, and its inputs."""
    text = (GOLDEN / "forks" / "MultiBoxLoss__default.prototxt").read_text(encoding="utf-8")
    path = tmp_path / f"{kind}.prototxt"
    path.write_text(text.replace('type: "MultiBoxLoss"', f'type: "{kind}" {fields}'), "utf-8")
    return path, arrays(GOLDEN / "forks" / "MultiBoxLoss__default.npz", "in/")


def test_multibox_focal_loss_with_gamma_0_is_multibox_loss_for_alpha_1(tmp_path: Path) -> None:
    plain, feeds = multibox(tmp_path, "MultiBoxLoss")
    focal, _ = multibox(tmp_path, "MultiBoxFocalLoss", "focal_loss_param { alpha: 1 gamma: 0 }")
    losses = []
    for path in (plain, focal):
        net = netc.compile(path, backend="reference", phase="TRAIN")
        losses.append(next(iter(net(feeds).values())))
    close(losses[1], losses[0])


def test_multibox_ssd_loss_is_multibox_loss_without_its_forks_fields(tmp_path: Path) -> None:
    losses = []
    for kind in ("MultiBoxLoss", "MultiBoxSSDLoss"):
        path, feeds = multibox(tmp_path, kind)
        net = netc.compile(path, backend="reference", phase="TRAIN")
        losses.append(next(iter(net(feeds).values())))
    np.testing.assert_array_equal(*losses)
    text = path.read_text(encoding="utf-8")
    for field in ("use_tiny_box_match: true", "conf_loss_type: FOCALSOFTMAX"):
        more = text.replace("multibox_loss_param {", f"multibox_loss_param {{ {field}", 1)
        with pytest.raises(NetcError, match=field.split(": ")[0]):
            netc.compile(text=more, phase="TRAIN")


def test_multibox_focal_loss_learns_along_its_slope(tmp_path: Path) -> None:
    path, feeds = multibox(tmp_path, "MultiBoxFocalLoss", "focal_loss_param { gamma: 1.5 }")
    found = netc.check_gradient(path, feeds=feeds)
    assert found.ok and found.rows, "\n".join(map(str, found.rows))


@pytest.mark.parametrize(("fields", "mined"), [("top_k: 30", True), ("", False)])
def test_a_top_k_that_is_not_written_is_0_in_mining(
    tmp_path: Path, fields: str, mined: bool
) -> None:
    """SSD then keeps no negative: the scores of the matched priors alone have a slope."""
    path, feeds = multibox(tmp_path, "MultiBoxLoss")
    text = path.read_text(encoding="utf-8")
    nms = f"multibox_loss_param {{ nms_param {{ nms_threshold: 0.9 {fields} }}"
    path.write_text(text.replace("multibox_loss_param {", nms), "utf-8")
    found = netc.compile(path, backend="reference", phase="TRAIN").gradients(feeds)
    slopes = found.blobs["conf"].reshape(-1, 4)
    rows = np.abs(slopes).sum(axis=1) > 0
    assert (slopes[rows, 0] < 0).any() == mined  # pulled towards the background


def test_its_deploy_net_has_a_softmax() -> None:
    text = """
    input: "x" input_shape { dim: 2 dim: 3 } input: "t" input_shape { dim: 2 }
    layer { name: "l" type: "FocalLoss" bottom: "x" bottom: "t" top: "loss" }
    """
    made = prediction(read_net(text=text).message.get("layer")[-1])
    assert made is not None and made.kind == "Softmax"
