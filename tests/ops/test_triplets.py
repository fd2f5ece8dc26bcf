"""Triplet losses that are written in Python, against loops over triplets."""

from __future__ import annotations

import numpy as np
import pytest

import netc

ROWS, WIDTH = 9, 4


def python(module: str, layer: str, bottoms: str, tops: str, more: str = "") -> str:
    reads = " ".join(f'bottom: "{name}"' for name in bottoms.split())
    makes = " ".join(f'top: "{name}"' for name in tops.split())
    param = f'python_param {{ module: "{module}" layer: "{layer}" {more} }}'
    return f'layer {{ name: "{layer}" type: "Python" {reads} {makes} {param} }}\n'


def inputs(*names: str, rows: int = 3) -> str:
    shape = f"input_shape {{ dim: {rows} dim: {WIDTH} }}"
    return "".join(f'input: "{name}" {shape}\n' for name in names)


def drawn(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, WIDTH), np.float32)


LOSSES = [
    ("tripletlosslayer", "TripletLayer", "'margin': 0.2", 0.2, 1.0, 0.5, 1.0),
    ("tripletlosslayer", "TripletLayer", "", 1.0, 1.0, 0.5, 1.0),
    ("tripletloss_layer", "TripletLayer", "'margin': 0.2", 0.2, 1.0, 1.0, 3.0),
    ("triplet_loss", "TripletLossLayer0", "{'loss_weight': 2.0, 'margin': 1}", 1.0, 1.0, 0.5, 2.0),
    ("triplet_loss", "TripletLossLayer1",
     "{'anchor_scale': 0.5, 'loss_weight': 2.0, 'margin': 1}", 1.0, 0.5, 0.5, 2.0),
]  # fmt: skip


@pytest.mark.parametrize(("module", "layer", "param", "margin", "scale", "share", "weight"), LOSSES)
def test_loss_and_gradients(module, layer, param, margin, scale, share, weight) -> None:
    more = f'param_str: "{param}" ' if param else ""
    text = inputs("a", "p", "n")
    text += python(module, layer, "a p n", "loss", more).replace(
        " python_param", " loss_weight: 3 python_param"
    )
    a, p, n = (drawn(3, seed) for seed in range(3))
    n[2] = 40  # far enough for a loss of 0
    wanted, slopes = 0.0, [np.zeros_like(a) for _ in range(3)]
    for i in range(3):
        each = margin + ((scale * a[i] - p[i]) ** 2).sum() - ((scale * a[i] - n[i]) ** 2).sum()
        if each > 0:
            wanted += share * each / 3
            slopes[0][i] = weight * share * 2 * scale * (n[i] - p[i]) / 3
            slopes[1][i] = weight * share * -2 * (scale * a[i] - p[i]) / 3
            slopes[2][i] = weight * share * 2 * (scale * a[i] - n[i]) / 3
    net = netc.compile(text=text, phase="TRAIN", backend="reference")
    np.testing.assert_allclose(net(a=a, p=p, n=n)["loss"], [wanted], rtol=1e-5)
    found = net.gradients({"a": a, "p": p, "n": n}).blobs
    for name, slope in zip("apn", slopes, strict=True):
        np.testing.assert_allclose(found[name], slope, rtol=1e-5, atol=1e-6)


def test_rows_are_chosen_by_their_distance_from_the_first() -> None:
    x = drawn(ROWS + 1, 5)  # of which the last is left out
    text = inputs("x", rows=ROWS + 1) + python(
        "tripletselectlayer", "TripletSelectLayer", "x", "a p n"
    )
    far = [float(((x[0] - row) ** 2).sum()) for row in x]
    like = sorted(range(3, 6), key=lambda i: -far[i])
    unlike = sorted(range(6, 9), key=lambda i: -far[i])
    net = netc.compile(text=text, phase="TRAIN", backend="reference")
    made = net(x=x)
    for name, rows in (("a", [0, 1, 2]), ("p", like), ("n", unlike)):
        np.testing.assert_array_equal(made[name], x[rows])


def test_a_triplet_in_the_right_order_learns_and_others_do_not() -> None:
    x = drawn(3, 6)
    text = inputs("x") + python("tripletselectlayer", "TripletSelectLayer", "x", "a p n")
    text += python(
        "tripletloss_layer", "TripletLayer", "a p n", "loss", "param_str: \"'margin': 90\""
    )
    text = text.replace('top: "loss" ', 'top: "loss" loss_weight: 1 ')
    net = netc.compile(text=text, phase="TRAIN", backend="reference")
    near, far = (((x[0] - x[i]) ** 2).sum() for i in (1, 2))
    found = net.gradients({"x": x}).blobs["x"]
    swapped = net.gradients({"x": x[[0, 2, 1]]}).blobs["x"]
    assert bool(found.any()) == (near < far) and bool(swapped.any()) == (far < near)


@pytest.mark.parametrize("module", ["l2norm_layer", "norm2layer"])
def test_rows_of_length_one(module: str) -> None:
    layer = {"l2norm_layer": "L2NormLayer", "norm2layer": "Norm2Layer"}[module]
    text = inputs("x", "t") + python(module, layer, "x", "y")
    text += 'layer { name: "l" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "l" }'
    x, t = drawn(3, 1), drawn(3, 2)
    net = netc.compile(text=text, phase="TRAIN", backend="reference")
    y = x / np.sqrt((x * x).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(net(x=x, t=t)["l"], ((y - t) ** 2).sum() / 6, rtol=1e-5)
    found = net.gradients({"x": x, "t": t}).blobs.get("x")
    if module == "norm2layer":  # its `backward` does nothing
        assert found is None or not found.any()
        return
    step = 1e-3
    for place in ((0, 0), (1, 2), (2, 3)):
        moved = x.astype(np.float64)
        losses = []
        for sign in (1, -1):
            moved[place] = x[place] + sign * step
            z = moved / np.sqrt((moved * moved).sum(axis=1, keepdims=True))
            losses.append(((z - t) ** 2).sum() / 6)
        np.testing.assert_allclose(found[place], (losses[0] - losses[1]) / (2 * step), rtol=1e-3)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(netc.NetcError, match="as many of each: the bottom is 2x4"):
        netc.compile(
            text=inputs("x", rows=2)
            + python("tripletselectlayer", "TripletSelectLayer", "x", "a p n")
        )
    with pytest.raises(netc.NetcError, match="takes `margin`"):
        more = "param_str: \"'edge': 1\""
        netc.compile(
            text=inputs("a", "p", "n")
            + python("tripletloss_layer", "TripletLayer", "a p n", "l", more)
        )


def test_maps_of_constants() -> None:
    sizes = "param_str: \"{'height': 2, 'batch': 2, 'width': 3}\""
    text = python("python_layers", "Meshgrid", "", "places", sizes)
    text += python("python_layers", "MeanVals", "", "mean", sizes)
    net = netc.compile(text=text, backend="reference")
    made = net({})
    assert made["places"].shape == (2, 2, 2, 3) and made["mean"].shape == (2, 3, 2, 3)
    for y in range(2):
        for x in range(3):
            assert made["places"][1, :, y, x].tolist() == [x, y]
            assert made["mean"][1, :, y, x].tolist() == [104, 117, 123]
