"""Layers that choose boxes and pool over them, as kernels, against their definitions.

Numbers are such that both compute the same float32 (no exponentials but of 0), so that results are
equal bit for bit, and ties and edges fall the same way.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import netc
from netc.backends.cpu import backend
from netc.diagnostics import NetcError, Source
from tests.backends.cpu.test_layers import layer, text_of
from tests.machines import HERE, runnable

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # a kernel takes seconds to compile
MACHINES = st.sampled_from(HERE or ("plain 256K",)).map(runnable)


def same(target, shapes, layers, feeds, threads=(1, 2), weights=None):
    """The net, all compiled, gives the definitions' arrays bit for bit."""
    source = Source("net", text_of(shapes, layers))
    want = netc.compile(source, weights, backend="reference")(feeds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "machine", lambda: target)
        for count in threads:
            net = netc.compile(source, weights, threads=count)
            assert net.report()["reference_steps"] == []
            got = net(feeds)
            assert list(got) == list(want)
            for name, array in want.items():
                np.testing.assert_array_equal(got[name], array, strict=True)


ODD = (np.nan, np.inf, -np.inf, -0.0, 3e38)


def drawn(rng, shape, values, odd):
    """Numbers from a few values, some of them odd ones."""
    array = rng.choice(np.array(values, np.float32), shape)
    places = rng.random(shape) < odd
    array[places] = rng.choice(np.array(ODD, np.float32), int(places.sum()))
    return array


# DetectionOutput


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(
    target=MACHINES,
    seed=st.integers(0, 9999),
    images=st.integers(1, 2),
    priors=st.sampled_from([1, 3, 17, 40]),
    classes=st.integers(1, 4),
    shared=st.booleans(),
    background=st.sampled_from([0, 1, -1]),
    code=st.sampled_from(["CORNER", "CENTER_SIZE", "CORNER_SIZE"]),
    scaled=st.booleans(),
    keep=st.sampled_from([-1, 0, 1, 5, 1000]),
    top=st.sampled_from([None, -1, 0, 1, 7, 1000]),
    confidence=st.sampled_from([None, 0.0, 0.5, 2.0]),
    overlap=st.sampled_from([0.0, 0.3, 0.45, 0.7, 1.0]),
    eta=st.sampled_from([1.0, 0.9]),
    odd=st.sampled_from([0.0, 0.05]),
)
def test_detections(
    target, seed, images, priors, classes, shared, background, code, scaled, keep, top, confidence,
    overlap, eta, odd,
):  # fmt: skip
    rng = np.random.default_rng(seed)
    each = 1 if shared else classes
    shapes = {
        "loc": (images, 4 * each * priors),
        "conf": (images, classes * priors),
        "priors": (1, 2, 4 * priors),
    }
    corners = rng.integers(0, 9, (priors, 2, 2)) / 8
    boxes = np.concatenate([corners.min(1), corners.max(1) + rng.integers(0, 2) / 8], 1)
    location = drawn(rng, (images, priors, each, 4), [-0.5, 0, 0.25, 1], odd)
    location[..., 2:] = 0 if code == "CENTER_SIZE" else location[..., 2:]
    feeds = {
        "loc": location.reshape(shapes["loc"]),
        "conf": drawn(rng, shapes["conf"], np.arange(9) / 8, odd),
        "priors": np.stack([boxes, np.full(boxes.shape, 0.5)]).reshape(1, 2, -1).astype("f4"),
    }
    params = (
        f"detection_output_param {{ num_classes: {classes} share_location: {str(shared).lower()} "
        f"background_label_id: {background} code_type: {code} keep_top_k: {keep} "
        f"variance_encoded_in_target: {str(scaled).lower()} nms_param {{ eta: {eta} "
        f"nms_threshold: {overlap} {'' if top is None else f'top_k: {top}'} }} "
        f"{'' if confidence is None else f'confidence_threshold: {confidence}'} }}"
    )
    made = layer("DetectionOutput", "loc conf priors", "y", params)
    same(target, shapes, [made], feeds)


def test_many_boxes_of_nearly_equal_scores(target):
    """What a softmax of random weights gives: all of them pass, and digits differ in the last."""
    rng = np.random.default_rng(3)
    number, classes = 3000, 3
    corners = rng.random((number, 2)).astype("f4")
    boxes = np.concatenate([corners, corners + rng.random((number, 2)).astype("f4") / 4], 1)
    shapes = {"loc": (1, 4 * number), "conf": (1, classes * number), "priors": (1, 2, 4 * number)}
    feeds = {
        "loc": rng.normal(size=shapes["loc"]).astype("f4"),
        "conf": (0.333 + 1e-4 * rng.random(shapes["conf"])).astype("f4"),
        "priors": np.stack([boxes, np.full_like(boxes, 0.1)]).reshape(1, 2, -1),
    }
    params = (
        "detection_output_param { num_classes: 3 code_type: CORNER keep_top_k: 200 "
        "nms_param { nms_threshold: 0.45 top_k: 400 } }"
    )
    made = layer("DetectionOutput", "loc conf priors", "y", params)
    same(target, shapes, [made], feeds)


