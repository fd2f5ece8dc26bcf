"""DenseCRF against loops over pixels and classes, with each filter as a matrix."""

from __future__ import annotations

import math

import numpy as np
import pytest

import netc
from netc.ops.forks.meanfield import filter_of

CLASSES, HIGH, WIDE = 3, 4, 5
FIELDS = "max_iter: 3 pos_w: 2 pos_xy_std: 1.5 bi_w: 4 bi_xy_std: 2 bi_rgb_std: 30"


def text(fields: str, bottoms: int = 3, layers: bool = False) -> str:
    shapes = ((1, CLASSES, HIGH, WIDE), (1, 1, 1, 2), (1, 3, HIGH, WIDE))[:bottoms]
    made = "".join(
        f'input: "x{i}"\n' + "".join(f"input_dim: {size}\n" for size in shape)
        for i, shape in enumerate(shapes)
    )
    reads = " ".join(f'bottom: "x{i}"' for i in range(bottoms))
    kind = "layers { type: DENSE_CRF" if layers else 'layer { type: "DenseCRF"'
    return made + f'{kind} name: "crf" {reads} top: "y" dense_crf_param {{ {fields} }} }}\n'


def feeds(high: int = HIGH, wide: int = WIDE) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    return {
        "x0": rng.standard_normal((1, CLASSES, HIGH, WIDE)).astype(np.float32),
        "x1": np.array([high, wide], np.float32).reshape(1, 1, 1, 2),
        "x2": rng.uniform(-100, 100, (1, 3, HIGH, WIDE)).astype(np.float32),
    }


def inferred(given: dict[str, np.ndarray], high: int, wide: int) -> np.ndarray:
    """Three steps of mean-field inference, pixel by pixel."""
    pixels = [(y, x) for y in range(high) for x in range(wide)]
    scores, image = given["x0"][0], given["x2"][0]
    near = np.array([[x / 1.5, y / 1.5] for y, x in pixels])
    alike = np.array([[x / 2, y / 2, *image[:, y, x] / 30] for y, x in pixels])
    matrices = [
        filter_of(f).forth(np.eye(len(pixels))) for f in (near, alike)
    ]  # each row a pixel's
    start = []
    for y, x in pixels:
        power = [math.exp(score) for score in scores[:, y, x]]
        start.append([value / sum(power) for value in power])
    prob = start
    for _ in range(3):
        made = []
        for i in range(len(pixels)):
            values = []
            for c in range(CLASSES):
                total = math.log(start[i][c])
                for weight, matrix in zip((2, 4), matrices, strict=True):
                    total += weight * sum(matrix[j][i] * prob[j][c] for j in range(len(pixels)))
                values.append(math.exp(total))
            made.append([value / sum(values) for value in values])
        prob = made
    whole = np.zeros((1, CLASSES, HIGH, WIDE))
    for i, (y, x) in enumerate(pixels):
        whole[0, :, y, x] = prob[i]
    return whole


@pytest.mark.parametrize("size", [(HIGH, WIDE), (3, 4)])
def test_inference_leaves_padding_at_zero(size: tuple[int, int]) -> None:
    given = feeds(*size)
    for layers in (False, True):  # the spelling of DeepLab's first release too
        net = netc.compile(text=text(FIELDS, layers=layers), backend="reference")
        np.testing.assert_allclose(net(given)["y"], inferred(given, *size), rtol=1e-4, atol=1e-5)


def test_without_potentials_it_is_a_softmax_and_may_give_logarithms() -> None:
    given = feeds(100, 100)  # a cropped image: all of the map counts
    plain = {name: given[name] for name in ("x0", "x1")}
    power = np.exp(given["x0"])
    wanted = power / power.sum(axis=1, keepdims=True)
    for more, value in (("", wanted), ("output_probability: false", np.log(wanted))):
        net = netc.compile(text=text(f"max_iter: 2 {more}", 2), backend="reference")
        np.testing.assert_allclose(net(plain)["y"], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("pos_w: 1", "must be written as often as `pos_w`, 1 times"),
        ("bi_w: 1 bi_xy_std: 1 bi_rgb_std: 0", "must be above 0"),
        ("pos_w: 1 pos_xy_std: 1", "no potential that reads them"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields: str, told: str) -> None:
    with pytest.raises(netc.NetcError, match=told):
        netc.compile(text=text(fields))


def test_shapes_and_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(netc.NetcError, match="images of 3 colours"):
        netc.compile(
            text=text(FIELDS).replace(
                "input_dim: 3\ninput_dim: 4\ninput_dim: 5\nlayer",
                "input_dim: 1\ninput_dim: 4\ninput_dim: 5\nlayer",
            )
        )
    net = netc.compile(text=text(FIELDS), backend="reference")
    with pytest.raises(netc.NetcError, match="an image of 9x2 in a map of 4x5"):
        net(feeds(9, 2))
    far = feeds()
    far["x2"] = far["x2"] * np.float32(1e9)
    with pytest.raises(netc.NetcError, match="too far apart"):
        net(far)
