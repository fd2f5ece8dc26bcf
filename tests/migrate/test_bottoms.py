"""Bottoms that fields name or count, as bottoms and shared parameters."""

from __future__ import annotations

import numpy as np

import netc
from netc.frontend import read_net

INPUT = 'input: "x" input_shape { dim: [1, 2, 6, 6] }\n'


def test_simple_crop_takes_the_size_of_the_blob_that_it_names() -> None:
    text = (
        INPUT
        + """
    layer { name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param { kernel_size: 3 } }
    layer { name: "c" type: "SimpleCrop" bottom: "x" top: "c" crop_param { blob_name: "p" } }
    """
    )
    net = read_net(text=text)
    crop = net.message.get("layer")[-1]
    assert (crop.get("type"), crop.get("bottom")) == ("Crop", ("x", "p"))
    assert [change.step for change in net.changes if change.step == "bottoms"] == ["bottoms"]
    x = np.arange(72, dtype=np.float32).reshape(1, 2, 6, 6)
    assert np.array_equal(netc.compile(text=text)({"x": x})["c"], x[:, :, :4, :4])


PARAMETERS = (
    INPUT
    + """
layer { name: "w" type: "Parameter" top: "w" parameter_param { shape { dim: [3, 2, 1, 1] } } }
layer { name: "b" type: "Parameter" top: "b" parameter_param { shape { dim: 3 } } }
layer { name: "c" type: "Convolution" bottom: "x" bottom: "w" bottom: "b" top: "c"
        param_bottoms: 2 convolution_param { num_output: 3 kernel_size: 1 } }
"""
)


def test_parameters_that_are_bottoms_are_shared_by_name() -> None:
    w, b = np.arange(6, dtype=np.float32).reshape(3, 2, 1, 1), np.ones(3, np.float32)
    net = netc.compile(text=PARAMETERS, weights={"w": [w], "b": [b]})
    x = np.random.default_rng(0).normal(size=(1, 2, 6, 6)).astype(np.float32)
    found = net({"x": x})
    assert set(found) == {"c"}
    wanted = np.einsum("oc,nchw->nohw", w[:, :, 0, 0], x) + 1
    np.testing.assert_allclose(found["c"], wanted, rtol=1e-5, atol=1e-5)


def test_bottoms_that_another_layer_makes_stay_bottoms() -> None:
    text = PARAMETERS.replace('bottom: "w"', 'bottom: "x"')
    layer = read_net(text=text).message.get("layer")[-1]
    assert layer.get("bottom") == ("x", "x", "b") and layer.get("param_bottoms") == 2
