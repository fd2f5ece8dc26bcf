"""Names that forks give to several layers: which one the fields say, and what is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import Diagnostic, NetcWarning, Source
from netc.frontend import Built, build, read_net

RNG = np.random.default_rng


def text_of(layer: str, **inputs: tuple[int, ...]) -> str:
    made = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {size}" for size in shape)
        + " } } }\n"
        for name, shape in inputs.items()
    )
    return made + layer.replace("BOTTOMS", " ".join(f'bottom: "{name}"' for name in inputs))


def built(layer: str, **inputs: tuple[int, ...]) -> Built:
    return build(read_net(Source("net.prototxt", text_of(layer, **inputs))).message)


def told(found: Built) -> list[Diagnostic]:
    return [d for d in found.diagnostics if d.severity != "note"]


@pytest.mark.parametrize(
    ("fields", "op"),
    [
        ("", "ReLU"),
        ("relu_param { negative_slope: 0.1 }", "ReLU"),
        ("relu_param { relu6: false maximum: 0 }", "ReLU"),
        ("relu_param { relu6: true }", "ReLU6"),
        ("relu_param { maximum: 2 }", "ReLU6"),
        ("relu_param { minimum: -1 }", "BoundedReLU"),
    ],
)
def test_bounds_make_another_layer_of_relu(fields: str, op: str) -> None:
    found = built(f'layer {{ name: "l" type: "ReLU" BOTTOMS top: "y" {fields} }}', x=(2, 3))
    assert [node.op for node in found.graph.nodes] == [op]
    assert not told(found)


def test_a_bounded_relu_keeps_both_bounds(backend: str) -> None:
    layer = (
        'layer { name: "l" type: "ReLU" BOTTOMS top: "y" relu_param { negative_slope: 0.5 '
        "relu6: true maximum: 2 minimum: -0.5 } }"
    )
    net = netc.compile(text=text_of(layer, x=(6,)), backend=backend)
    out = net(x=np.array([-3, -0.5, 0, 1, 2.5, 9], np.float32))["y"]
    assert out.tolist() == [-0.5, -0.25, 0, 1, 2, 2]


@pytest.mark.parametrize(
    ("fields", "op", "codes"),
    [
        ("roi_pooling_param { pooled_h: 2 pooled_w: 2 }", "ROIAlign", []),
        ("roi_align_param { pooled_h: 2 pooled_w: 2 }", "ROIAlignGreatest", ["fork-reading"]),
        ("roi_align_param { pooled_h: 2 pooled_w: 2 sampling_ratio: 2 }", "ROIAlignMean", []),
    ],
)
def test_roi_align_is_told_by_its_fields(fields: str, op: str, codes: list[str]) -> None:
    layer = f'layer {{ name: "l" type: "ROIAlign" BOTTOMS top: "y"\n{fields} }}'
    found = built(layer, x=(1, 2, 8, 8), r=(3, 5))
    assert [node.op for node in found.graph.nodes] == [op]
    assert [d.code for d in told(found)] == codes


def naive_mean(x: Any, region: Any, cells: tuple[int, int], scale: float, samples: int) -> Any:
    """Detectron's mean of samples, sample by sample."""
    x0, y0, x1, y1 = (float(v) * scale for v in region[1:])
    high, wide = max(y1 - y0, 1) / cells[0], max(x1 - x0, 1) / cells[1]
    down, across = samples or int(np.ceil(high)), samples or int(np.ceil(wide))
    out = np.zeros((x.shape[0], *cells))
    for i, j in np.ndindex(*cells):
        for a, b in np.ndindex(down, across):
            y, w = y0 + (i + (a + 0.5) / down) * high, x0 + (j + (b + 0.5) / across) * wide
            out[:, i, j] += between(x, y, w) / (down * across)
    return out


def between(x: Any, y: float, w: float) -> Any:
    rows, columns = x.shape[1:]
    if y < -1 or y > rows or w < -1 or w > columns:
        return np.zeros(len(x))
    y, w = min(max(y, 0), rows - 1), min(max(w, 0), columns - 1)
    i, j = int(y), int(w)
    k, n = min(i + 1, rows - 1), min(j + 1, columns - 1)
    b, a = y - i, w - j
    upper = x[:, i, j] * (1 - a) + x[:, i, n] * a
    lower = x[:, k, j] * (1 - a) + x[:, k, n] * a
    return upper * (1 - b) + lower * b


