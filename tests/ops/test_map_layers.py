"""Python layers over maps, OpenSALICON's and DenseReg's, against loops."""

from __future__ import annotations

import numpy as np
import pytest

import netc

DATA = 'layer { name: "d" type: "Python" top: "x" python_param { module: "CustomData" layer: '
DATA += '"CustomData" param_str: "1,2,3,4" } }\n'
ZOOM = 'layer { name: "z" type: "Python" bottom: "x" top: "y" python_param { module: '
ZOOM += '"custom_interpolation_layer" layer: "custom_interpolation_layer" param_str: "%s" } }\n'


def zoomed(x: np.ndarray, size: int) -> np.ndarray:
    """A row of ``size`` elements, linear between those of ``x``, the ends kept."""
    made = []
    for i in range(size):
        place = i * (len(x) - 1) / (size - 1)
        low = min(int(place), len(x) - 1)
        high = min(low + 1, len(x) - 1)
        made.append(x[low] * (1 - place + low) + x[high] * (place - low))
    return np.array(made)


def test_data_has_the_shape_that_its_text_says_and_is_zoomed_to_another() -> None:
    net = netc.compile(text=DATA + ZOOM % "1,2,5,7", backend="reference")
    assert tuple(net.inputs["x"]) == (1, 2, 3, 4)
    x = np.random.default_rng(1).standard_normal((1, 2, 3, 4), np.float32)
    wanted = np.apply_along_axis(zoomed, 3, np.apply_along_axis(zoomed, 2, x, 5), 7)
    np.testing.assert_allclose(net(x=x)["y"], wanted, rtol=1e-5, atol=1e-6)
    for text, told in (("1,2,5", "3 axes"), ("big", "takes the top's sizes")):
        with pytest.raises(netc.NetcError, match=told):
            netc.compile(text=DATA + ZOOM % text)


def test_the_gradient_is_zoomed_back() -> None:
    text = 'input: "x" input_shape { dim: [1, 2, 3, 4] }\n' + ZOOM % "1,2,5,7"
    text += 'input: "t" input_shape { dim: [1, 2, 5, 7] }\n'
    text += 'layer { name: "l" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "l" }'
    net = netc.compile(text=text, phase="TRAIN", backend="reference")
    draw = np.random.default_rng(2).standard_normal
    x, t = draw((1, 2, 3, 4), np.float32), draw((1, 2, 5, 7), np.float32)
    y = np.apply_along_axis(zoomed, 3, np.apply_along_axis(zoomed, 2, x, 5), 7)
    back = np.apply_along_axis(zoomed, 3, np.apply_along_axis(zoomed, 2, y - t, 3), 4)
    found = net.gradients({"x": x, "t": t}).blobs["x"]
    np.testing.assert_allclose(found, back, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("module", ["CombineRegressions", "CombineRegressionsHuman"])
def test_coordinates_of_bins_and_residuals(module: str) -> None:
    shapes = {"h": (1, 1, 4, 5), "v": (1, 1, 4, 5), "hr": (1, 3, 4, 5), "vr": (1, 3, 4, 5)}
    text = "".join(f'input: "{n}" input_shape {{ dim: {list(s)} }}\n' for n, s in shapes.items())
    reads = " ".join(f'bottom: "{name}"' for name in shapes)
    text += f'layer {{ name: "c" type: "Python" {reads} top: "a" top: "b" python_param {{ module: '
    text += f'"{module}" layer: "CombineRegressionsLayer" }} }}'
    rng = np.random.default_rng(3)
    feeds = {n: rng.standard_normal(shapes[n]).astype(np.float32) for n in ("hr", "vr")}
    feeds |= {n: rng.integers(0, 3, shapes[n]).astype(np.float32) for n in ("h", "v")}
    made = netc.compile(text=text, backend="reference")(feeds)
    for top, bins, residuals in (("a", "h", "hr"), ("b", "v", "vr")):
        for y in range(4):
            for x in range(5):
                j = int(feeds[bins][0, 0, y, x])
                value = float(feeds[residuals][0, j, y, x]) if j else 0.0
                if module == "CombineRegressions":
                    value = (j + value - 1) / 2
                    value = -1 if value < 0 else value
                else:
                    value = min(max(value, 0), 1)
                np.testing.assert_allclose(made[top][0, 0, y, x], value, atol=1e-6)
    with pytest.raises(netc.NetcError, match="the bins of two coordinates"):
        netc.compile(text=text.replace("[1, 1, 4, 5]", "[2, 1, 4, 5]"))
