"""`caffe.coord_map`, `caffe.draw`, `caffe.Detector`, and the modules scripts import them from."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import netc.compat.pycaffe as caffe
from netc.diagnostics import NetcError, Source

L = caffe.layers
cm = caffe.coord_map


def flat(found: Any) -> Any:
    return found[0], np.ravel(found[1]).tolist(), np.ravel(found[2]).tolist()


def test_where_places_lie() -> None:
    data = L.Input()
    conv = L.Convolution(data, num_output=1, kernel_size=5)
    assert flat(cm.coord_map_from_to(conv, data)) == (1, [1], [2])
    assert flat(cm.coord_map_from_to(data, conv)) == (1, [1], [-2])
    relu = L.ReLU(L.Convolution(data, num_output=1, kernel_size=3, stride=2, pad=1))
    pool = L.Pooling(relu, kernel_size=2, stride=2)
    assert flat(cm.coord_map_from_to(pool, data)) == (1, [4], [1])
    up = L.Deconvolution(pool, convolution_param={"kernel_size": 8, "stride": 4, "pad": 2})
    assert flat(cm.coord_map_from_to(up, data)) == (1, [1], [-0.5])
    wide = L.Convolution(data, num_output=1, kernel_size=[3, 5], stride=[1, 2], pad=[0, 2])
    assert flat(cm.coord_map_from_to(wide, data)) == (1, [1, 2], [1, 0])
    holes = L.Convolution(data, num_output=1, kernel_size=3, dilation=2)
    assert flat(cm.coord_map_from_to(conv, holes)) == (1, [1], [0])


def test_a_crop_is_computed() -> None:
    """As FCN's own script crops its upsampled scores to the data."""
    data = L.Input(input_param={"shape": {"dim": [1, 1, 20, 20]}})
    pool = L.Pooling(
        L.Convolution(data, num_output=1, kernel_size=3, stride=2, pad=1), kernel_size=2, stride=2
    )
    up = L.Deconvolution(pool, convolution_param={"num_output": 1, "kernel_size": 11, "stride": 4})
    layer = caffe.to_proto(cm.crop(up, data)).layer[-1]
    assert layer.type == "Crop" and layer.crop_param.axis == 2
    assert list(layer.crop_param.offset) == [4]


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda d: cm.coord_map_from_to(L.InnerProduct(d, num_output=1), d), RuntimeError),
        (lambda d: cm.coord_map_from_to(L.ReLU(L.Input()), d), RuntimeError),
        (lambda d: cm.crop(L.Pooling(d, kernel_size=2, stride=2), d), AssertionError),
        (lambda d: cm.crop(L.Convolution(d, kernel_size=5), d), AssertionError),
        (lambda d: cm.crop(L.Convolution(d, kernel_size=4, pad=3), d), AssertionError),
        (lambda d: cm.coord_map_from_to(L.Convolution(d, kernel_size=3, pad_h=1), d),
         AssertionError),
        (lambda d: cm.coord_map_from_to(L.Pooling(d), d), KeyError),
        (lambda d: cm.coord_map_from_to(
            L.Convolution(L.Convolution(d, kernel_size=3, axis=2), kernel_size=3), d),
         cm.AxisMismatchException),
    ],
)  # fmt: skip
def test_what_has_no_map(call: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        call(L.Input())


def drawn_net() -> Any:
    data = L.Input(input_param={"shape": {"dim": [1, 1, 20, 20]}})
    conv = L.Convolution(data, num_output=8, kernel_size=3, param=[{"lr_mult": 2}])
    return caffe.to_proto(L.Pooling(L.ReLU(conv, in_place=True), kernel_size=2, stride=2))


def test_labels_of_pictures() -> None:
    conv, _, pool = drawn_net().layer[1:]
    told = r'"Convolution1\n(Convolution)\nkernel size: 3\nstride: 1\npad: 0"'
    assert caffe.draw.get_layer_label(conv, "LR") == told
    assert caffe.draw.get_layer_label(conv, "TB", True).endswith('pad: 0 lr mult: 2.0, 1.0"')
    assert "(Pooling MAX)" in caffe.draw.get_layer_label(pool, "LR")
    assert caffe.draw.get_edge_label(conv) == "8" and caffe.draw.get_edge_label(pool) == '""'
    assert caffe.draw.choose_color_by_layertype("Pooling") == "#FF9900"
    text = caffe.draw.dot_text(drawn_net(), "LR")
    assert text.count("shape=box") == 4 and text.count("shape=octagon") == 3


def test_pictures_need_graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NetcError, match="missing-program"):
        caffe.draw.draw_net(drawn_net(), "LR")