@pytest.mark.parametrize("samples", [0, 1, 3])
def test_the_mean_of_samples_is_as_a_loop_over_samples(samples: int) -> None:
    layer = (
        'layer { name: "l" type: "ROIAlign" BOTTOMS top: "y" roi_align_param { pooled_h: 3 '
        f"pooled_w: 2 spatial_scale: 0.25 sampling_ratio: {samples} }} }}"
    )
    rng = RNG(samples)
    x = rng.normal(size=(2, 3, 9, 11)).astype(np.float32)
    corners = rng.uniform(-6, 50, (7, 2, 2))
    regions = np.concatenate(
        [rng.integers(0, 2, (7, 1)), corners.min(axis=1), corners.max(axis=1)], axis=1
    ).astype(np.float32)
    net = netc.compile(text=text_of(layer, x=x.shape, r=(7, 5)), backend="reference")
    wanted = [naive_mean(x[int(r[0])], r, (3, 2), 0.25, samples) for r in regions]
    np.testing.assert_allclose(net(x=x, r=regions)["y"], wanted, rtol=1e-4, atol=1e-5)


def test_a_region_of_no_image_is_refused() -> None:
    layer = (
        'layer { name: "l" type: "ROIAlign" BOTTOMS top: "y" roi_align_param { pooled_h: 1 '
        "pooled_w: 1 sampling_ratio: 1 } }"
    )
    net = netc.compile(text=text_of(layer, x=(1, 1, 4, 4), r=(1, 5)), backend="reference")
    with pytest.raises(netc.NetcError, match="region 0 is of image 3, and there are 1"):
        net(x=np.zeros((1, 1, 4, 4), np.float32), r=np.array([[3, 0, 0, 1, 1]], np.float32))


@pytest.mark.parametrize(
    ("fields", "op"),
    [
        ("ratio: 1 scale: 8", "Proposal"),
        ("max_rois: 4 anchor_ratio: 1 anchor_scale: 1", "ProposalOfOne"),
        ("anchor_ratio: 1 anchor_scale: 1", "ProposalOfOne"),
    ],
)
def test_proposals_are_told_by_their_anchors(fields: str, op: str) -> None:
    layer = f'layer {{ name: "l" type: "Proposal" BOTTOMS top: "y" proposal_param {{ {fields} }} }}'
    found = built(layer, s=(1, 2, 4, 4), d=(1, 4, 4, 4), i=(1, 3))
    assert [node.op for node in found.graph.nodes] == [op]


EVALUATE = (
    'layer { name: "l" type: "DetectionEvaluate" BOTTOMS top: "y" '
    'detection_evaluate_param { num_classes: 3 name_size_file: "sizes.txt" } }'
)


def test_cascades_rows_are_judged_in_the_images_own_pixels(tmp_path: Path) -> None:
    """Boxes of 10 pixels in the net's input, 20 in the image: the overlap grows with the size."""
    (tmp_path / "sizes.txt").write_text("a 200 200\nb 100 100\n", encoding="utf-8")
    text = tmp_path / "net.prototxt"
    text.write_text(text_of(EVALUATE, d=(3, 7), t=(2, 8), s=(2, 2)), encoding="utf-8")
    found = np.array(
        [[0, 0, 0, 9, 9, 1, 0.5], [0, 0, 0, 9, 9, 1, 0.9], [1, 0, 0, 9, 9, 2, 0.7]], np.float32
    )
    truth = np.array([[0, 0, 0, 9, 9, 1, 0, 0], [1, 50, 50, 60, 60, 2, 0, 0]], np.float32)
    sizes = np.full((2, 2), 100, np.float32)
    rows = netc.compile(text, backend="reference")(d=found, t=truth, s=sizes)["y"]
    assert rows.reshape(-1, 5).tolist() == [
        [-1, 1, 1, -1, -1],
        [-1, 2, 1, -1, -1],
        [0, 1, np.float32(0.9), 1, 0],
        [0, 1, 0.5, 0, 1],
        [1, 2, np.float32(0.7), 0, 1],
    ]


