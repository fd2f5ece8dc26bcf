"""FlowNet 2's augmentation against its equations, element by element, on known coefficients."""

from __future__ import annotations

import math

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from netc.ops.forks.augmentation_params import (
    COEFFICIENTS,
    NEUTRAL,
    Draw,
    NumberDistribution,
    row_of,
)
from tests.ops.test_fork_parts import close, inputs_of, run, text_of

RNG = np.random.default_rng(9)
AXES = [0.51, 0.56, 0.65, 0.79, 0.01, -0.62, 0.35, -0.83, 0.44]
CROP = "crop_width: 5 crop_height: 4 max_multiplier: 1 " + " ".join(
    f"chromatic_eigvec: {n}" for n in AXES
)


def rows(*given: dict[str, float]) -> np.ndarray:
    return np.stack([row_of(one) for one in given]).reshape(len(given), COEFFICIENTS, 1, 1)


def augment(data: np.ndarray, *given: dict[str, float], fields: str = CROP) -> np.ndarray:
    text = f"augmentation_param {{ {fields} }}"
    return run("DataAugmentation", text, data, rows(*given))


def test_a_row_has_the_fields_of_flownets_message_in_order() -> None:
    names = list(NEUTRAL)
    assert COEFFICIENTS == 42
    assert names[:6] == ["mirror", "dx", "dy", "angle", "zoom_x", "zoom_y"]
    assert names[6:12] == ["gamma", "brightness", "contrast", "color1", "color2", "color3"]
    assert names[12:15] == ["pow_nomean0", "pow_nomean1", "pow_nomean2"]
    assert names[30:34] == ["lmult_pow", "lmult_add", "lmult_mult", "col_angle"]
    assert names[-1] == "noise"
    close(row_of({"dx": 0.5, "zoom_x": 2.0})[[1, 4, 5]], [0.5, math.log(2), 0])


def test_neutral_coefficients_crop_the_middle() -> None:
    data = RNG.random((2, 3, 8, 9)).astype(np.float32)
    close(augment(data, {}, {}), data[:, :, 2:6, 2:7])
    test = run("DataAugmentation", f"augmentation_param {{ {CROP} zoom {{ mean: 3 }} }}", data)
    close(test, data[:, :, 2:6, 2:7])  # nothing is drawn outside of training


def test_spatial_coefficients() -> None:
    data = RNG.random((1, 3, 8, 9)).astype(np.float32)
    own = {"mirror": 1.0, "dx": 0.1, "dy": -0.05, "angle": 0.3, "zoom_x": 1.25, "zoom_y": 0.8}
    wanted = np.zeros((1, 3, 4, 5))
    for y, x in np.ndindex(4, 5):
        a, b = -x + 2.5, y - 2.0
        a, b = a * math.cos(0.3) - b * math.sin(0.3), a * math.sin(0.3) + b * math.cos(0.3)
        a, b = (a + 0.5) / 1.25 + 4.5, (b - 0.2) / 0.8 + 4
        a, b = min(max(a, 0), 9 - 1.05), min(max(b, 0), 8 - 1.05)
        i, j, u, v = int(b), int(a), b - int(b), a - int(a)
        corners = data[0, :, i : i + 2, j : j + 2]
        wanted[0, :, y, x] = (corners * np.outer([1 - u, u], [1 - v, v])).sum(axis=(1, 2))
    close(augment(data, own), wanted)


def clamp(value: float, low: float, high: float) -> float:
    return max(low, min(high, value))


def test_chromatic_coefficients() -> None:
    data = RNG.random((1, 3, 8, 9)).astype(np.float32)
    own = {"gamma": 1.3, "brightness": 0.05, "contrast": 1.2, "color1": 0.9, "color3": 1.1}
    plain = augment(data, {})[0]
    wanted = np.zeros_like(plain)
    for y, x in np.ndindex(4, 5):
        rgb = plain[:, y, x]
        changed = rgb * [0.9, 1, 1.1]
        changed *= rgb.sum() / (changed.sum() + 0.01)
        for c in range(3):
            value = clamp(changed[c], 0, 1) ** 1.3 + 0.05
            wanted[c, y, x] = clamp(0.5 + (value - 0.5) * 1.2, 0, 1)
    close(augment(data, own)[0], wanted)


