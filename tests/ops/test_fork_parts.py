"""Layers of forks against loops written as their sources are."""

from __future__ import annotations

import math

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from netc.frontend import build, read_net


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def text_of(kind: str, fields: str, bottoms: int, tops: int) -> str:
    reads = " ".join(f'bottom: "x{i}"' for i in range(bottoms))
    makes = " ".join(f'top: "y{i}"' for i in range(tops))
    return f'layer {{ name: "l" type: "{kind}" {reads} {makes} {fields} }}'


def inputs_of(shapes: list[tuple[int, ...]]) -> str:
    """Inputs of these shapes, as text."""
    return "".join(
        f'input: "x{i}" input_shape {{ dim: {list(shape)} }}\n' for i, shape in enumerate(shapes)
    )


def run(kind: str, fields: str, *feeds: np.ndarray, tops: int = 1, **more):
    """The tops of one layer on the reference executor and on the CPU, which must agree."""
    given = {f"x{i}": np.asarray(feed, np.float32) for i, feed in enumerate(feeds)}
    made = []
    for backend in ("reference", "cpu"):
        text = inputs_of([feed.shape for feed in given.values()])
        text += text_of(kind, fields, len(feeds), tops)
        net = netc.compile(text=text, backend=backend, **more)
        found = net(given)
        made.append([found[f"y{i}"] for i in range(tops)])
    for one, other in zip(*made, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    return made[0] if tops > 1 else made[0][0]


def close(got: np.ndarray, wanted: object) -> None:
    np.testing.assert_allclose(got, np.asarray(wanted, np.float32), rtol=1e-4, atol=1e-5)


def test_hashing_loss() -> None:
    x, label = rng().normal(size=(5, 3)), np.array([0, 1, 0, 2, 1])
    total = 0.0
    for i in range(5):
        for j in range(i + 1, 5):
            far = ((x[i] - x[j]) ** 2).sum()
            total += far if label[i] == label[j] else max(4 - far, 0)
    wanted = total / 20 + 0.1 * np.abs(np.abs(x) - 1).sum() / 5
    fields = "hashing_loss_param { bi_margin: 4 tradeoff: 0.1 }"
    close(run("HashingLoss", fields, x, label), wanted)
    several = np.eye(3)[label % 3]
    close(run("HashingLoss", fields, x, several), wanted)  # by a common one of several labels


def test_pairwise_loss() -> None:
    x, z = rng().normal(size=(2, 4, 3))
    a, b = np.eye(2)[[0, 1, 0, 1]], np.eye(2)[[0, 0, 1, 1]]
    total = count = 0.0
    for i in range(4):
        for j in range(4):
            p, like = 0.5 * x[i] @ z[j], float(a[i] @ b[j] > 0)
            weight = 3.0 if like else 1.0
            total += weight * (math.log(1 + math.exp(p)) - like * p)
            count += weight
    fields = "pairwise_param { class_num: 3 sigmoid_param: 0.5 }"
    close(run("PairwiseLoss", fields, x, a, z, b), total / count)


def test_scale_tanh_at_the_first_pass() -> None:
    x = rng().normal(size=(2, 3))
    fields = "scale_tanh_param { init_scale: 2 step_size: 2 gamma: 0.5 power: 0.5 }"
    # The set-up and the first forward count two passes, a multiple of `step_size`.
    close(run("ScaleTanH", fields, x), np.tanh(2 * math.sqrt(1 + 0.5 * 2) * x))


def test_outer_product_and_entropy() -> None:
    x, z = rng().normal(size=(3, 4)), rng().normal(size=(3, 2))
    close(run("OuterProduct", "", x, z), (x[:, :, None] * z[:, None, :])[:, None])
    p = np.array([[0.5, 0.5, 0], [0.25, 0.25, 0.5]])
    wanted = sum(v * math.log(v) for v in p.ravel() if v >= 1e-5)
    close(run("EntropyLoss", "entropy_param { iterations_num: 0 }", p), wanted)
    waits = run("EntropyLoss", "entropy_param { iterations_num: 5 }", p)
    close(waits, 0.0)


def test_mmd_loss_of_equal_batches_is_bounded_and_of_far_ones_large() -> None:
    x = rng().normal(size=(6, 3))
    near = float(run("MMDLoss", "", x, x + 0.01))
    far = float(run("MMDLoss", "", x, x + 50))
    assert far > near and far <= 2 * 5 * 6  # two likeness terms of five kernels a sample
    with pytest.raises(NetcError, match="fix_gamma"):
        run("MMDLoss", "mmd_param { fix_gamma: true }", x, x)


def test_spatial_transformer() -> None:
    x = rng().normal(size=(2, 2, 5, 6))
    same = np.tile([1.0, 0, 0, 0, 1, 0], (2, 1))
    close(run("SpatialTransformer", "", x, same), x)  # the identity map
    theta = rng().normal(size=(2, 6)) * 0.4
    top = np.zeros((2, 2, 3, 4))
    for n in range(2):
        for s in range(3):
            for t in range(4):
                at = np.array([s / 3 * 2 - 1, t / 4 * 2 - 1, 1])
                row, column = theta[n].reshape(2, 3) @ at
                row, column = (row + 1) / 2 * 5, (column + 1) / 2 * 6
                for h in (math.floor(row), math.floor(row) + 1):
                    for w in (math.floor(column), math.floor(column) + 1):
                        if 0 <= h < 5 and 0 <= w < 6:
                            share = max(0, 1 - abs(row - h)) * max(0, 1 - abs(column - w))
                            top[n, :, s, t] += share * x[n, :, h, w]
    close(run("SpatialTransformer", "st_param { output_H: 3 output_W: 4 }", x, theta), top)
    free = theta.copy()
    free[:, 1], free[:, 3] = 0.5, -0.25
    fields = "st_param { output_H: 3 output_W: 4 theta_1_2: 0.5 theta_2_1: -0.25 }"
    whole = run("SpatialTransformer", "st_param { output_H: 3 output_W: 4 }", x, free)
    close(run("SpatialTransformer", fields, x, theta[:, [0, 2, 4, 5]]), whole)


def test_losses_beside_the_transformer() -> None:
    theta = np.array([[2.0, 0, 0, 0, 1, 0.5]])
    total = 0.0
    for s in range(3):
        for t in range(2):
            for v in theta[0].reshape(2, 3) @ [s / 3 * 2 - 1, t / 2 * 2 - 1, 1]:
                total += max(abs(v) - 1, 0) ** 2 / 2
    close(run("STLoss", "st_loss_param { output_H: 3 output_W: 2 }", theta), total / 6)
    x = np.array([0.1, -0.5, 2.0])
    wanted = (0.25**2 + 1.75**2) / 2 / 3
    close(run("LocLoss", "loc_loss_param { threshold: 0.25 }", x), wanted)


def test_power_file_adds_a_files_numbers(tmp_path) -> None:
    (tmp_path / "bias.txt").write_text("0.5\n-1 2 rest", encoding="utf-8")
    net = tmp_path / "net.prototxt"
    net.write_text(
        'input: "x0" input_shape { dim: 2 dim: 4 }\n'
        + text_of("PowerFile", 'power_file_param { shift_file: "bias.txt" }', 1, 1),
        encoding="utf-8",
    )
    x = rng().normal(size=(2, 4)).astype(np.float32)
    got = netc.compile(net, backend="reference")({"x0": x})["y0"]
    close(got, x + np.array([0.5, -1, 2, 0]))


def test_division_and_combination() -> None:
    x = rng().normal(size=(2, 3, 4, 6))
    fields = "division_param { width: 3 height: 2 xcoord: [0, 3] ycoord: [0, 2] }"
    first, second = run("Division", fields, x, tops=2)
    close(first, x[:, :, :2, :3])
    close(second, x[:, :, 2:, 3:])
    whole = run("Combination", "combination_param { xcoord: [0, 3] ycoord: [0, 2] }", first, second)
    close(whole[:, :, :2, :3], first)
    close(whole[:, :, 2:, 3:], second)
    assert not whole[:, :, :2, 3:].any()


def test_masks_around_points_of_a_face() -> None:
    points = rng().uniform(4, 16, size=(1, 98))
    fields = ("au_mask_based_land_param { img_size: 20 spatial_ratio: 0.3 spatial_scale: 0.5 "
              "fill_coeff: 0.1 }")  # fmt: skip
    tops = run("AUMaskBasedLand", fields, points, tops=13)
    eyes = abs(points[0, 44] - points[0, 50])
    x, y = points[0, 2 * 24], points[0, 2 * 24 + 1] + eyes  # the fourth unit's first point
    h, w = min(9, round(y * 0.5)), min(9, round(x * 0.5))
    wanted = max(1 - (abs(h - y * 0.5) + abs(w - x * 0.5)) * 0.1 * (100 / (20 * 0.5)), 0)
    assert tops[3][0, 0, h, w] >= 0
    other = points[0, 2 * 29] * 0.5, (points[0, 2 * 29 + 1] + eyes) * 0.5
    if max(abs(other[0] - w), abs(other[1] - h)) > 4:  # else the second point lies over it
        close(tops[3][0, 0, h, w], wanted)
    assert (tops[12] >= np.max(tops[:12], axis=0)).all() and tops[12].max() <= 1


def test_dice_loss() -> None:
    a, b = rng().uniform(size=(2, 3, 5))
    wanted = 1 - np.mean([(2 * (p * q).sum() + 1) / ((p * p).sum() + (q * q).sum() + 1)
                          for p, q in zip(a, b, strict=True)])  # fmt: skip
    close(run("DiceCoefLoss", "", a, b), wanted)


def test_deformable_convolution() -> None:
    x, offset = rng().normal(size=(2, 4, 5, 6)), rng().normal(size=(2, 36, 3, 3))
    weight, bias = rng().normal(size=(3, 4, 3, 3)), rng().normal(size=3)
    top = np.zeros((2, 3, 3, 3)) + bias[:, None, None]
    for n, h, w, i, j, c in np.ndindex(2, 3, 3, 3, 3, 4):
        place = 18 * (c // 2) + 2 * (3 * i + j)
        y = h * 2 - 1 + i + offset[n, place, h, w]
        z = w * 2 - 1 + j + offset[n, place + 1, h, w]
        if 0 <= y < 5 and 0 <= z < 6:
            low, left = int(y), int(z)
            y, z = (4.0 if low >= 4 else y), (5.0 if left >= 5 else z)
            high, right = min(low + 1, 4), min(left + 1, 5)
            down, over = y - low, z - left
            value = ((1 - down) * (1 - over) * x[n, c, low, left]
                     + (1 - down) * over * x[n, c, low, right]
                     + down * (1 - over) * x[n, c, high, left]
                     + down * over * x[n, c, high, right])  # fmt: skip
            top[n, :, h, w] += weight[:, c, i, j] * value
    fields = ("deformable_convolution_param { num_output: 3 kernel_size: 3 pad: 1 stride: 2 "
              "deformable_group: 2 }")  # fmt: skip
    weights = {"l": [weight.astype(np.float32), bias.astype(np.float32)]}
    close(run("DeformableConvolution", fields, x, offset, weights=weights), top)


def test_triplet_and_xcov_loss() -> None:
    a, p, n = rng().normal(size=(3, 4, 3))
    each = [max(1 + ((a - p) ** 2)[i].sum() - ((a - n) ** 2)[i].sum(), 0) for i in range(4)]
    fields = "triplet_loss_param { margin: 1 }"
    close(run("TripletLoss", fields, a, p, n), sum(each) / 8)
    weights = np.array([1, 0, 2, 0.5])
    close(run("TripletLoss", fields, a, p, n, weights), (weights * each).sum() / 8)
    covariance = (a - a.mean(axis=0)).T @ (p - p.mean(axis=0)) / 4
    close(run("XCovLoss", "", a, p), (covariance**2).sum() / 2)


def test_general_contrastive_loss() -> None:
    x, label = rng().uniform(0, 3, size=(4, 5)), np.array([1, 0, 4, 2])
    fields = ("general_contrastive_loss_param { positive_margin: 0.5 negative_margin: 2 "
              "negative_weight: 0.25 max_negative_only: true }")  # fmt: skip
    total = near = far = 0.0
    for i in range(4):
        own = [max(min(x[i, j] - 0.5, 4), 0) if j == label[i] else max(2 - x[i, j], 0) * 0.25
               for j in range(5)]  # fmt: skip
        near += own[label[i]]
        far += sum(4 * v for j, v in enumerate(own) if j != label[i])
        best = 0
        for j in range(5):
            if j != label[i] and own[j] > own[best]:
                best = j
        total += own[label[i]] + (own[best] if best != label[i] else 0)
    loss, means = run("GeneralContrastiveLoss", fields, x, label, tops=2)
    close(loss, total / 4)
    close(means, [near / 4, far / 4 / 4])


def test_small_layers() -> None:
    x = rng().normal(size=(2, 3, 4, 5))
    close(run("Sparsify", "sparsify_param { thre: 0.5 }", x),
          np.sign(x) * np.maximum(np.abs(x) - 0.5, 0))  # fmt: skip
    close(run("SignedSqrt", "", x), np.sign(x) * np.sqrt(np.abs(x)))
    close(run("L2Normalize", "", x), x / np.sqrt((x**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-7))
    close(run("ScaleFilter", "scale_filter_param { min_scale: 0.5 max_scale: 2 }", x), x)
    close(run("MIL", "", x), x.max(axis=(2, 3), keepdims=True))
    p = rng().uniform(size=(2, 3, 2, 2))
    wanted = 1 - np.prod(1 - p.reshape(2, 3, 4), axis=2)
    close(run("MIL", "mil_param { type: NOR }", p), wanted.reshape(2, 3, 1, 1))
    close(run("Gather", "", x), x)


def test_scale_filter_draws_a_factor_for_each_channel() -> None:
    x = np.ones((3, 4, 2, 2))
    fields = "scale_filter_param { min_scale: 0.5 max_scale: 2 }"
    got = run("ScaleFilter", fields, x, phase="TRAIN")
    assert ((got >= 0.5) & (got <= 2)).all() and len(np.unique(got)) == 12
    assert (got == got[:, :, :1, :1]).all()


def test_batch_reduction() -> None:
    x = rng().normal(size=(2, 5, 3))
    param = "batch_reduction_param {{ {} reduction_param {{ operation: {} axis: 1 k: 2 }} }}"
    close(run("BatchReduction", param.format("", "SUM"), x), x.sum(axis=1))
    pyramid = run("BatchReduction", param.format("level: 1 level: 2", "MEAN"), x)
    close(pyramid, np.stack([x[:, 0], x[:, 1:].mean(axis=1)], axis=1))
    best = np.sort(x, axis=1)[:, -2:].mean(axis=1)
    close(run("BatchReduction", param.format("", "TOPK"), x), best)


def test_ctc_greedy_decoder() -> None:
    path = np.array([[1, 0], [1, 3], [3, 2], [1, 2], [2, 2]])  # steps x items, 3 the blank
    scores = np.eye(4)[path]
    markers = np.array([[0, 0], [1, 1], [1, 1], [1, 1], [0, 1]])
    tops = run("CTCGreedyDecoder", "", scores, markers, tops=2)
    close(tops[0].reshape(2, 5), [[1, 1, -1, -1, -1], [0, 2, -1, -1, -1]])
    close(tops[1].reshape(2), [-4, -5])
    blank = "ctc_decoder_param { blank_index: 3 }"
    alone = run("CTCGreedyDecoder", blank, scores).reshape(2, 5)
    close(alone, [[1, 1, 2, -1, -1], [0, 2, -1, -1, -1]])
    truth = np.array([[1, 0], [1, 2], [-1, 2], [-1, -1], [-1, -1]])
    _, share = run("CTCGreedyDecoder", "", scores, markers, truth, tops=2)
    close(share.reshape(()), 0.5)


def test_ctc_greedy_decoder_of_caffe_ocr() -> None:
    path = np.array([[1, 0], [1, 3], [0, 2], [1, 2], [2, 2]])  # steps x items, 0 the blank
    scores = np.eye(4)[path]
    close(run("CTCGreedyDecoder", "", scores).reshape(2, 5), [[1, 1, 2, -1, -1],
                                                              [3, 2, -1, -1, -1]])  # fmt: skip
    truth = np.array([[1, 0, 1, 2], [3, 0, 1, 1]])  # blanks are left out: 1 1 2 and 3 1 1
    rates = run("CTCGreedyDecoder", "", scores, truth)
    assert rates.shape == (1, 2, 1, 1)
    close(rates.reshape(2), [1 - (0 + 2 / 3) / 2, 0.5])
    with pytest.raises(NetcError) as caught:  # 2 steps of 2 items, or 2 items of 2 symbols
        run("CTCGreedyDecoder", "", scores[:2], truth[:, :2])
    assert [d.code for d in caught.value.diagnostics] == ["ambiguous-layer"]


def test_warp_ctc_loss_is_the_sum_over_paths() -> None:
    scores = rng().normal(size=(3, 3, 3))
    p = np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True)
    labels = np.array([[0, 1, 2], [2, 2, 0], [1, 1, 1]])  # 0 is the blank; the last needs 5 steps
    costs = [0.0] * 3
    for item, label in enumerate(([1, 2], [2, 2])):
        chance = 0.0
        for path in np.ndindex(3, 3, 3):
            said = [s for i, s in enumerate(path) if s and (i == 0 or path[i - 1] != s)]
            if said == label:
                chance += np.prod([p[t, item, s] for t, s in enumerate(path)])
        costs[item] = -math.log(chance)
    close(run("WarpCTCLoss", "", scores, labels), sum(costs) / 3)
    swapped = scores[:, :, [2, 1, 0]]
    blank = "ctc_loss_param { blank_index: 2 }"
    close(run("WarpCTCLoss", blank, swapped, 2 - labels), sum(costs) / 3)


def test_ctc_loss_of_sequences_is_the_sum_over_paths() -> None:
    scores = rng().normal(size=(3, 2, 3))
    p = np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True)
    markers = np.array([[0, 0], [1, 1], [1, 0]])
    symbols = np.array([[0, 1], [1, -1], [-1, -1]])  # 2 is the blank
    chances = []
    for item, (label, steps) in enumerate((([0, 1], 3), ([1], 2))):
        total = 0.0
        for path in np.ndindex(*(3,) * steps):
            said = [s for at, s in enumerate(path) if s != 2 and (at == 0 or s != path[at - 1])]
            if said == label:
                total += math.prod(p[at, item, s] for at, s in enumerate(path))
        chances.append(total)
    wanted = -sum(map(math.log, chances)) / 2
    close(run("CTCLoss", "", scores, markers, symbols), wanted)


def test_transpose_and_other_names() -> None:
    x = rng().normal(size=(2, 3, 4, 5))
    close(run("Transpose", "transpose_param { dim: [3, 2, 0, 1] }", x), x.transpose(3, 2, 0, 1))
    weights = {"l": [np.ones((2, 3), np.float32), np.zeros(2, np.float32)]}
    y = rng().normal(size=(4, 3))
    got = run("SparseInnerProduct", "inner_product_param { num_output: 2 }", y, weights=weights)
    close(got, np.repeat(y.sum(axis=1, keepdims=True), 2, axis=1))


def test_sum_rows_and_soft_targets() -> None:
    x, z = rng().normal(size=(2, 6, 4))
    close(run("Sum", "", x, z), x + z)
    most = x.reshape(2, 3, 4).max(axis=1)
    close(run("MIL", "mil_param { context_per_roi: 3 }", x)[:, :, 0, 0], most)
    p, q = (np.exp(v) / np.exp(v).sum(axis=1, keepdims=True) for v in (x, z))
    loss, told = run("SoftmaxWithCrossEntropyLoss", "", x, z, tops=2)
    close(loss, -(q * np.log(p)).sum() / 6)
    close(told, p)


@pytest.mark.parametrize("grown", [True, False])
def test_predict_box(grown: bool) -> None:
    score, by = rng().uniform(size=(1, 2, 3, 4)), rng().normal(size=(1, 4, 3, 4))
    fields = f"predict_box_param {{ positive_thresh: 0.4 bbreg_exp: {str(grown).lower()} }}"
    whole, rows = np.zeros((1, 5, 3, 4)), []
    for x in range(4):
        for y in range(3):
            if score[0, 1, y, x] > 0.4:
                a, b, c, d = by[0, :, y, x]
                box = [2 * x, 2 * y, 12, 12]  # 12 pixels every 2
                box = ([box[0] + 12 * a, box[1] + 12 * b, 12 * math.exp(c), 12 * math.exp(d)]
                       if grown else
                       [box[0] + 12 * b, box[1] + 12 * a, 12 + 12 * (d - b), 12 + 12 * (c - a)]
                       )  # fmt: skip
                whole[0, :, y, x] = [*box, score[0, 1, y, x]]
                rows.append(whole[0, :, y, x])
    got, found = run("PredictBox", fields, score, by, tops=2)
    close(got, whole)
    close(found, [rows])
    nothing = run("PredictBox", "predict_box_param { positive_thresh: 2 }", score, by, tops=2)[1]
    close(nothing, np.zeros((1, 1, 5)))


@pytest.mark.parametrize(("kind", "multiple"), [("SINGLE", 1), ("DOUBLE", 2), ("QUADRUPLE", 4)])
def test_large_margin_inner_product(kind: str, multiple: int) -> None:
    x, weight, label = rng().normal(size=(6, 3)), rng().normal(size=(4, 3)), np.arange(6) % 4
    wanted = x @ weight.T
    for i, own in enumerate(label):
        size = np.linalg.norm(x[i]) * np.linalg.norm(weight[own])
        angle = math.acos(wanted[i, own] / size)
        k = math.floor(multiple * angle / math.pi)
        fallen = size * ((-1) ** k * math.cos(multiple * angle) - 2 * k)
        wanted[i, own] = (fallen + 2 * wanted[i, own]) / 3
    fields = f"largemargin_inner_product_param {{ num_output: 4 type: {kind} base: 2 }}"
    weights = {"l": [weight.astype(np.float32)]}
    got, share = run("LargeMarginInnerProduct", fields, x, label, tops=2, weights=weights)
    close(got, wanted)
    close(share, [2])


@pytest.mark.parametrize(
    ("kind", "fields", "shapes", "code"),
    [
        ("PairwiseLoss", "", [(4, 3), (4, 2), (5, 3), (5, 2)], "shape-mismatch"),
        ("SpatialTransformer", "st_param { theta_1_1: 1 }", [(2, 3, 4, 4), (2, 6)],
         "shape-mismatch"),
        ("Division", "division_param { width: 3 height: 3 xcoord: 2 ycoord: 0 }", [(1, 1, 4, 4)],
         "shape-mismatch"),
        ("DeformableConvolution", "deformable_convolution_param { num_output: 2 kernel_size: 3 "
         "deformable_group: 1 }", [(1, 4, 5, 5), (1, 18, 5, 5)], "shape-mismatch"),
        ("BatchReduction", "batch_reduction_param { level: 2 reduction_param { axis: 1 } }",
         [(2, 5)], "shape-mismatch"),
        ("ScaleFilter", "scale_filter_param { min_scale: 2 max_scale: 1 }", [(1, 2, 3, 3)],
         "out-of-range"),
        ("CTCLoss", "ctc_loss_param { output_delay: 1 }", [(3, 2, 4), (3, 2), (3, 2)],
         "out-of-range"),
        ("Transpose", "transpose_param { dim: [0, 0] }", [(2, 3)], "out-of-range"),
    ],
)  # fmt: skip
def test_refusals(kind: str, fields: str, shapes: list[tuple[int, ...]], code: str) -> None:
    text = inputs_of(shapes) + text_of(kind, fields, len(shapes), 1)
    with pytest.raises(NetcError) as caught:
        found = build(read_net(text=text).message).diagnostics
        raise NetcError([d for d in found if d.severity == "error"])
    assert caught.value.diagnostics[0].code in (code, "unsupported-value")
    assert caught.value.diagnostics[0].span is not None


def test_gradients_that_need_inputs_of_their_own() -> None:
    markers = np.array([[0, 0], [1, 1], [1, 0]], np.float64)
    symbols = np.array([[0, 1], [1, -1], [-1, -1]], np.float64)
    cases = [
        ("CTCLoss", "", [rng().normal(size=(3, 2, 3)), markers, symbols], "x0"),
        ("MIL", "mil_param { type: NOR }", [rng().uniform(size=(2, 3, 2, 2))], "x0"),
        ("DiceCoefLoss", "", list(rng().uniform(size=(2, 1, 5))), "x0"),
    ]
    for kind, fields, feeds, wrt in cases:
        text = inputs_of([feed.shape for feed in feeds]) + text_of(kind, fields, len(feeds), 1)
        given = {f"x{i}": feed for i, feed in enumerate(feeds)}
        found = netc.check_gradient(text, feeds=given)
        (row,) = [row for row in found.rows if row.name == wrt]
        difference = (
            2 if kind == "CTCLoss" else 1
        )  # the mean over two items, and the sum's gradient
        assert row.gradient == pytest.approx(difference * row.difference, rel=1e-4, abs=1e-6), kind


def test_half_the_absolute_differences_of_an_item() -> None:
    x, z = rng().normal(size=(2, 3, 4))
    total = sum(abs(a - b) for a, b in zip(x.flat, z.flat, strict=True))
    close(run("AccuracyRegression", "", x, z), np.full((1, 1, 1, 1), total / 3 / 2))
    close(run("SVRLoss", "", x, z), total / 3)
    with pytest.raises(NetcError, match="`top_k` 5 is more than the 4 numbers"):
        run("AccuracyRegression", "accuracy_param { top_k: 5 }", x, z)


def test_unpooling_by_the_fields_of_the_pooling_that_it_undoes() -> None:
    x = np.arange(4.0).reshape(1, 1, 2, 2)
    mask = np.array([0, 3, 12, 24]).reshape(1, 1, 2, 2)
    wanted = np.zeros((1, 1, 25))
    wanted[0, 0, [0, 3, 12, 24]] = x.ravel()
    fields = "pooling_param { kernel_size: 3 stride: 2 }"
    close(run("Unpooling", fields, x, mask), wanted.reshape(1, 1, 5, 5))
    with pytest.raises(NetcError, match="takes 2 bottoms"):
        run("Unpooling", fields, x)
    with pytest.raises(NetcError, match="`pool` must be MAX"):
        run("Unpooling", fields.replace("stride", "pool: AVE stride"), x, mask)


def test_add_is_the_sum_of_two_bottoms() -> None:
    x, z = rng().normal(size=(2, 3, 4))
    close(run("Add", "", x, z), x + z)
    with pytest.raises(NetcError, match="`num_output` of a Caffe fork"):
        run("Add", "convolution_param { num_output: 2 }", x, z)