# Proposal

PYTHON = "python_param { module: 'rpn.proposal_layer' layer: 'ProposalLayer' param_str: \"%s\" }"


def proposal_feeds(rng, images, kinds, high, wide, odd, info=3):
    deltas = drawn(rng, (images, kinds, 4, high, wide), [-0.5, 0, 0.25, 1], odd)
    deltas[:, :, 2:] = 0
    sizes = np.tile(np.array([16 * high - 3, 16 * wide, 1.5, 1.25], np.float32)[:info], (images, 1))
    return {
        "scores": drawn(rng, (images, 2 * kinds, high, wide), np.arange(9) / 8, odd),
        "deltas": deltas.reshape(images, 4 * kinds, high, wide),
        "info": sizes,
    }


@settings(max_examples=25, deadline=None, phases=PHASES)
@given(
    target=MACHINES,
    seed=st.integers(0, 9999),
    images=st.integers(1, 2),
    high=st.integers(1, 6),
    wide=st.integers(1, 6),
    least=st.sampled_from([0, 16, 40, 9999]),
    before=st.sampled_from([1, 20, 6000]),
    after=st.sampled_from([1, 5, 60]),
    overlap=st.sampled_from([-1.0, 0.0, 0.3, 0.7, 1.0]),
    tops=st.sampled_from(["y", "y s"]),
    info=st.sampled_from([3, 4]),
    odd=st.sampled_from([0.0, 0.05]),
)
def test_proposals(
    target, seed, images, high, wide, least, before, after, overlap, tops, info, odd
):
    feeds = proposal_feeds(np.random.default_rng(seed), images, 4, high, wide, odd, info)
    shapes = {name: array.shape for name, array in feeds.items()}
    params = (
        f"proposal_param {{ feat_stride: 16 base_size: 16 min_size: {least} ratio: 0.5 ratio: 2 "
        f"scale: 1 scale: 2 pre_nms_topn: {before} post_nms_topn: {after} nms_thresh: {overlap} }}"
    )
    same(target, shapes, [layer("Proposal", "scores deltas info", tops, params)], feeds)


@settings(max_examples=15, deadline=None, phases=PHASES)
@given(
    target=MACHINES,
    seed=st.integers(0, 9999),
    least=st.sampled_from([1, 16, 9999]),
    before=st.sampled_from([1, 20, 6000]),
    tops=st.sampled_from(["y", "y s"]),
    odd=st.sampled_from([0.0, 0.05]),
)
def test_proposals_of_faster_rcnn(target, seed, least, before, tops, odd):
    """Boxes that are too small are left out, all of them maybe."""
    feeds = proposal_feeds(np.random.default_rng(seed), 1, 9, 4, 5, odd)
    shapes = {name: array.shape for name, array in feeds.items()}
    text = (
        f"{{'feat_stride': 16, 'min_size': {least}, 'pre_nms_topn': {before}, 'post_nms_topn': 9}}"
    )
    same(target, shapes, [layer("Python", "scores deltas info", tops, PYTHON % text)], feeds)


# Pooling over regions


@settings(max_examples=30, deadline=None, phases=PHASES)
@given(
    target=MACHINES,
    seed=st.integers(0, 9999),
    kind=st.sampled_from(["ROIPooling", "PSROIPooling"]),
    bins=st.sampled_from([1, 2, 3, 7]),
    scale=st.sampled_from([0.0625, 0.125, 1.0]),
    pad=st.sampled_from([0.0, 0.25]),
    odd=st.sampled_from([0.0, 0.1]),
    rows=st.sampled_from([(3, 5), (4, 5, 1, 1), (2, 1, 1, 5), (1, 5)]),
)
def test_regions(target, seed, kind, bins, scale, pad, odd, rows):
    rng = np.random.default_rng(seed)
    channels = 3 if kind == "ROIPooling" else 2 * bins * bins
    shapes = {"x": (2, channels, 5, 6), "rois": rows}
    number = rows[0]
    corners = drawn(rng, (number, 4), [-20, -0.5, 0, 0.5, 3, 7.5, 40, 55.5, 100], odd)
    regions = np.concatenate([rng.integers(0, 2, (number, 1)), corners], 1, dtype="f4")
    feeds = {
        "x": rng.integers(-8, 9, shapes["x"]).astype("f4"),
        "rois": regions.reshape(rows),
    }
    params = (
        f"roi_pooling_param {{ pooled_h: {bins} pooled_w: {bins + 1} spatial_scale: {scale} "
        f"{f'pad_ratio: {pad}' if pad else ''} }}"
        if kind == "ROIPooling"
        else f"psroi_pooling_param {{ spatial_scale: {scale} output_dim: 2 group_size: {bins} }}"
    )
    same(target, shapes, [layer(kind, "x rois", "y", params)], feeds)