def test_coefficients_along_the_eigenvectors() -> None:
    data = RNG.random((2, 3, 8, 9)).astype(np.float32)
    own = {"pow_nomean0": 1.2, "add_nomean1": 0.1, "mult_nomean2": 0.8, "pow_withmean1": 1.1,
           "mult_withmean1": 0.9, "add_withmean1": 0.02, "lmult_pow": 0.9, "lmult_add": 0.03,
           "lmult_mult": 1.2, "col_angle": 0.2}  # fmt: skip
    axes = np.array(AXES).reshape(3, 3)
    mean = data.mean(axis=(0, 2, 3))
    pixels = data.transpose(0, 2, 3, 1).reshape(-1, 3)
    extent = np.abs(pixels @ axes.T).max(axis=0)
    centre, length = axes @ mean / extent, math.sqrt((extent**2).sum())
    plain = augment(data, {}, {})[0]
    wanted = np.zeros_like(plain)
    for y, x in np.ndindex(4, 5):
        eig = axes @ (plain[:, y, x] - mean) / extent
        eig[0] = math.copysign(abs(eig[0]) ** 1.2, eig[0])
        eig[1] += 0.1
        eig[2] *= 0.8
        eig += centre
        strong = math.hypot(eig[1], eig[2])
        stronger = max(strong**1.1 + 0.02, 0) * 0.9
        cos, sin = math.cos(0.2), math.sin(0.2)
        eig[1], eig[2] = cos * eig[1] - sin * eig[2], sin * eig[1] + cos * eig[2]
        eig *= extent
        light = math.sqrt((eig**2).sum()) / length
        eig[1:] *= stronger / strong
        now = math.sqrt((eig**2).sum())
        light = max(light**0.9 + 0.03, 0) * 1.2 * length
        eig = np.minimum(eig / now * light, extent)
        wanted[:, y, x] = np.clip(axes.T @ eig, 0, 1)
    close(augment(data, own, {})[0], wanted)


def test_a_shadow_falls_on_one_side() -> None:
    data = np.full((1, 3, 4, 5), 0.75, np.float32)
    dark = augment(data, {"shadow_strength": 0.5, "shadow_distance": 0.5})[0, 0]
    close(dark, np.tile([0.75, 0.75, 0.75, 0.25, 0.25], (4, 1)))  # x - 5 // 2 > 0.5
    noisy = augment(data, {"noise": 0.1})
    assert 0.02 < noisy.std() < 0.3


def test_means_are_taken_off() -> None:
    data = RNG.random((2, 3, 4, 5)).astype(np.float32)
    given = "crop_width: 5 crop_height: 4 mean_per_pixel: false mean: [0.1, 0.2, 0.3]"
    shift = np.array([0.1, 0.2, 0.3]).reshape(1, 3, 1, 1)
    plain = augment(data, {}, {})
    close(augment(data, {}, {}, fields=given), plain - shift)
    text = f"augmentation_param {{ {CROP} recompute_mean: 2 mean_per_pixel: false }}"
    old = RNG.random((1, 3, 4, 5))
    for passes, mean in ((0, plain.mean(axis=0)), (1, (old[0] + plain.mean(axis=0)) / 2)):
        kept = [np.full((1, 1, 1, 1), passes), old, old.mean(axis=(2, 3), keepdims=True)]
        weights = {"l": [a.astype(np.float32) for a in kept]}
        got = run("DataAugmentation", text, data, weights=weights)
        close(got, plain - mean.mean(axis=(1, 2)).reshape(1, 3, 1, 1))
    kept = [np.full((1, 1, 1, 1), 2), old, np.full((1, 3, 1, 1), 0.5)]
    weights = {"l": [a.astype(np.float32) for a in kept]}
    close(run("DataAugmentation", text, data, weights=weights), plain - 0.5)


SHIFT = 'translate_x { rand_type: "uniform" mean: 0.125 } gamma { mean: 2 }'


def test_generated_rows_add_up() -> None:
    data, crop = np.zeros((2, 3, 20, 24)), np.zeros((2, 3, 4, 8))
    before = rows({"dx": 0.25, "gamma": 1.5}, {"angle": 0.1})
    kind = "GenerateAugmentationParameters"
    text = f"augmentation_param {{ augment_during_test: true {SHIFT} }}"
    added = run(kind, text, before, data, crop)
    names = list(NEUTRAL)
    close(added[:, names.index("dx"), 0, 0], [0.375, 0.125])
    close(added[:, names.index("gamma"), 0, 0], np.log([3.0, 2.0]))
    close(added[:, names.index("angle"), 0, 0], [0, 0.1])
    anew = run(kind, text.replace("true", 'true mode: "replace"'), before, data, crop)
    close(anew[:, names.index("dx"), 0, 0], [0.125, 0.125])
    close(anew[:, names.index("gamma"), 0, 0], np.log([2.0, 2.0]))
    still = run("GenerateAugmentationParameters", f"augmentation_param {{ {SHIFT} }}", before, data,
                crop)  # fmt: skip
    close(still, before)


def test_a_map_that_leaves_the_picture_is_not_taken() -> None:
    far = "augmentation_param { augment_during_test: true translate_x { mean: 2 } }"
    data, crop = np.zeros((1, 3, 20, 24)), np.zeros((1, 3, 4, 8))
    before = rows({"dy": 0.1})
    close(run("GenerateAugmentationParameters", far, before, data, crop), before)


