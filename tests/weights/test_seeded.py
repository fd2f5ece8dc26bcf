"""Random weights: none are zero, and a net's own stay."""

from __future__ import annotations

import numpy as np

import netc
from netc.diagnostics import Source
from netc.weights.seeded import seeded_weights, without_zeros

TEXT = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 5 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
        convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "n" type: "BatchNorm" bottom: "c" top: "n" }
layer { name: "s" type: "Scale" bottom: "n" top: "s" scale_param { bias_term: true } }
layer { name: "f" type: "InnerProduct" bottom: "s" top: "f" inner_product_param { num_output: 4
        weight_filler { value: 0.25 } } }
layer { name: "nv" type: "BatchNorm" bottom: "c" top: "nv" batch_norm_param {
        scale_filler { value: 1 } bias_filler { value: 0 } } }
layer { name: "bn" type: "BN" bottom: "nv" top: "bn" bn_param { slope_filler { value: 1 } } }
"""


def graph() -> netc.CompiledNet:
    return netc.compile(Source("net", TEXT), backend="reference")


def test_what_would_be_zero_is_drawn_and_the_rest_kept() -> None:
    weights = without_zeros(graph().graph)
    assert all(array.any() for arrays in weights.values() for array in arrays)
    assert (weights["f"][0] == 0.25).all()
    assert (weights["s"][0] == 1).all()  # the filler of Caffe's own code


def test_statistics_are_possible_in_every_layout() -> None:
    weights = seeded_weights(graph().graph)
    for layer, variance in (("n", 1), ("nv", 1), ("bn", 3)):
        assert (weights[layer][variance] > 0).all(), layer
    for layer in ("n", "nv"):
        assert weights[layer][2].tolist() == [1]
    assert (weights["nv"][3] > 0).all()


def test_activations_stay_in_range() -> None:
    net = netc.compile(Source("net", TEXT), seeded_weights(graph().graph), backend="reference")
    out = net(x=np.random.default_rng(0).standard_normal((2, 3, 5, 5)).astype(np.float32))
    for array in out.values():
        assert 1e-3 < np.abs(array).mean() < 1e2


def test_the_same_seed_gives_the_same() -> None:
    one, two = (seeded_weights(graph().graph, 4) for _ in range(2))
    assert all((a == b).all() for layer in one for a, b in zip(one[layer], two[layer], strict=True))


def test_layers_that_share_an_array_have_the_same_one() -> None:
    product = 'type: "InnerProduct" param { name: "w" } inner_product_param { num_output: 4 }'
    text = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, 4] } } }\n'
        f'layer {{ name: "a" bottom: "x" top: "a" {product} }}\n'
        f'layer {{ name: "b" bottom: "a" top: "b" {product} }}\n'
    )
    made = seeded_weights(netc.compile(Source("n", text), backend="reference").graph)
    assert np.array_equal(made["a"][0], made["b"][0]) and made["a"][0].any()
    assert not np.array_equal(made["a"][1], made["b"][1])