@pytest.mark.parametrize("image", [2, -1, 1e9, np.nan, np.inf])
def test_a_region_of_no_image(image):
    params = "roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 1 }"
    made = layer("ROIPooling", "x rois", "y", params)
    source = Source("net", text_of({"x": (2, 3, 5, 6), "rois": (3, 5)}, [made]))
    regions = np.zeros((3, 5), np.float32)
    regions[1:, 0] = image, 9
    feeds = {"x": np.ones((2, 3, 5, 6), np.float32), "rois": regions}
    told = []
    for name in ("cpu", "reference"):
        with pytest.raises(NetcError) as caught:
            netc.compile(source, backend=name)(feeds)
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert "the batch has 2" in told[0]


# What follows a Proposal is planned for all rows there can be

SHAPES = {"x": (1, 6, 4, 5), "scores": (1, 18, 4, 5), "deltas": (1, 36, 4, 5), "info": (1, 3)}
RPN = layer("Python", "scores deltas info", "rois", PYTHON % "{'feat_stride': 16, 'min_size': 20}")
BINS = "roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.0625 }"
POOL = layer(
    "ROIPooling",
    "x rois",
    "p",
    BINS,
)
IP = 'inner_product_param { num_output: 6 weight_filler { type: "xavier" } }'
BY_ROWS = "permute_param { order: 0 order: 3 }"
HEAD = [RPN, POOL, layer("InnerProduct", "p", "fc", IP), layer("ReLU", "fc", "fc")]


def rcnn(layers, seed=4):
    """Whether a net is planned whole, and its outputs beside the definitions'."""
    rng = np.random.default_rng(seed)
    source = Source("net", text_of(SHAPES, layers))
    feeds = {**proposal_feeds(rng, 1, 9, 4, 5, 0.0), "x": rng.random(SHAPES["x"], "f4")}
    net = netc.compile(source, netc.compile(source, backend="reference").params)
    want = netc.compile(source, net.params, backend="reference")(feeds)
    got = net(feeds)
    for name, array in want.items():
        assert got[name].shape == array.shape
        np.testing.assert_allclose(got[name], array, atol=1e-5)
    rois = netc.compile(source, net.params, backend="reference", outputs=["rois"])(feeds)["rois"]
    assert 0 < len(rois) < 300
    return "late_steps" not in net.report()


@pytest.mark.parametrize(
    "more",
    [
        [layer("Softmax", "fc", "y")],
        [layer("Reshape", "fc", "r", "reshape_param { shape { dim: -1 dim: 2 dim: 3 } }")],
        [layer("Slice", "fc", "a b"), layer("Concat", "b a", "y"), layer("Silence", "rois", "")],
        [layer("Scale", "fc", "y", "scale_param { bias_term: true }"), layer("PReLU", "p", "z")],
        [layer("Pooling", "p", "y", "pooling_param { pool: AVE global_pooling: true }")],
        [layer("BatchNorm", "p", "y"), layer("Eltwise", "fc fc", "z")],
        [
            layer("Dropout", "fc", "d"),
            layer("Permute", "p", "y", BY_ROWS),
        ],
    ],
)
def test_rows_that_are_made_row_by_row(more):
    assert rcnn([*HEAD, *more])


@pytest.mark.parametrize(
    "more",
    [
        [layer("Softmax", "fc", "y", "softmax_param { axis: 0 }")],
        [layer("Softmax", "fc", "y", "softmax_param { axis: -2 }")],
        [layer("Reduction", "fc", "y")],
        [layer("Concat", "fc fc", "y", "concat_param { axis: 0 }")],
        [layer("BatchNorm", "p", "y", "batch_norm_param { use_global_stats: false }")],
        [layer("Reshape", "fc", "r", "reshape_param { shape { dim: 1 dim: -1 } }")],
        [layer("Permute", "fc", "y", "permute_param { order: 1 order: 0 }")],
        [layer("Reduction", "rois", "y")],
    ],
)
def test_rows_that_others_depend_on(more):
    """These wait for the number of rows, and so does what they read."""
    assert not rcnn([*HEAD, *more])


def test_none_and_all_of_the_rows():
    source = Source("net", text_of(SHAPES, HEAD))
    net, plain = netc.compile(source), netc.compile(source, backend="reference")
    rng = np.random.default_rng(1)
    feeds = {**proposal_feeds(rng, 1, 9, 4, 5, 0.0), "x": rng.random(SHAPES["x"], "f4")}
    for size, scale in product((3, 70), (1e-3, 1, 1e3)):
        feeds["info"] = np.array([[size, size, scale]], np.float32)
        want, got = plain(feeds), net(feeds)
        assert got["fc"].shape == want["fc"].shape


def test_detections_that_are_read_on_wait():
    shapes = {"loc": (1, 40), "conf": (1, 20), "priors": (1, 2, 40)}
    params = "detection_output_param { num_classes: 2 nms_param { nms_threshold: 0.4 } }"
    layers = [
        layer("DetectionOutput", "loc conf priors", "d", params),
        layer("Power", "d", "y", "power_param { scale: 2 }"),
    ]
    net = netc.compile(Source("net", text_of(shapes, layers)))
    rng = np.random.default_rng(0)
    got = net({name: rng.random(shape, "f4") for name, shape in shapes.items()})
    assert net.report()["late_steps"] == ["l_y"]
    assert got["y"].shape[2] <= 10
