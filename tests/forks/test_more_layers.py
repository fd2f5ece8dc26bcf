"""Layers of single forks, against loops or sums written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError, Source
from netc.frontend import build, read_net
from tests.forks.test_readings import built, text_of

RNG = np.random.default_rng


def run(layer: str, tops: str = "y", phase: str = "TEST", **arrays: Any) -> dict[str, Any]:
    made = " ".join(f'top: "{name}"' for name in tops.split())
    text = text_of(layer.replace("TOPS", made), **{k: v.shape for k, v in arrays.items()})
    return dict(netc.compile(text=text, phase=phase)(**arrays))


def normal(*shape: int, seed: int = 0) -> Any:
    return RNG(seed).normal(size=shape).astype(np.float32)


def test_a_third_top_is_each_places_loss() -> None:
    x, t = normal(3, 4, 2), np.array([[0, 3], [1, 1], [2, 0]], np.float32)
    layer = (
        'layer { name: "l" type: "SoftmaxWithLoss" BOTTOMS TOPS loss_param { ignore_label: 0 } }'
    )
    got = run(layer, "loss prob each", x=x, t=t)
    prob = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    at = np.take_along_axis(prob, t.astype(int)[:, None], axis=1)[:, 0]
    each = np.where(t == 0, 0, -np.log(at))
    np.testing.assert_allclose(got["each"], each, rtol=1e-5)
    np.testing.assert_allclose(got["prob"], prob, rtol=1e-5)
    np.testing.assert_allclose(got["loss"], each.sum() / 4, rtol=1e-5)


@pytest.mark.parametrize(
    ("bottoms", "fields", "by"),
    [
        (3, "", 6),
        (3, "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 5 }", 5),
        (4, "smooth_l1_loss_param { sigma: 2 }", 6),
    ],
)
def test_a_second_top_is_each_rows_loss(bottoms: int, fields: str, by: float) -> None:
    arrays = {f"x{i}": normal(6, 4, 1, 1, seed=i) for i in range(bottoms)}
    got = run(f'layer {{ name: "l" type: "SmoothL1Loss" BOTTOMS TOPS {fields} }}', "loss each",
              **arrays)  # fmt: skip
    d = (arrays["x0"] - arrays["x1"]) * arrays["x2"]
    s = 4 if "sigma" in fields else 1
    each = np.where(abs(d) < 1 / s, 0.5 * s * d * d, abs(d) - 0.5 / s)
    each = each * arrays["x3"] if bottoms == 4 else each
    np.testing.assert_allclose(got["each"], each.sum(axis=1, keepdims=True), rtol=1e-4)
    np.testing.assert_allclose(got["loss"], each.sum() / by, rtol=1e-4, atol=1e-6)


def test_ssds_smooth_l1_loss_stays_what_it_was() -> None:
    found = built('layer { name: "l" type: "SmoothL1Loss" BOTTOMS top: "y" }', x=(2, 3), t=(2, 3))
    assert [node.op for node in found.graph.nodes] == ["SmoothL1Loss"]


@pytest.mark.filterwarnings("ignore:.*fork-reading")  # told, as BVLC refuses it
def test_weights_may_be_a_bottom() -> None:
    x, w, b = normal(3, 2, 2), normal(5, 4, seed=1), normal(5, seed=2)
    got = run('layer { name: "l" type: "InnerProduct" BOTTOMS TOPS }', x=x, w=w, b=b)["y"]
    np.testing.assert_allclose(got, x.reshape(3, 4) @ w.T + b, rtol=1e-5)
    layer = (
        'layer { name: "l" type: "InnerDistance" BOTTOMS TOPS inner_distance_param { '
        'bias_term: true distance_type: "L1" } }'
    )
    got = run(layer, x=x, w=w)["y"]
    wanted = np.abs(x.reshape(3, 1, 4) - w).sum(axis=2)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    with pytest.raises(NetcError, match="rows of 4 weights"):
        run('layer { name: "l" type: "InnerProduct" BOTTOMS TOPS }', x=x, w=normal(5, 3))


def test_segmentation_beside_yolo_is_a_sum_of_squares() -> None:
    x, t = normal(2, 3, 4, 5), (RNG(1).random((2, 3, 4, 5)) > 0.5).astype(np.float32)
    counts = t.sum(axis=(2, 3), keepdims=True)
    off = 1 / (1 + np.exp(-x)) - t
    share = 2 - counts.sum(axis=0) / (20 - counts).sum(axis=0)
    weighted = off * np.where(t > 0.5, share, 1)
    for extra, wanted in (({}, off), ({"c": counts}, weighted)):
        layer = 'layer { name: "l" type: "YoloSeg" BOTTOMS TOPS yolo_seg_param { object_scale: 2 }}'
        got = run(layer, x=x, t=t, **extra)["y"]
        np.testing.assert_allclose(got, (4 * wanted**2).sum() / 2, rtol=1e-5)


def test_overlap_of_segmentations() -> None:
    layer = (
        'layer { name: "l" type: "SegmentationEvaluate" BOTTOMS TOPS segmentation_evaluate_param '
        "{ num_classes: 2 threshold: 0.5 } }"
    )
    x, t = np.zeros((1, 2, 2, 2), np.float32), np.zeros((1, 2, 2, 2), np.float32)
    x[0, 0, 0] = t[0, 0, :, 0] = 1  # one of three pixels is of both
    assert run(layer, x=x, t=t)["y"].reshape(-1).tolist() == [np.float32(1 / 3), 0]
    wide = t.repeat(2, axis=2).repeat(2, axis=3)
    assert run(layer, x=x, t=wide)["y"].reshape(-1).tolist() == [np.float32(1 / 3), -1]


def naive_warping(data: Any, region: Any, cells: tuple[int, int], scale: float) -> Any:
    image, x0, y0, x1, y1 = region
    x0, y0, x1, y1 = (np.floor(v * scale + 0.5) for v in (x0, y0, x1, y1))
    out = np.zeros((data.shape[1], *cells))
    high, wide = data.shape[2:]
    for i, j in np.ndindex(*cells):
        y, x = y0 + i * max(y1 - y0, 0) / cells[0], x0 + j * max(x1 - x0, 0) / cells[1]
        if not (-0.5 <= y <= high - 0.5 and -0.5 <= x <= wide - 0.5):
            continue
        y, x = min(y, high - 1), min(x, wide - 1)
        a, b = int(y), int(x)
        c, d = min(a + 1, high - 1), min(b + 1, wide - 1)
        maps = data[int(image)]
        upper = maps[:, a, b] * (1 - x + b) + maps[:, a, d] * (x - b)
        lower = maps[:, c, b] * (1 - x + b) + maps[:, c, d] * (x - b)
        out[:, i, j] = upper * (1 - y + a) + lower * (y - a)
    return out


def test_regions_are_warped_between_elements() -> None:
    data = normal(2, 3, 6, 7)
    regions = np.array([[0, 0, 0, 20, 18], [1, 5, 6, 30, 24], [1, 7, 7, 3, 3]], np.float32)
    layer = (
        'layer { name: "l" type: "ROIWarping" BOTTOMS TOPS roi_warping_param { pooled_h: 4 '
        "pooled_w: 3 spatial_scale: 0.25 } }"
    )
    got = run(layer, x=data, r=regions)["y"]
    wanted = [naive_warping(data, region, (4, 3), 0.25) for region in regions]
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_masks_are_resized_from_their_corner() -> None:
    x = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    layer = (
        'layer { name: "l" type: "MaskResize" BOTTOMS TOPS mask_resize_param { output_height: 4 '
        "output_width: 3 } }"
    )
    rows = run(layer, x=x)["y"][0, 0]
    assert rows.tolist() == [[0, 1, 2], [1.5, 2.5, 3.5], [3, 4, 5], [3, 4, 5]]


def test_guidance_says_which_channels_stay() -> None:
    x, g = normal(2, 4, 2, 2), np.array([[1, -1, 0.5, 0], [-1, -1, -1, -1]], np.float32)
    layer = (
        'layer { name: "l" type: "GuidedDropout" BOTTOMS TOPS guided_dropout_param { '
        'type: "deterministic" } }'
    )
    got = run(layer, x=x, g=g)["y"]
    keep = (g > 0)[:, :, None, None]
    np.testing.assert_allclose(got, x * keep * np.array([2, 1]).reshape(2, 1, 1, 1), rtol=1e-6)
    chance = layer.replace("deterministic", "stochastic")
    np.testing.assert_array_equal(run(chance, x=x, g=g)["y"], x)
    drawn = run(chance, phase="TRAIN", x=x, g=g)["y"]
    share = 4 / (1 / (1 + np.exp(-g))).sum(axis=1)
    kept = drawn != 0
    np.testing.assert_allclose(drawn[kept], (x * share[:, None, None, None])[kept], rtol=1e-5)


def test_insanity_divides_what_is_negative() -> None:
    x = normal(3, 4)
    layer = 'layer { name: "l" type: "Insanity" BOTTOMS TOPS insanity_param { lb: 4 ub: 8 } }'
    mean = 4 / np.log(2)
    np.testing.assert_allclose(run(layer, x=x)["y"], np.where(x > 0, x, x / mean), rtol=1e-5)
    drawn = run(layer, phase="TRAIN", x=x)["y"]
    low = x < 0
    assert ((x[low] / drawn[low] >= 4 - 1e-4) & (x[low] / drawn[low] <= 8 + 1e-4)).all()
    with pytest.raises(NetcError, match="must be above `lb`"):
        run(layer.replace("ub: 8", "ub: 3"), x=x)


def test_a_gradient_is_turned_around_as_the_iterations_go() -> None:
    text = """
        name: "n"
        layer { name: "data" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 }
          data_filler { type: "constant" value: 1 } } }
        layer { name: "ip" type: "InnerProduct" bottom: "x" top: "h" inner_product_param {
          num_output: 1 bias_term: false } }
        layer { name: "grl" type: "GradientScaler" bottom: "h" top: "g" gradient_scaler_param {
          FIELDS } }
        layer { name: "loss" type: "Reduction" bottom: "g" top: "loss" loss_weight: 1 }
    """
    fixed = netc.compile(text=text.replace("FIELDS", "scale_factor: -0.1"), phase="TRAIN")
    first = fixed.gradients({}, wrt=()).params["ip"][0]
    np.testing.assert_allclose(first, -0.2 * np.ones((1, 3)), rtol=1e-6)
    rising = netc.compile(text=text.replace("FIELDS", "max_iter: 100"), phase="TRAIN")
    np.testing.assert_allclose(rising.gradients({}, wrt=()).params["ip"][0], 0, atol=1e-7)


def test_fields_that_no_result_hangs_on_are_read() -> None:
    text = """richness: 1000
        layer { name: "d" type: "Data" top: "x" top: "t"
          data_param { source: "x" batch_size: 2 shuffle_pool_size: 10 } }"""
    message = read_net(Source("net.prototxt", text)).message
    assert message.get("richness") == 1000
    assert not [d for d in build(message).diagnostics if d.code == "unsupported-field"]


def test_segments_of_a_video_are_channels() -> None:
    text = """layer { name: "d" type: "VideoData" top: "x" top: "t"
        transform_param { crop_size: 8 mean_value: 128 }
        video_data_param { source: "x" batch_size: 2 new_length: 5 num_segments: 3
        modality: FLOW } }"""
    for kind, channels in (("FLOW", 30), ("RGB", 45)):
        message = read_net(Source("net.prototxt", text.replace("FLOW", kind))).message
        assert build(message).graph.shape("x") == (2, channels, 8, 8)


@pytest.mark.filterwarnings("ignore:.*fork-reading")  # told, as BVLC refuses it
def test_a_second_top_of_relu_is_its_mask() -> None:
    x = normal(3, 4)
    got = run('layer { name: "l" type: "ReLU" BOTTOMS TOPS }', "y mask", x=x)
    np.testing.assert_array_equal(got["y"], np.maximum(x, 0))
    np.testing.assert_array_equal(got["mask"], x > 0)


def naive_warp(data: Any, flow: Any) -> Any:
    out = np.zeros_like(data)
    high, wide = data.shape[2:]
    for n, i, j in np.ndindex(len(data), high, wide):
        x, y = j + flow[n, 0, i, j], i + flow[n, 1, i, j]
        if 0 <= x <= wide - 1 and 0 <= y <= high - 1:
            for r in {int(np.floor(y)), int(np.ceil(y))}:
                for c in {int(np.floor(x)), int(np.ceil(x))}:
                    out[n, :, i, j] += data[n, :, r, c] * (1 - abs(x - c)) * (1 - abs(y - r))
    return out


def test_warp_reads_between_elements_and_0_beyond_the_last() -> None:
    data, flow = normal(2, 3, 5, 6), 2 * normal(2, 2, 5, 6, seed=1)
    flow[:, :, 1] = np.round(flow[:, :, 1])
    got = run('layer { name: "l" type: "Warp" BOTTOMS TOPS }', x=data, f=flow)["y"]
    np.testing.assert_allclose(got, naive_warp(data, flow), rtol=1e-4, atol=1e-5)


def test_where_a_flow_is_whole_its_gradient_is_the_mean_of_both_sides() -> None:
    text = text_of(
        'layer { name: "l" type: "Warp" BOTTOMS top: "y" }\n'
        'layer { name: "s" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 }\n'
        "force_backward: true",
        x=(1, 1, 1, 4),
        f=(1, 2, 1, 4),
    )
    x = np.array([1, 2, 4, 8], np.float32).reshape(1, 1, 1, 4)
    net = netc.compile(text=text, phase="TRAIN")
    found = net.gradients({"x": x, "f": np.zeros((1, 2, 1, 4), np.float32)}, wrt=("f",))
    assert found.blobs["f"][0, 0, 0].tolist() == [0.5, 1.5, 3, 2]


def test_tiles_are_blocks_of_channels() -> None:
    x = normal(2, 8, 3, 2)
    got = run('layer { name: "l" type: "Tiling" BOTTOMS TOPS tiling_param { tile_dim: 2 } }', x=x)
    for n, c, i, j in np.ndindex(2, 2, 6, 4):
        assert got["y"][n, c, i, j] == x[n, 4 * c + 2 * (i % 2) + j % 2, i // 2, j // 2]


def test_differences_that_are_no_numbers_count_nothing() -> None:
    x, t = normal(2, 2, 3, 1), normal(2, 2, 3, 1, seed=1)
    t[0, :, 1] = np.nan
    known = np.where(np.isnan(t), 0, x - t)
    layer = 'layer { name: "l" type: "L1Loss" BOTTOMS TOPS FIELDS }'
    plain = run(layer.replace("FIELDS", ""), x=x, t=t)["y"]
    np.testing.assert_allclose(plain, np.abs(known).sum() / 2, rtol=1e-5)
    fields = "l1_loss_param { l2_per_location: true normalize_by_num_entries: true epsilon: 0.04 }"
    rooted = run(layer.replace("FIELDS", fields), x=x, t=t)["y"]
    wanted = np.sqrt((known**2).sum(axis=1) + 0.04).sum() / 5
    np.testing.assert_allclose(rooted, wanted, rtol=1e-5)


def test_lifted_structure_is_a_sum_over_pairs() -> None:
    x, t = normal(6, 4), np.array([0, 1, 0, 2, 1, 0], np.float32)
    far = np.linalg.norm(x[:, None].astype(np.float64) - x[None], axis=2)
    losses = []
    for i in range(6):
        for j in range(i + 1, 6):
            if t[i] == t[j]:
                others = [2 - far[a, k] for a in (i, j) for k in range(6) if t[k] != t[i]]
                losses.append(max(0, np.log(np.exp(others).sum()) + far[i, j]) ** 2)
    layer = (
        'layer { name: "l" type: "LiftedStructSimilaritySoftmaxLoss" BOTTOMS TOPS '
        "lifted_struct_sim_softmax_loss_param { margin: 2 } }"
    )
    np.testing.assert_allclose(run(layer, x=x, t=t)["y"], np.mean(losses) / 2, rtol=1e-5)


def test_a_third_bottom_weighs_cross_entropy() -> None:
    x, t, w = normal(3, 4), (normal(3, 4, seed=1) > 0).astype(np.float32), np.abs(normal(3, 4))
    p = 1 / (1 + np.exp(-x))
    each = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    layer = 'layer { name: "l" type: "SigmoidCrossEntropyLoss" BOTTOMS TOPS }'
    got = run(layer, x=x, t=t, w=w)["y"]
    np.testing.assert_allclose(got, (w * each).sum() / w.sum(), rtol=1e-5)
    assert run(layer, x=x, t=t, w=0 * w)["y"] == 0


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    x = normal(200, 200)
    layer = 'layer { name: "l" type: "SeLuDropout" BOTTOMS TOPS }'
    np.testing.assert_array_equal(run(layer, x=x)["y"], x)
    drawn = run(layer, phase="TRAIN", x=x)["y"]
    assert abs(drawn.mean()) < 0.02
    assert abs(drawn.var() - 1) < 0.02


def test_boxes_tell_their_cell_and_anchor() -> None:
    rows, columns, anchors = 2, 3, 2
    number = rows * columns * anchors
    rng = RNG(3)
    low = rng.random((number, 2)) * 0.6
    priors = np.concatenate([low, low + 0.2], axis=1).reshape(-1)
    priors = np.stack([priors, np.full(4 * number, 0.1)])[None].astype(np.float32)
    location = normal(1, rows, columns, 4 * anchors)
    scores = rng.random((1, 2 * number)).astype(np.float32)
    fields = (
        "num_classes: 2 nms_param { nms_threshold: 0.45 } code_type: CENTER_SIZE "
        "confidence_threshold: 0.3 keep_top_k: 5 background_label_id: BACK"
    )
    layer = 'layer { name: "l" type: "TYPE" BOTTOMS TOPS detection_output_param { FIELDS } }'
    arrays = {"loc": location, "conf": scores, "pri": priors}
    plain = layer.replace("TYPE", "DetectionOutput").replace("FIELDS", fields.replace("BACK", "0"))
    wanted = run(plain, **{**arrays, "loc": location.reshape(1, -1)})["y"].reshape(-1, 7)
    extended = layer.replace("TYPE", "DetectionOutputExtended")
    got = run(extended.replace("FIELDS", fields.replace("BACK", "-1")), **arrays)["y"]
    got = got.reshape(-1, 10)
    np.testing.assert_allclose(got[:, :7], wanted, rtol=1e-6)
    for row in got:
        at = int((row[9] * columns + row[8]) * anchors + row[7])
        assert scores.reshape(number, 2)[at, 1] == row[2]


def test_locally_connected_layers_of_2014_are_read() -> None:
    text = """input: "x" input_dim: 1 input_dim: 2 input_dim: 6 input_dim: 6
        layers { layer { name: "l" type: "locally_connected" num_output: 3 kernelsize: 3 stride: 1
          weight_filler { type: "gaussian" std: 0.01 } } bottom: "x" top: "y" }"""
    graph = build(read_net(Source("net.prototxt", text)).message).graph
    assert [node.op for node in graph.nodes] == ["LocallyConnected"]
    assert graph.shape("y") == (1, 3, 4, 4)


def test_lstm_of_steps_and_streams_keeps_their_axes() -> None:
    x = normal(5, 2, 4)
    filler = 'weight_filler { type: "gaussian" std: 1 }'
    fields = f"lstm_param {{ num_output: 3 {filler} %s }}"
    kind = 'layer { name: "l" type: "Lstm" BOTTOMS TOPS ' + fields + " }"
    made = run(kind % "", x=x)
    assert made["y"].shape == (5, 2, 3)
    flat = run(kind % "batch_size: 2", x=x.reshape(10, 4))
    np.testing.assert_array_equal(made["y"].reshape(10, 3), flat["y"])
    assert run(kind % "", x=x.reshape(10, 4))["y"].shape == (10, 3)


def test_textboxes_priors_stand_twice_in_a_cell() -> None:
    x, image = normal(1, 2, 2, 2), normal(1, 3, 40, 40)
    layer = 'layer { name: "p" type: "PriorBox" BOTTOMS TOPS prior_box_param { min_size: 10.9 '
    got = run(layer + "max_size: 20 denser_prior_boxes: true } }", x=x, y0=image)["y"]
    boxes = got[0, 0].reshape(2, 2, 2, 2, 4) * 40  # down, across, size, offset, corners
    np.testing.assert_allclose(boxes[1, 0, 0, 0], (5, 25, 15, 35), rtol=1e-5)
    np.testing.assert_allclose(boxes[1, 0, 0, 1], (5, 35, 15, 45), rtol=1e-5)
    side = np.sqrt(10 * 20)
    np.testing.assert_allclose(boxes[0, 1, 1, 1, 1], 20 - side / 2, rtol=1e-5)


def test_mask_resize_by_a_factor() -> None:
    x = normal(1, 1, 17, 9)
    fields = "mask_resize_param { output_height: 4 output_width: 3 %s }"
    layer = 'layer { name: "l" type: "MaskResize" BOTTOMS TOPS ' + fields + " }"
    assert run(layer % "factor_height: 0.25", x=x)["y"].shape == (1, 1, 4, 3)
    halved = run(layer % "factor_height: 0.5 factor_width: 0.5", x=x)["y"]
    assert halved.shape == (1, 1, 8, 4)
    assert halved[0, 0, 0, 0] == x[0, 0, 0, 0]
    with pytest.raises(NetcError, match="the top would be 0x3"):
        run(layer % "factor_height: 0.01", x=x)


def test_softmax_of_volumes() -> None:
    x, t = normal(2, 3, 2, 2, 2), np.ones((2, 1, 2, 2, 2), np.float32)
    prob = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    got = run('layer { name: "l" type: "VoxelSoftmax" BOTTOMS TOPS }', x=x)["y"]
    np.testing.assert_allclose(got, prob, rtol=1e-5)
    got = run('layer { name: "l" type: "VoxelSoftmaxLoss" BOTTOMS TOPS }', x=x, t=t)["y"]
    np.testing.assert_allclose(got, -np.log(prob[:, 1]).mean(), rtol=1e-5)
