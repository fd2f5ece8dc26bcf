"""Trained arrays that scripts set: by a layer's `blobs`, before weights are complete, in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc.compat.opencv as dnn
from netc.diagnostics import NetcError, NetcWarning
from netc.weights import save_weights

TINT = b"""name: "tint"
layer { name: "in" type: "Input" top: "in" input_param { shape { dim: [1, 1, 8, 8] } } }
layer { name: "feat" type: "Convolution" bottom: "in" top: "feat"
        convolution_param { num_output: 5 kernel_size: 3 pad: 1 } }
layer { name: "warm" type: "Scale" bottom: "feat" top: "warm" scale_param { bias_term: false } }
layer { name: "soft" type: "Softmax" bottom: "warm" top: "soft" }
layer { name: "decode" type: "Convolution" bottom: "soft" top: "decode"
        convolution_param { num_output: 2 kernel_size: 1 } }
layer { name: "quiet" type: "Silence" bottom: "decode" }
"""
RNG = np.random.default_rng(1)
FEAT = [RNG.normal(size=(5, 1, 3, 3)).astype("f4"), RNG.normal(size=5).astype("f4")]
HULL = RNG.normal(size=(2, 5, 1, 1))
IMAGE = RNG.normal(size=(1, 1, 8, 8)).astype("f4")


@pytest.fixture
def net(tmp_path: Path) -> dnn.Net:
    path = tmp_path / "w.caffemodel"
    save_weights(path, {"feat": FEAT})
    return dnn.readNetFromCaffe(TINT, str(path))


def soft(feat: Any, scale: float) -> Any:
    z = np.exp(scale * feat)
    return z / z.sum(1, keepdims=True)


def decoded(net: dnn.Net, scale: float, hull: Any = HULL) -> Any:
    feat = net.forward("feat")
    return np.einsum("oc,nchw->nohw", hull[:, :, 0, 0], soft(feat, scale))


def test_the_colourisation_script(net: dnn.Net) -> None:
    """Weights that the file lacks are set by the script, and needed when the net is run."""
    net.setInput(IMAGE)
    with pytest.raises(NetcError, match=r"missing-weights.*`warm`, `decode`"):
        net.forward()
    assert net.forward("feat").shape == (1, 5, 8, 8)
    assert net.getLayer("decode").blobs == []
    net.getLayer(net.getLayerId("decode")).blobs = [HULL]
    net.getLayer(net.getLayerId("warm")).blobs = [np.full([1, 5], 2.5, np.float32)]
    np.testing.assert_allclose(net.forward(), decoded(net, 2.5), rtol=1e-4, atol=1e-5)


def test_what_is_written_to_arrays_counts_from_the_next_forward_on(net: dnn.Net) -> None:
    net.getLayer("decode").blobs = [HULL]
    net.getLayer("warm").blobs = [np.ones(5)]
    net.setInput(IMAGE)
    net.forward()
    net.getLayer("warm").blobs[0][...] = 3
    held = net.getLayer("decode").blobs[0]
    held *= 2
    np.testing.assert_allclose(net.forward(), decoded(net, 3, 2 * HULL), rtol=1e-4, atol=1e-5)
    before = net.forward("feat")
    net.getLayer("feat").blobs[1][...] += 1
    np.testing.assert_allclose(net.forward("feat"), before + 1, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(net.getParam("decode"), held)


def test_arrays_that_do_not_fit(net: dnn.Net) -> None:
    with pytest.raises(NetcError, match=r"weight-shape.*has 5 elements"):
        net.getLayer("warm").blobs = [np.ones(4)]
    with pytest.raises(NetcError, match=r"weight-count.*has 1 parameter, and 2 arrays"):
        net.getLayer("warm").blobs = [np.ones(5), np.ones(5)]
    with pytest.raises(NetcError, match="weight-count"):
        net.getLayer("warm").blobs = np.ones(5)  # type: ignore[assignment]
    assert net.getLayer("warm").outputNameToIndex("warm") == 0
    assert net.getLayer("warm").outputNameToIndex("cold") == -1


def test_layers_that_share_arrays_share_what_is_set() -> None:
    text = b"""input: "x" input_shape { dim: [1, 2] }
    layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" }
            inner_product_param { num_output: 2 bias_term: false } }
    layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" }
            inner_product_param { num_output: 2 bias_term: false } }"""
    net = dnn.readNetFromCaffe(text)
    net.getLayer("a").blobs = [np.array([[0, 2], [2, 0]])]
    net.setInput(np.float32([[1, 3]]))
    np.testing.assert_array_equal(net.forward(), [[4, 12]])
    net.getLayer("b").blobs[0][...] = np.eye(2)
    np.testing.assert_array_equal(net.forward(), [[1, 3]])


def test_inputs_and_weights_that_nothing_asked_for_needs() -> None:
    text = b"""
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 4] } } }
    layer { name: "d" type: "Data" top: "label" data_param { batch_size: 1 } }
    layer { name: "fc" type: "ReLU" bottom: "data" top: "fc" }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }"""
    net = dnn.readNetFromCaffe(text)
    net.setInput(np.ones((1, 4), np.float32), "data")
    np.testing.assert_array_equal(net.forward("fc"), np.ones((1, 4)))


CROP = b"""input: "a" input_shape { dim: [1, 1, 6, 6] } input: "b" input_shape { dim: [1, 1, 4, 4] }
layer { name: "crop" type: "Crop" bottom: "a" bottom: "b" top: "crop" }
layer { name: "twice" type: "Times" bottom: "crop" top: "out" power_param { scale: 2 } }
"""


class CropLayer:
    """That of OpenCV's sample of edge detection."""

    def __init__(self, params: Any, blobs: Any) -> None:
        self.top = self.left = self.height = self.width = 0

    def getMemoryShapes(self, inputs: Any) -> Any:
        image, target = inputs
        self.top, self.left = (image[2] - target[2]) // 2, (image[3] - target[3]) // 2
        self.height, self.width = target[2:]
        return [[image[0], image[1], self.height, self.width]]

    def forward(self, inputs: Any) -> Any:
        rows = slice(self.top, self.top + self.height)
        return [inputs[0][:, :, rows, self.left : self.left + self.width]]