DETECT = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [2, 3, 8, 8] } } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean"
        pooling_param { pool: AVE global_pooling: true } }
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, str]:
    net, weights, image = (str(tmp_path / n) for n in ("n.prototxt", "w.caffemodel", "i.png"))
    Path(net).write_text(DETECT, encoding="utf-8")
    caffe.Net(net, caffe.TEST).save(weights)
    pixels = np.zeros((16, 20, 3), np.uint8)
    pixels[4:12, 4:12] = (0, 51, 255)
    Image.fromarray(pixels).save(image)
    return net, weights, image


def test_windows_are_scored(files: tuple[str, str, str]) -> None:
    net, weights, image = files
    made = caffe.Detector(net, weights, channel_swap=(2, 1, 0), raw_scale=255)
    windows = np.array([[4, 4, 12, 12], [4, 4, 12, 20], [0, 12, 16, 20]])
    found = made.detect_windows([(image, windows), (image, windows[:1])])
    assert [sorted(one) for one in found] == [["filename", "prediction", "window"]] * 4
    scores = np.stack([one["prediction"].ravel() for one in found])
    np.testing.assert_allclose(scores[[0, 3]], [[255, 51, 0]] * 2, atol=1e-3)
    np.testing.assert_allclose(scores[2], 0, atol=1e-3)
    assert 100 < scores[1, 0] < 150
    assert made.detect_windows([]) == []


def test_context_is_of_the_mean_where_the_picture_ends(files: tuple[str, str, str]) -> None:
    net, weights, image = files
    made = caffe.Detector(net, weights, mean=np.float32([3, 3, 3]), raw_scale=3.0, context_pad=2)
    crop = made.crop(caffe.io.load_image(image), np.array([0, 0, 8, 8]))
    assert crop.shape == (8, 8, 3)
    np.testing.assert_allclose(crop[0, 0], 1)  # the mean, before it is scaled
    assert not crop[3, 3].any() or crop[3, 3, 0] < 1
    with pytest.raises(NetcError, match="bad-argument"):
        made.crop(caffe.io.load_image(image), np.array([30, 30, 40, 40]))
    with pytest.raises(NetcError, match="detect_windows"):
        made.detect_selective_search([image])


def test_a_misspelt_field_of_a_layer_is_looked_for_among_its_own() -> None:
    with pytest.raises(NetcError, match=r"InnerProductParameter has no field `nun_output`") as e:
        caffe.to_proto(L.InnerProduct(L.Input(), nun_output=3))
    assert "`num_output`" in str(e.value)


def test_the_modules_that_scripts_import() -> None:
    before = {name: module for name, module in sys.modules.items() if name.startswith("caffe")}
    caffe.install()
    try:
        for name in ("draw", "coord_map", "detector", "classifier", "pycaffe", "_caffe", "io"):
            assert importlib.import_module(f"caffe.{name}")
        assert sys.modules["caffe.pycaffe"].Net is caffe.Net
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "caffe"]:
            del sys.modules[name]
        sys.modules.update(before)


def test_a_forward_of_a_part_without_the_loss() -> None:
    text = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [2, 3] } } }
    layer { name: "t" type: "Input" top: "t" input_param { shape { dim: [2] } } }
    layer { name: "fc" type: "ReLU" bottom: "x" top: "fc" }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "t" top: "loss" }"""
    net = caffe.Net(Source("n", text), caffe.TEST)
    net.blobs["x"].data[...] = 2
    assert (net.forward(end="fc")["fc"] == 2).all()