def test_without_the_file_of_sizes_boxes_are_compared_as_they_are(tmp_path: Path) -> None:
    text = tmp_path / "net.prototxt"
    text.write_text(text_of(EVALUATE, d=(1, 1, 1, 7), t=(1, 1, 1, 8)), encoding="utf-8")
    with pytest.warns(NetcWarning, match=r"no file `sizes\.txt`.*does without the images' sizes"):
        net = netc.compile(text, backend="reference")
    found = np.array([0, 1, 0.5, 0, 0, 0.5, 0.5], np.float32).reshape(1, 1, 1, 7)
    truth = np.array([0, 1, 0, 0, 0, 0.5, 0.4, 0], np.float32).reshape(1, 1, 1, 8)
    assert net(d=found, t=truth)["y"][0, 0, -1].tolist() == [0, 1, 0.5, 1, 0]


@pytest.mark.parametrize(
    ("resize", "right"),
    [
        ("", 0),
        ("resize_param { height: 100 width: 100 }", 0),
        ("resize_param { height: 100 width: 100 resize_mode: FIT_LARGE_SIZE_AND_PAD }", 1),
    ],
)
def test_padding_is_taken_off_before_boxes_are_compared(
    tmp_path: Path, resize: str, right: int
) -> None:
    """A wide image has padding above and below; without it both boxes are as high as the image."""
    (tmp_path / "sizes.txt").write_text("a 100 200\n", encoding="utf-8")
    text = tmp_path / "net.prototxt"
    fields = EVALUATE.replace('"sizes.txt"', f'"sizes.txt" {resize}')
    text.write_text(text_of(fields, d=(1, 1, 1, 7), t=(1, 1, 1, 8)), encoding="utf-8")
    found = np.array([0, 1, 0.5, 0, 0, 0.5, 0.7], np.float32).reshape(1, 1, 1, 7)
    truth = np.array([0, 1, 0, 0, 0.25, 0.5, 1.75, 0], np.float32).reshape(1, 1, 1, 8)
    rows = netc.compile(text, backend="reference")(d=found, t=truth)["y"]
    assert rows[0, 0, -1, 3:].tolist() == [right, 1 - right]


def test_a_file_of_sizes_that_says_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "sizes.txt").write_text("a 1 b\n", encoding="utf-8")
    text = tmp_path / "net.prototxt"
    text.write_text(text_of(EVALUATE, d=(1, 1, 1, 7), t=(1, 1, 1, 8)), encoding="utf-8")
    with pytest.raises(netc.NetcError, match=r"sizes\.txt` cannot be read"):
        netc.compile(text, backend="reference")


MINING = (
    'layer { name: "l" type: "DetectionGroupLoss" BOTTOMS top: "y" detection_group_loss_param { '
    'cls_num: 2 field_h: 8 field_w: 8 stride: 4 bg_multiple: 2 neg_mining_type: "%s" %s } }'
)


def mined(kind: str, more: str = "", seed: int = 0) -> Any:
    """Which places of 6x7 with 3 positives count."""
    from netc.ops.detection.cascade_loss import choose
    from netc.ops.random import generator_key

    shapes = {"c": (1, 2, 6, 7), "b": (1, 4, 6, 7), "g": (1, 6, 6, 7)}
    found = built(MINING % (kind, more), **shapes)
    assert not told(found)
    rng = RNG(1)
    labels = np.zeros(shapes["g"], np.float32)
    labels[0, 0, 2, 1:4] = 1
    inputs = [rng.normal(size=shapes["c"]), rng.normal(size=shapes["b"]), labels]
    arrays = [np.asarray(a, np.float32) for a in inputs]
    return choose(found.graph.nodes[0].params, [*arrays, generator_key(seed, 5)]).used


@pytest.mark.parametrize("kind", ["random", "mixture", "bootstrap"])
def test_as_many_negatives_are_mined_as_the_multiple_says(kind: str) -> None:
    used = mined(kind)
    assert used[0, 2, 1:4].all()
    assert used.sum() == 3 + 2 * 3
    assert (used == mined(kind)).all()


def test_random_mining_draws_anew_and_bootstrap_does_not() -> None:
    assert (mined("random") != mined("random", seed=1)).any()
    assert (mined("bootstrap") == mined("bootstrap", seed=1)).all()
    hardest, mixed = mined("bootstrap"), mined("mixture")
    assert (hardest & mixed).sum() >= 3 + 3  # positives and the hardest half


def test_a_batch_size_limits_positives_too() -> None:
    used = mined("random", "batch_size: 3")
    assert used.sum() == 3
    assert used[0, 2, 1:4].sum() == 1
