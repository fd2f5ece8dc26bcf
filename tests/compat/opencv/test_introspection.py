"""What a net says of itself: OpenCV's own numbers (4.12), where they are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc.compat.opencv as dnn
from netc.diagnostics import NetcError

TEXT = b"""
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [2, 3, 16, 16] } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
        pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool1" top: "fc"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
ONE = (1, 3, 16, 16)


@pytest.fixture
def net() -> dnn.Net:
    return dnn.readNetFromCaffe(TEXT)


def test_operations_and_memory_are_opencvs_numbers(net: dnn.Net) -> None:
    assert net.getFLOPS(ONE) == net.getFLOPS([ONE]) == 46464
    assert net.getFLOPS(1, ONE) == net.getFLOPS("conv1", [ONE]) == 43120
    assert net.getMemoryConsumption(ONE) == (2812, 10152)
    assert net.getMemoryConsumption(1, ONE) == (448, 3136)


def test_types_and_shapes(net: dnn.Net) -> None:
    types = ("Convolution", "InnerProduct", "Pooling", "ReLU", "Softmax", "__NetInputLayer__")
    assert net.getLayerTypes() == types
    assert net.getLayersCount("Convolution") == 1 and net.getLayersCount("LRN") == 0
    ids, ins, outs = net.getLayersShapes([ONE])
    assert ids.tolist() == [0, 1, 2, 3, 4, 5]
    assert outs[3][0].tolist() == [1, 4, 7, 7] and ins[1][0].tolist() == list(ONE)
    assert net.dump().splitlines()[0].startswith("conv1: Convolution data")


def test_inputs_may_be_named_and_shaped(net: dnn.Net) -> None:
    net.setInputsNames(["data"])
    net.setInputShape("data", ONE)
    net.enableFusion(False)
    net.enableWinograd(False)
    net.setInput(np.ones(ONE, np.float32))
    ((fc,), (prob,)) = net.forwardAndRetrieve(["fc", "prob"])
    np.testing.assert_allclose(prob, np.exp(fc) / np.exp(fc).sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda n: n.setInputsNames(["image"]), "unknown-input"),
        (lambda n: n.setInputShape("image", ONE), "unknown-input"),
        (lambda n: n.getFLOPS([ONE, ONE]), "bad-argument"),
        (lambda n: n.getFLOPS("none", ONE), "unknown-layer"),
        (lambda n: n.getLayersShapes([(1, 3, 2, 2)]), "shape-mismatch"),
    ],
)
def test_mistakes(call: Any, code: str, net: dnn.Net) -> None:
    with pytest.raises(NetcError) as error:
        call(net)
    assert error.value.diagnostics[0].code == code


def test_what_needs_no_net_is_opencvs() -> None:
    with pytest.raises(AttributeError, match=r"docs/compat\.md"):
        dnn.TextDetectionModel_EAST  # noqa: B018
    pytest.importorskip("cv2", reason="needs OpenCV")
    assert list(dnn.NMSBoxes([[0, 0, 4, 4]], [0.9], 0.5, 0.4)) == [0]