def test_training_draws_by_the_layers_name() -> None:
    data = RNG.random((3, 3, 30, 40)).astype(np.float32)
    text = ('augmentation_param { crop_width: 8 crop_height: 6 rotate { rand_type: "uniform" '
            'spread: 0.4 } color { rand_type: "gaussian_bernoulli" exp: true spread: 0.3 } '
            "max_multiplier: 1 }")  # fmt: skip
    net = inputs_of([data.shape]) + text_of("DataAugmentation", text, 1, 2)
    found = []
    for name in ("a", "a", "b"):
        named = net.replace('name: "l"', f'name: "{name}"')
        compiled = netc.compile(text=named, backend="reference", phase="TRAIN")
        found.append(compiled(x0=data)["y1"].reshape(3, -1))
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any() and len(np.unique(found[0][:, 3])) == 3
    assert (np.abs(found[0][:, 3]) <= 0.4).all() and found[0][:, 9:12].all()


@pytest.mark.parametrize(
    ("kind", "mean", "deviation"),
    [("uniform", 0.5, 0.2 / math.sqrt(3)), ("gaussian", 0.5, 0.2), ("bernoulli", 0.3, 0.458),
     ("uniform_bernoulli", 0.5 * 0.3 + 2 * 0.7, None)],
)  # fmt: skip
def test_distributions(kind: str, mean: float, deviation: float | None) -> None:
    draw = Draw(np.random.default_rng(1).random(60000), 1.0)
    given = NumberDistribution(kind, False, 0.5, 0.2, 0.3, True, False, 1.0)
    numbers = np.array([draw.of(given, 2.0) for _ in range(15000)])
    assert abs(numbers.mean() - mean) < 0.02
    assert deviation is None or abs(numbers.std() - deviation) < 0.01


def test_schedule_multiplier_and_rounding() -> None:
    draw = Draw(np.full(10, 0.999), 0.0)
    assert draw.of(NumberDistribution("uniform", True, 1.0, 5.0, 1.0, True, False, 1.0)) == math.e
    assert draw.of(NumberDistribution("uniform", False, 0.0, 2.0, 1.0, False, True, 3.0)) == 6.0
    assert (
        draw.of(NumberDistribution("gaussian_bernoulli", True, 1.0, 1, 0, True, False, 1.0)) == 1.0
    )


def test_flow_augmentation() -> None:
    flow = RNG.normal(size=(1, 2, 8, 9)).astype(np.float32)
    one, two = {"dx": 0.1, "zoom_x": 1.2}, {"angle": 0.2, "dy": 0.1}
    text = "augmentation_param { crop_width: 5 crop_height: 4 }"
    got = run("FlowAugmentation", text, flow, rows(one), rows(two))
    for y, x in np.ndindex(4, 5):
        a, b = (x - 2.5 + 0.5) / 1.2 + 4.5, y - 2.0 + 4
        j, i = min(max(int(a + 0.5), 0), 8), min(max(int(b + 0.5), 0), 7)
        a, b = a + flow[0, 0, i, j] - 4.5, b + flow[0, 1, i, j] - 4 - 0.4
        cos, sin = math.cos(0.2), math.sin(0.2)
        a, b = cos * a + sin * b + 2.5, -sin * a + cos * b + 2
        close(got[0, :, y, x], [a - x, b - y])


@pytest.mark.parametrize(
    ("kind", "fields", "shapes"),
    [
        ("DataAugmentation", "crop_width: 9 crop_height: 2", [(1, 3, 4, 5)]),
        ("DataAugmentation", "crop_width: 2 crop_height: 2", [(1, 3, 4, 5), (1, 41, 1, 1)]),
        ("FlowAugmentation", "", [(1, 2, 4, 5), (1, 42), (1, 42)]),
        ("FlowAugmentation", "crop_width: 2 crop_height: 2", [(1, 3, 4, 5), (1, 42), (1, 42)]),
        ("GenerateAugmentationParameters", "", [(1, 3, 4, 5)]),
        ("GenerateAugmentationParameters", "", [(1, 42), (1, 3, 4, 5)]),
    ],
)
def test_shapes_that_do_not_fit(kind: str, fields: str, shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(NetcError) as caught:
        run(kind, f"augmentation_param {{ {fields} }}", *map(np.zeros, shapes))
    assert [d.code for d in caught.value.diagnostics] == ["shape-mismatch"]


def test_a_kind_of_distribution_that_flownet_lacks() -> None:
    text = 'augmentation_param { augment_during_test: true zoom { rand_type: "cauchy" } }'
    with pytest.raises(NetcError, match="cauchy"):
        run("DataAugmentation", text, np.zeros((1, 3, 4, 5)))