class Times:
    """A layer that netc does not have."""

    def __init__(self, params: Any, blobs: Any) -> None:
        self.scale = params["scale"]

    def getMemoryShapes(self, inputs: Any) -> Any:
        return [inputs[0]]

    def forward(self, inputs: Any) -> Any:
        return [inputs[0] * self.scale]


def test_layers_of_the_script_take_the_place_of_others() -> None:
    a = np.arange(36, dtype=np.float32).reshape(1, 1, 6, 6)
    dnn.dnn_registerLayer("Crop", CropLayer)
    dnn.dnn_registerLayer("Times", Times)
    try:
        net = dnn.readNetFromCaffe(CROP)
    finally:
        dnn.dnn_unregisterLayer("Crop")
        dnn.dnn_unregisterLayer("Times")
    net.setInput(a, "a")
    net.setInput(a[:, :, :4, :4], "b")
    np.testing.assert_array_equal(net.forward(), 2 * a[:, :, 1:5, 1:5])
    with pytest.raises(NetcError, match=r"unknown-layer-type.*`Times`"):
        dnn.readNetFromCaffe(CROP)
    with pytest.raises(NetcError, match="bad-argument"):
        dnn.dnn_registerLayer("Crop", 3)


def test_what_is_registered_with_opencv_is_known_too() -> None:
    cv2 = pytest.importorskip("cv2", reason="needs OpenCV")
    if not hasattr(cv2, "dnn_registerLayer"):
        pytest.skip("this OpenCV has no layers of scripts")
    a = np.arange(36, dtype=np.float32).reshape(1, 1, 6, 6)
    cv2.dnn_registerLayer("Crop", CropLayer)
    try:
        net = dnn.readNetFromCaffe(CROP.split(b'layer { name: "twice')[0])
    finally:
        cv2.dnn_unregisterLayer("Crop")
    net.setInput(a, "a")
    net.setInput(a[:, :, :4, :4], "b")
    np.testing.assert_array_equal(net.forward(), a[:, :, 1:5, 1:5])


UNKNOWN = TINT.replace(b'name: "warm"', b'name: "warm" my_own_param { level: 3 }', 1).replace(
    b"kernel_size: 3", b"kernel_size: 3 colour: GREEN", 1
)


def test_unknown_fields_are_passed_over_with_a_warning() -> None:
    with pytest.warns(NetcWarning) as told:
        net = dnn.readNetFromCaffe(UNKNOWN)
    fields = [str(w.message) for w in told if "unknown-field" in str(w.message)]
    assert len(fields) == 2 and "`my_own_param`; it is passed over" in fields[1] + fields[0]
    assert net.getLayerId("warm") > 0
    with pytest.raises(NetcError, match="unknown-enum-value"):
        dnn.readNetFromCaffe(b'layer { name: "p" type: "Pooling" pooling_param { pool: X } }')


def test_a_schema_of_ones_own(tmp_path: Path) -> None:
    proto = tmp_path / "own.proto"
    proto.write_text(
        'syntax = "proto2"; package caffe; message Own { optional int32 level = 1; }'
        " message LayerParameter { optional Own my_own_param = 9100; }",
        encoding="utf-8",
    )
    text = TINT.replace(b'name: "warm"', b'name: "warm" my_own_param { level: 3 }', 1)
    assert not dnn.readNetFromCaffe(text, schema=proto).empty()


def test_buffers_by_keyword(tmp_path: Path) -> None:
    path = tmp_path / "w.caffemodel"
    save_weights(path, {"feat": FEAT})
    model = np.frombuffer(path.read_bytes(), np.uint8)
    proto = np.frombuffer(TINT, np.uint8)
    text = tmp_path / "net.prototxt"
    text.write_bytes(TINT)
    for net in (
        dnn.readNetFromCaffe(bufferProto=proto, bufferModel=model),
        dnn.readNetFromCaffe(prototxt=str(text), caffeModel=str(path)),
        dnn.readNet("caffe", model, proto),
        dnn.readNet("caffe", bufferModel=model, bufferConfig=proto),
        dnn.readNet(framework="caffe", bufferModel=model, bufferConfig=proto),
        dnn.readNet(model=str(path), config=str(text)),
    ):
        np.testing.assert_array_equal(net.getParam("feat"), FEAT[0])
    assert not dnn.readNetFromCaffe(TINT, None).empty()
