"""``cv2.dnn.Layer``: layers computed alone, and layer 0, which holds the inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc.compat.opencv as dnn
from netc.data import prototxt_dir
from netc.driver import compile
from tests.optional import opencv_with_caffe

DIGITS = prototxt_dir() / "digits"
TEXT, WEIGHTS = str(DIGITS / "deploy.prototxt"), str(DIGITS / "digits.caffemodel")
WIDE = b"""
input: "data" input_shape { dim: 1 dim: 4 dim: 3 dim: 5 }
layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "b" }
layer { name: "e" type: "Eltwise" bottom: "a" bottom: "b" top: "e"
  eltwise_param { coeff: 1 coeff: -2 } }
layer { name: "r" type: "ReLU" bottom: "e" top: "e" }
"""


@pytest.fixture(scope="module")
def net() -> Any:
    net = dnn.readNetFromCaffe(TEXT, WEIGHTS)
    net.setInput(np.random.default_rng(1).random((2, 1, 8, 8), dtype=np.float32))
    net.forward()
    return net


def test_layers_one_after_another_give_what_the_net_gives(net: Any) -> None:
    at = np.random.default_rng(1).random((2, 1, 8, 8), dtype=np.float32)
    for name in net.getLayerNames():
        (at,), internals = net.getLayer(name).run([at], [])
        assert internals == ()
        np.testing.assert_allclose(at, net.forward(name), rtol=1e-4, atol=1e-5)


def test_inputs_may_have_other_sizes_and_outputs_be_given(net: Any) -> None:
    layer = net.getLayer(1)
    x = np.random.default_rng(2).random((1, 1, 11, 9), dtype=np.float32)
    (place,) = layer.finalize([x])
    assert place.dtype == np.float32 and place.shape[0] == 1 and not place.any()
    (made,), _ = layer.run([x], [], [place])
    assert made is place and place.any()
    wrong = np.zeros((1, 2), np.float32)
    (other,) = layer.finalize([x], [wrong])
    assert other is not wrong and other.shape == place.shape


def test_layers_of_several_bottoms_and_tops() -> None:
    net = dnn.readNetFromCaffe(WIDE)
    x = np.random.default_rng(3).normal(size=(1, 4, 3, 5)).astype(np.float32)
    tops, _ = net.getLayer("s").run([x], [])
    np.testing.assert_array_equal(np.concatenate(tops, axis=1), x)
    (e,), _ = net.getLayer("e").run([x, x], [])
    np.testing.assert_allclose(e, -x, rtol=1e-6)
    (r,), _ = net.getLayer("r").run([e], [])
    np.testing.assert_allclose(r, np.maximum(-x, 0), rtol=1e-6)
    assert (x != r).any(), "the input stays as it is"


def test_what_a_script_writes_into_blobs_counts() -> None:
    layer = dnn.readNetFromCaffe(TEXT, WEIGHTS).getLayer(1)
    x = np.ones((1, 1, 8, 8), np.float32)
    layer.blobs[0][...], layer.blobs[1][...] = 0, 3
    assert (layer.run([x])[0][0] == 3).all()


def test_layer_0_holds_the_inputs(net: Any) -> None:
    layer = net.getLayer(0)
    assert (layer.name, layer.type, list(layer.blobs)) == ("_input", "", [])
    assert [layer.outputNameToIndex(name) for name in ("data", "im_info")] == [0, -1]
    assert net.getLayerId("_input") == 0
    assert (layer.empty(), layer.getDefaultName(), layer.clear()) == (False, "my_object", None)


def test_opencv_says_the_same_of_layer_0() -> None:
    cv2 = opencv_with_caffe()
    theirs = cv2.dnn.readNetFromCaffe(TEXT, WEIGHTS).getLayer(0)
    ours = dnn.readNetFromCaffe(TEXT, WEIGHTS).getLayer(0)
    for ask in (lambda layer: layer.name, lambda layer: layer.type, lambda layer: len(layer.blobs),
                lambda layer: layer.outputNameToIndex("data"), lambda layer: layer.preferableTarget,
                lambda layer: layer.outputNameToIndex("im_info"),
                lambda layer: layer.getDefaultName(), lambda layer: layer.empty()):  # fmt: skip
        assert ask(ours) == ask(theirs)


def test_opencvs_profile_has_as_many_layers(net: Any) -> None:
    cv2 = opencv_with_caffe()
    theirs = cv2.dnn.readNetFromCaffe(TEXT, WEIGHTS)
    theirs.setInput(np.zeros((1, 1, 8, 8), np.float32))
    theirs.forward()
    ticks, times = theirs.getPerfProfile()
    assert net.getPerfProfile()[1].shape == times.shape
    assert times.sum() == pytest.approx(ticks, rel=0.01)


def test_forward_async(net: Any) -> None:
    later = net.forwardAsync()
    assert later.valid() and later.wait_for(0)
    np.testing.assert_array_equal(later.get(), net.forward())


def test_the_text_that_is_dumped_is_the_net(net: Any, tmp_path: Path) -> None:
    net.setHalideScheduler("")
    net.dumpToPbtxt(str(tmp_path / "net.prototxt"))
    again, first = compile(tmp_path / "net.prototxt", WEIGHTS), compile(TEXT, WEIGHTS)
    assert again.inputs == first.inputs
    shape = next(iter(first.inputs.values()))
    x = np.random.default_rng(4).random(shape, dtype=np.float32)
    for name, array in first(data=x).items():
        np.testing.assert_array_equal(again(data=x)[name], array)
