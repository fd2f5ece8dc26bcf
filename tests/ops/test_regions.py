"""The R-CNN layers against plain loops and, where it is installed, against OpenCV's."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netc.diagnostics import NetcError
from netc.ops.define import ShapeError
from netc.ops.detection.proposal import PROPOSAL, ProposalParams
from netc.ops.detection.proposal_layers import proposal_of
from netc.ops.detection.regions import PSROI_POOLING, ROI_POOLING
from netc.ops.python import PYTHON
from tests.ops.cases import bind_layer, context_of, run_layer
from tests.ops.test_detection_output import opencv, plain_overlap

f32 = np.float32


def layer(kind: str, text: str, bottoms: int = 2, tops: int = 1):
    named = " ".join(f'bottom: "b{i}"' for i in range(bottoms))
    named += " " + " ".join(f'top: "y{i}"' for i in range(tops))
    return bind_layer(f'name: "op" type: "{kind}" {named} {text}')


def half_away(x: float) -> int:
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def drawn_regions(rng: np.random.Generator, number: int, images: int, extent: float) -> np.ndarray:
    """Regions in pixels, some of them partly or wholly outside, some turned inside out."""
    boxes = rng.uniform(-0.3 * extent, 1.3 * extent, (number, 4))
    return np.concatenate([rng.integers(0, images, (number, 1)), boxes], axis=1).astype(f32)


# ROIPooling


def plain_roi(data, regions, rows, columns, scale) -> np.ndarray:
    height, width = data.shape[2:]
    output = np.zeros((len(regions), data.shape[1], rows, columns), f32)
    for n, region in enumerate(regions):
        x0, y0, x1, y1 = (half_away(f32(v) * f32(scale)) for v in region[1:])
        bin_h = f32(max(y1 - y0 + 1, 1)) / f32(rows)
        bin_w = f32(max(x1 - x0 + 1, 1)) / f32(columns)
        for ph, pw in np.ndindex(rows, columns):
            top, bottom = math.floor(f32(ph) * bin_h) + y0, math.ceil(f32(ph + 1) * bin_h) + y0
            left, right = math.floor(f32(pw) * bin_w) + x0, math.ceil(f32(pw + 1) * bin_w) + x0
            top, bottom = (min(max(v, 0), height) for v in (top, bottom))
            left, right = (min(max(v, 0), width) for v in (left, right))
            if bottom > top and right > left:
                part = data[int(region[0]), :, top:bottom, left:right]
                output[n, :, ph, pw] = part.max(axis=(1, 2))
    return output


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    pooled=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    number=st.integers(0, 5),
    scale=st.sampled_from([1.0, 0.5, 0.0625]),
    axes=st.sampled_from([(), (1, 1)]),
    seed=st.integers(0, 9999),
)
def test_roi_pooling_one_by_one(size, pooled, number, scale, axes, seed) -> None:
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(2, 3, *size)).astype(f32)
    regions = drawn_regions(rng, number, 2, max(size) / scale)
    text = f"pooled_h: {pooled[0]} pooled_w: {pooled[1]} spatial_scale: {scale}"
    message = layer("ROIPooling", f"roi_pooling_param {{ {text} }}")
    inputs = [data, regions.reshape(number, 5, *axes)]
    (got,) = run_layer(ROI_POOLING, message, inputs, [])
    np.testing.assert_array_equal(got, plain_roi(data, regions, *pooled, scale))


def test_roi_pooling_is_opencvs(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    data = rng.normal(size=(1, 3, 20, 24)).astype(f32)
    corners = np.sort(rng.integers(0, 160, (9, 2, 2)), axis=1).reshape(9, 4)
    regions = np.concatenate([np.zeros((9, 1)), corners], axis=1).astype(f32)
    text = "roi_pooling_param { pooled_h: 4 pooled_w: 5 spatial_scale: 0.125 }"
    body = f'name: "y" type: "ROIPooling" bottom: "b0" bottom: "b1" top: "y" {text}'
    wanted = opencv(tmp_path, body, {"b0": data, "b1": regions})
    (got,) = run_layer(ROI_POOLING, layer("ROIPooling", text), [data, regions], [])
    np.testing.assert_allclose(got, wanted, atol=1e-6)


# PSROIPooling


def plain_psroi(data, regions, outputs, group, scale) -> np.ndarray:
    height, width = data.shape[2:]
    output = np.zeros((len(regions), outputs, group, group), f32)
    scale = f32(scale)
    for n, region in enumerate(regions):
        x0, y0 = (f32(half_away(v)) * scale for v in region[1:3])
        x1, y1 = (f32(half_away(v) + 1) * scale for v in region[3:])
        bin_w, bin_h = (max(v, f32(0.1)) / f32(group) for v in (x1 - x0, y1 - y0))
        for c, ph, pw in np.ndindex(outputs, group, group):
            top, bottom = math.floor(f32(ph) * bin_h + y0), math.ceil(f32(ph + 1) * bin_h + y0)
            left, right = math.floor(f32(pw) * bin_w + x0), math.ceil(f32(pw + 1) * bin_w + x0)
            top, bottom = (min(max(v, 0), height) for v in (top, bottom))
            left, right = (min(max(v, 0), width) for v in (left, right))
            if bottom > top and right > left:
                channel = (c * group + ph) * group + pw
                output[n, c, ph, pw] = data[int(region[0]), channel, top:bottom, left:right].mean()
    return output


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    outputs=st.integers(1, 3),
    group=st.integers(1, 3),
    number=st.integers(0, 5),
    scale=st.sampled_from([1.0, 0.5, 0.0625]),
    seed=st.integers(0, 9999),
)
def test_psroi_pooling_one_by_one(size, outputs, group, number, scale, seed) -> None:
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(2, outputs * group * group, *size)).astype(f32)
    regions = drawn_regions(rng, number, 2, max(size) / scale)
    text = f"spatial_scale: {scale} output_dim: {outputs} group_size: {group}"
    message = layer("PSROIPooling", f"psroi_pooling_param {{ {text} }}")
    (got,) = run_layer(PSROI_POOLING, message, [data, regions], [])
    wanted = plain_psroi(data, regions, outputs, group, scale)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


# What both refuse

BOTH = [
    (ROI_POOLING, "roi_pooling_param { pooled_h: 2 pooled_w: 2 }"),
    (PSROI_POOLING, "psroi_pooling_param { spatial_scale: 1 output_dim: 1 group_size: 2 }"),
]


@pytest.mark.parametrize(("op", "text"), BOTH)
@pytest.mark.parametrize("image", [2.0, -1.0, float("nan")])
def test_a_region_of_no_image(op, text, image) -> None:
    regions = np.array([[image, 0, 0, 2, 2]], f32)
    with pytest.raises(NetcError) as caught:
        run_layer(op, layer(op.name, text), [np.ones((2, 4, 3, 3), f32), regions], [])
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "region-out-of-range"
    assert diagnostic.message == f"a region is of image {image:g}, and the batch has 2"


@pytest.mark.parametrize(("op", "text"), BOTH)
def test_regions_that_are_no_numbers_raise_no_warning(op, text) -> None:
    regions = np.array([[0, np.nan, np.inf, -np.inf, 1e38]], f32)
    run_layer(op, layer(op.name, text), [np.ones((1, 4, 3, 3), f32), regions], [])


@pytest.mark.parametrize(("op", "text"), BOTH)
@pytest.mark.parametrize(
    ("shapes", "wanted"),
    [
        (((1, 4, 3), (2, 5)), "the first bottom must have 4 axes, it is 1x4x3"),
        (((1, 4, 3, 3), (2, 4)), "x_max and y_max; the bottom is 2x4"),
        (((1, 4, 3, 3), ()), "the bottom is a scalar"),
    ],
)
def test_shapes_that_do_not_fit(op, text, shapes, wanted) -> None:
    message = layer(op.name, text)
    params = op.params(message, context_of(message))
    with pytest.raises(ShapeError) as caught:
        op.shape(params, shapes)
    assert wanted in caught.value.message


def test_psroi_channels() -> None:
    message = layer(*(BOTH[1][0].name, BOTH[1][1]))
    params = PSROI_POOLING.params(message, context_of(message))
    with pytest.raises(ShapeError, match="needs 4 channels, the bottom is 1x5x3x3"):
        PSROI_POOLING.shape(params, [(1, 5, 3, 3), (2, 5)])


@pytest.mark.parametrize(
    ("op", "text", "code", "at"),
    [
        (ROI_POOLING, "roi_pooling_param { pooled_h: 2 }", "missing-field", None),
        (
            PSROI_POOLING,
            "psroi_pooling_param { spatial_scale: 0 output_dim: 1 group_size: 2 }",
            "out-of-range",
            "0",
        ),
        (
            PROPOSAL,
            "proposal_param { ratio: 1 }",
            "missing-field",
            None,
        ),
        (
            PROPOSAL,
            "proposal_param { ratio: 1 scale: 0 }",
            "out-of-range",
            "0",
        ),
        (
            PROPOSAL,
            "proposal_param { ratio: 1 scale: 8 feat_stride: 0 }",
            "out-of-range",
            "0",
        ),
    ],
)
def test_mistakes(op, text, code, at) -> None:
    message = layer(op.name, text)
    with pytest.raises(NetcError) as caught:
        op.params(message, context_of(message))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert at is None or diagnostic.span.text == at


# Proposal

ANCHORS = [(23, 12), (16, 16), (11, 22)]  # of ratios 0.5, 1, 2 on a square of 16


def plain_proposals(scores, deltas, info, stride, scales, before, after, keep_small, least=16):
    """One image's boxes and scores, anchor by anchor."""
    found = []
    for y, x in np.ndindex(scores.shape[2:]):
        for k, (width, height, scale) in enumerate((w, h, s) for w, h in ANCHORS for s in scales):
            w, h = width * scale, height * scale
            cx, cy = x * stride + 7.5 + 0.5, y * stride + 7.5 + 0.5
            dx, dy, dw, dh = deltas[0, 4 * k : 4 * k + 4, y, x]
            cx, cy, w2, h2 = cx + dx * w, cy + dy * h, w * math.exp(dw), h * math.exp(dh)
            box = [cx - w2 / 2, cy - h2 / 2, cx + w2 / 2, cy + h2 / 2]
            box = [min(max(v, 0), info[0, (i + 1) % 2] - 1) for i, v in enumerate(box)]
            score = scores[0, scores.shape[1] // 2 + k, y, x]
            small = min(box[2] - box[0], box[3] - box[1]) + 1 < least * info[0, 2]
            if not small:
                found.append((score, box))
            elif keep_small:
                found.append((0, box))
    found.sort(key=lambda item: -item[0])
    chosen: list = []
    for score, box in found[:before]:
        if len(chosen) < after and all(plain_overlap(box, b, 1) <= 0.7 for _, b in chosen):
            chosen.append((score, box))
    return chosen


def drawn_maps(seed: int, anchors: int, height: int = 4, width: int = 5):
    rng = np.random.default_rng(seed)
    scores = rng.random((1, 2 * anchors, height, width)).astype(f32)
    deltas = rng.normal(scale=0.3, size=(1, 4 * anchors, height, width)).astype(f32)
    return scores, deltas, np.array([[height * 16, width * 16, 1.5]], f32)


PROPOSAL_TEXT = (
    "ratio: 0.5 ratio: 1 ratio: 2 scale: 1 scale: 2 pre_nms_topn: 50 post_nms_topn: 12"
    " feat_stride: 16 base_size: 16 min_size: 16 nms_thresh: 0.7"
)


@pytest.mark.parametrize("seed", range(5))
def test_proposals_one_by_one(seed: int) -> None:
    maps = drawn_maps(seed, 6)
    message = layer("Proposal", f"proposal_param {{ {PROPOSAL_TEXT} }}", 3, 2)
    params = PROPOSAL.params(message, context_of(message))
    assert PROPOSAL.shape(params, [m.shape for m in maps]) == ((12, 5), (12,))
    boxes, scores = PROPOSAL.reference(params, maps, [])
    wanted = plain_proposals(*maps, 16, (1, 2), 50, 12, True)
    assert boxes.dtype == scores.dtype == f32
    np.testing.assert_allclose(scores, [score for score, _ in wanted], rtol=1e-5)
    np.testing.assert_allclose(boxes, [[0, *box] for _, box in wanted], atol=1e-3)


def test_proposals_of_two_images_follow_each_other() -> None:
    first, second = drawn_maps(1, 6), drawn_maps(2, 6)
    maps = [np.concatenate(pair) for pair in zip(first[:2], second[:2], strict=True)]
    message = layer("Proposal", f"proposal_param {{ {PROPOSAL_TEXT} }}", 3)
    params = PROPOSAL.params(message, context_of(message))
    (both,) = PROPOSAL.reference(params, [*maps, first[2]], [])
    (one,), (two,) = (PROPOSAL.reference(params, m, []) for m in (first, second))
    np.testing.assert_array_equal(both[both[:, 0] == 0], one)
    np.testing.assert_array_equal(both[both[:, 0] == 1][:, 1:], two[:, 1:])


@pytest.mark.parametrize(
    ("shapes", "wanted"),
    [
        (((1, 12, 4, 5), (1, 20, 4, 5), (1, 3)), "6 anchors need 24 channels of box changes"),
        (((1, 10, 4, 5), (1, 24, 4, 5), (1, 3)), "6 anchors need 12 channels of scores"),
        (((1, 12, 4, 5), (1, 24, 4, 6), (1, 3)), "on cells as the first bottom's"),
        (((1, 12, 4, 5), (1, 24, 4, 5), (1, 2)), "height, width and scale, it is 1x2"),
    ],
)
def test_proposal_shapes_that_do_not_fit(shapes, wanted) -> None:
    message = layer("Proposal", f"proposal_param {{ {PROPOSAL_TEXT} }}", 3)
    params = PROPOSAL.params(message, context_of(message))
    with pytest.raises(ShapeError) as caught:
        PROPOSAL.shape(params, shapes)
    assert wanted in caught.value.message


# The Python layer of Faster R-CNN


def python_layer(param_str: str, tops: int = 1):
    text = f'module: "rpn.proposal_layer" layer: "ProposalLayer" param_str: "{param_str}"'
    return layer("Python", f"python_param {{ {text} }}", 3, tops)


@pytest.mark.parametrize(
    ("param_str", "scales"),
    [
        ("'feat_stride': 16", (8, 16, 32)),
        ("feat_stride: 16\\nscales: [1, 2]", (1, 2)),
        ("{'feat_stride': 16, 'anchor_scales': [2], 'ratios': [0.5, 1, 2]}", (2,)),
        ("'feat_stride': 16 \\n'scales': !!python/tuple [1, 2]", (1, 2)),
        ("{'feat_stride': 16, 'scales': [1, 2, 4]}", (1, 2, 4)),
    ],
)
def test_faster_rcnns_python_layer(param_str: str, scales: tuple[int, ...]) -> None:
    maps = drawn_maps(7, 3 * len(scales), 8, 9)
    message = python_layer(param_str, 2)
    params = PYTHON.params(message, context_of(message))
    assert PYTHON.shape(params, [m.shape for m in maps]) == ((300, 5), (300, 1))
    boxes, scores = PYTHON.reference(params, maps, [])
    wanted = plain_proposals(*maps, 16, scales, 6000, 300, False)
    np.testing.assert_allclose(scores[:, 0], [score for score, _ in wanted], rtol=1e-5)
    np.testing.assert_allclose(boxes, [[0, *box] for _, box in wanted], atol=2e-3)


def test_all_of_faster_rcnns_fields() -> None:
    text = "{'feat_stride': 8, 'ratios': [1], 'scales': [4], 'base_size': 8, 'min_size': 2,"
    text += " 'pre_nms_topN': 60, 'post_nms_topN': 30, 'nms_thresh': 0.5}"
    message = python_layer(text)
    found = proposal_of(PYTHON.params(message, context_of(message)))
    assert found == ProposalParams(8, 8, 2, (1.0,), (4.0,), 60, 30, 0.5, 2, False, True)


def test_faster_rcnn_finds_nothing() -> None:
    scores, deltas, _ = drawn_maps(7, 9)
    message = python_layer("'feat_stride': 16")
    params = PYTHON.params(message, context_of(message))
    huge = np.array([[64, 80, 1000]], f32)  # every box is too small
    (boxes,) = PYTHON.reference(params, [scores, deltas, huge], [])
    assert boxes.shape == (0, 5)


@pytest.mark.parametrize(
    "param_str",
    ["", "'feat_stride': 4,8,16,32,64", "'feat_stride': 0", "'stride': 16", "'feat_stride': 16 x",
     "'feat_stride': 16, 'scales': 8", "'feat_stride': 16, 'other': 8", "[" * 999],
)  # fmt: skip
def test_another_param_str_is_refused(param_str: str) -> None:
    message = python_layer(param_str)
    params = PYTHON.params(message, context_of(message))
    with pytest.raises(ShapeError, match="takes `feat_stride` and `scales`") as caught:
        PYTHON.shape(params, [(1, 18, 4, 5), (1, 36, 4, 5), (1, 3)])
    assert caught.value.code == "python-layer"


def test_faster_rcnn_takes_one_image() -> None:
    message = python_layer("'feat_stride': 16")
    params = PYTHON.params(message, context_of(message))
    with pytest.raises(ShapeError, match="a single image"):
        PYTHON.shape(params, [(2, 18, 4, 5), (2, 36, 4, 5), (2, 3)])


def test_another_number_of_anchors_is_told_with_what_to_do() -> None:
    layer = bind_layer(
        'name: "p" type: "Proposal" bottom: "s" bottom: "d" bottom: "i" top: "r" '
        "proposal_param { ratio: 1 scale: 8 scale: 16 }"
    )
    params = PROPOSAL.params(layer, context_of(layer))
    with pytest.raises(ShapeError) as caught:
        PROPOSAL.shape(params, ((1, 30, 4, 5), (1, 60, 4, 5), (1, 3)))
    assert "15 anchors in a cell" in caught.value.help[0]
    with pytest.raises(ShapeError) as caught:
        PROPOSAL.shape(params, ((1, 30, 4, 5), (1, 64, 4, 5), (1, 3)))
    assert not caught.value.help
