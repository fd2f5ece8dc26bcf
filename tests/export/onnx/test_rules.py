"""Exported layers against the reference, in forms that Caffe's own numbers do not cover."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.backends import reference
from netc.diagnostics import NetcError, Source
from netc.export.onnx import to_onnx
from netc.ir.graph import Graph
from tests.export.onnx.running import exported

UNIFORM = '{ type: "uniform" min: 0.5 max: 1.5 }'
FILLED = f"weight_filler {UNIFORM} bias_filler {UNIFORM}"


def graph_of(*layers: str, shape: str = "dim: 2 dim: 4 dim: 7 dim: 6") -> Graph:
    data = f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {shape} }} }} }}'
    source = Source("net", "\n".join((data, *layers)))
    return netc.compile(source, backend="reference").graph


def layer(kind: str, params: str = "", bottoms: str = "x", tops: str = "y") -> str:
    names = " ".join(f'bottom: "{name}"' for name in bottoms.split())
    names += " ".join(f' top: "{name}"' for name in tops.split())
    return f'layer {{ name: "y" type: "{kind}" {names} {params} }}'


def more(name: str, shape: str) -> str:
    sizes = " ".join(f"dim: {size}" for size in shape.split())
    param = f"input_param {{ shape {{ {sizes} }} }}"
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" {param} }}'


def feeds_of(graph: Graph) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        name: rng.standard_normal(graph.shape(name)).astype(np.float32) for name in graph.inputs
    }


def agrees(graph: Graph, batch: str | None = None, feeds: dict[str, Any] | None = None) -> None:
    feeds = feeds or feeds_of(graph)
    want = reference.run(graph, feeds)
    got = exported(graph, feeds, batch)
    assert set(got) == set(want)
    for name, array in want.items():
        assert got[name].shape == array.shape
        np.testing.assert_allclose(got[name], array, rtol=1e-4, atol=1e-5)


POOLING = [
    "kernel_size: 3 stride: 2 pad: 1",
    "kernel_size: 1 stride: 4",  # a window beyond its input
    "kernel_size: 2 stride: 5",
    "kernel_size: 3 stride: 2 round_mode: FLOOR",
    "kernel_h: 2 kernel_w: 3 stride: 3 pad_h: 1 pad_w: 2",
    "global_pooling: true",
]

LAYERS = [
    layer("Eltwise", "eltwise_param { operation: MAX coeff: -1 coeff: 2 }", "x x"),
    layer("Eltwise", "eltwise_param { coeff: -1 coeff: 0.5 coeff: 1 }", "x x x"),
    layer("Eltwise", "eltwise_param { operation: PROD }", "x x x"),
    layer("Eltwise", "eltwise_param { coeff: 2 }"),
    layer("CropCenter", "crop_center_param { crop_size: [0, 1, 1, 2] }"),
    *(layer("Pooling", f"pooling_param {{ pool: MAX {p} }}") for p in POOLING),
    *(layer("Pooling", f"pooling_param {{ pool: AVE {p} }}") for p in POOLING),
    layer("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }"),
    layer("Pooling", "pooling_param { pool: STOCHASTIC global_pooling: true }"),
    layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }", tops="y mask"),
    layer("LpPooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }"),
    layer("LpPooling", "pooling_param { kernel_size: 2 } lp_pooling_param { p: 3 }"),
    layer("LRN", "lrn_param { local_size: 3 alpha: 0.5 k: 2 }"),
    layer("LRN", "lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }"),
    layer("Softmax"),
    layer(
        "Convolution",
        f"convolution_param {{ num_output: 4 group: 2 kernel_size: 3 stride: 2 {FILLED} }}",
    ),
    layer("Convolution", f"convolution_param {{ num_output: 3 axis: 2 kernel_size: 3 {FILLED} }}"),
    layer("Convolution", f"convolution_param {{ num_output: 3 axis: -1 {FILLED} }}"),
    layer(
        "ConvolutionDepthwise",
        f"convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 {FILLED} }}",
    ),
    layer(
        "Deconvolution",
        "convolution_param { num_output: 6 group: 2 kernel_size: 4 stride: 2 pad: 1 dilation: 2 "
        f"{FILLED} }}",
    ),
    layer(
        "Deconvolution", f"convolution_param {{ num_output: 3 axis: 2 kernel_size: 2 {FILLED} }}"
    ),
    layer(
        "LocallyConnected",
        f"convolution_param {{ num_output: 6 group: 2 kernel_size: 3 stride: 2 pad: 1 {FILLED} }}",
    ),
    layer("Local", f"local_param {{ num_output: 3 kernel_size: 3 {FILLED} }}"),
    layer("Im2col", "convolution_param { kernel_size: 3 dilation: 2 pad: 1 }"),
    layer("InnerProduct", f"inner_product_param {{ num_output: 3 axis: 2 {FILLED} }}"),
    layer("InnerProduct", f"inner_product_param {{ num_output: 3 axis: -1 {FILLED} }}"),
    layer("ReLU6"),
    layer("ReLU6", "relu6_param { negative_slope: 0.5 n: 0.5 }"),
    layer("ReLU6", "relu6_param { n: -0.5 }"),
    layer("Clip", "clip_param { min: 1 max: -1 }"),
    layer("Power", "power_param { scale: 0 shift: 3 power: 2 }"),
    layer("Power"),
    layer("PReLU", "prelu_param { channel_shared: true }"),
    layer("DropPath", "drop_path_param { survival_ratio: 0.5 scale_train: false }"),
    layer("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }"),
    layer("ShuffleChannel", "shuffle_channel_param { group: 2 }"),
    layer("Reverse", "reverse_param { axis: 2 }"),
    layer("Tile", "tile_param { axis: -1 tiles: 3 }"),
    layer("Interp", "interp_param { height: 11 width: 3 }"),
    layer("Interp", "interp_param { height: 1 width: 5 }"),
    layer("Interp", "interp_param { zoom_factor: 3 pad_beg: -1 pad_end: -2 }"),
    layer("Interp", "interp_param { shrink_factor: 1 pad_beg: -1 }"),
    layer("Interp", "interp_param { height: 7 width: 6 }"),
    layer("Upsample", "upsample_param { scale: 3 }"),
    layer("Normalize", f"norm_param {{ across_spatial: false scale_filler {UNIFORM} }}"),
    layer(
        "Normalize",
        f"norm_param {{ channel_shared: false scale_filler {UNIFORM} }}",
    ),
    layer("LayerNorm"),
    layer("LayerNorm", "layer_norm_param { axis: 2 elementwise_affine: false }"),
    layer("MVN", "mvn_param { across_channels: true }"),
    layer("MVN", "mvn_param { add_eps_before_sqrt: true eps: 0.1 }"),
    layer("BN", f"bn_param {{ scale_filler {UNIFORM} shift_filler {UNIFORM} }}", tops="y m v"),
    layer("BN", f"bn_param {{ scale_filler {UNIFORM} bn_mode: INFERENCE }}"),
    layer("BN", f"bn_param {{ slope_filler {UNIFORM} bias_filler {UNIFORM} frozen: true }}"),
    layer("BatchNorm", "batch_norm_param { use_global_stats: false scale_bias: true }"),
    layer("ArgMax", "argmax_param { top_k: 3 out_max_val: true }"),
    layer("ArgMax", "argmax_param { top_k: 2 axis: -1 }"),
    layer("Reduction", "reduction_param { operation: MEAN axis: 2 coeff: 3 }"),
    layer("Slice", "slice_param { axis: 1 }", tops="y z"),
    layer("Concat", "concat_param { axis: -1 }", "x x"),
    layer("ContinuationIndicator", "continuation_indicator_param { time_step: 3 axis: 1 }"),
    layer("SPP", "spp_param { pyramid_height: 3 pool: AVE }"),
]


@pytest.mark.parametrize("text", LAYERS)
@pytest.mark.parametrize("batch", (None, "N"))
def test_a_model_computes_what_the_layer_does(text: str, batch: str | None) -> None:
    agrees(graph_of(text), batch)


FORK_LAYERS = [
    *(layer(kind) for kind in (
        "Atan", "Ceil", "Floor", "Round", "Sin", "Cos", "Softplus", "Softsign", "HardSwish",
        "HardTanH", "Mish", "HardSigmoid", "SeLU", "SeLu", "SELU", "LogSoftmax", "ChannelNorm",
        "Insanity", "GRN", "SeLuDropout",
    )),
    layer("HardSigmoid", "hard_sigmoid_param { alpha: 0.7 beta: 0.1 }"),
    layer("SELU", "selu_param { lambda: 1.5 alpha: 0.3 }"),
    layer("LogSoftmax", "softmax_param { axis: 2 }"),
    layer("LogSoftmax", "softmax_param { axis: -1 }"),
    layer("Flip", "flip_param { flip_width: true flip_height: false }"),
    layer("Flip", "flip_param { flip_width: true flip_height: true }"),
    layer("Flip", "flip_param { flip_width: false flip_height: false }"),
    layer("Insanity", "insanity_param { lb: 2 ub: 5 }"),
    layer("GRN", "grn_param { bias: 0.5 }"),
    layer("Tiling", "tiling_param { tile_dim: 2 }"),
    layer("UpsampleDarknet", "upsample_darknet_param { stride: 3 }"),
    layer("GradientScaler", "gradient_scaler_param { scale_factor: 2 }"),
    layer("InnerDistance", f"inner_distance_param {{ num_output: 3 weight_filler {UNIFORM} }}"),
    layer("InnerDistance", "inner_distance_param { num_output: 3 distance_type: \"L1\" "
          f"weight_filler {UNIFORM} }}"),
]  # fmt: skip


@pytest.mark.parametrize("text", FORK_LAYERS)
@pytest.mark.parametrize("batch", (None, "N"))
def test_layers_of_forks(text: str, batch: str | None) -> None:
    agrees(graph_of(text), batch)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("SpatialProduct", "2 1 7 6"), ("ChannelScale", "2 1 7 6"), ("ChannelScale", "2 42")],
)
def test_factors_of_places(kind: str, shape: str) -> None:
    graph = graph_of(more("s", shape), layer(kind, bottoms="x s"))
    agrees(graph)
    agrees(graph, "N")


def test_halves_are_rounded_away_from_zero() -> None:
    feeds = {"x": np.array([[-2.5, -1.5, -0.5, -0.4, 0.5, 1.5, 2.5, 2.6]], np.float32)}
    agrees(graph_of(layer("Round"), shape="dim: 1 dim: 8"), feeds=feeds)


def test_clustered_priors_are_constants() -> None:
    param = "prior_box_param { width: 9 width: 20 height: 8 height: 30 step: 16 offset: 0.5 }"
    agrees(graph_of(more("i", "1 3 96 80"), layer("PriorBoxClustered", param, bottoms="x i")))


@pytest.mark.parametrize("reverse", ("true", "false"))
def test_reorg(reverse: str) -> None:
    text = layer("Reorg", f"reorg_param {{ stride: 2 reverse: {reverse} }}")
    agrees(graph_of(text, shape="dim: 2 dim: 8 dim: 4 dim: 6"), "N")


@pytest.mark.parametrize("shape", ("dim: 2 dim: 4", "dim: 2 dim: 4 dim: 3"))
@pytest.mark.parametrize(
    "text",
    [
        layer("Convolution", f"convolution_param {{ num_output: 3 kernel_size: 1 {FILLED} }}"),
        layer("Deconvolution", f"convolution_param {{ num_output: 3 kernel_size: 1 {FILLED} }}"),
        layer("MVN"),
        layer("BN", f"bn_param {{ scale_filler {UNIFORM} }}"),
        layer("BN", f"bn_param {{ slope_filler {UNIFORM} frozen: true }}"),
        layer("ArgMax"),
        layer("PReLU"),
        layer("Reduction", "reduction_param { operation: ASUM }"),
        layer("ShuffleChannel", "shuffle_channel_param { group: 2 }"),
        layer("Upsample", "upsample_param { scale: 2 }"),
    ],
)
def test_fewer_axes(text: str, shape: str) -> None:
    agrees(graph_of(text, shape=shape), "N")


@pytest.mark.parametrize("operand", ("2 4", "2 4 7 6", "4", "7 6"))
@pytest.mark.parametrize("kind", ("Scale", "Bias"))
def test_operands_that_are_bottoms(operand: str, kind: str) -> None:
    axis = {"2 4": 0, "2 4 7 6": 0, "4": 1, "7 6": 2}[operand]
    text = layer(kind, f"{kind.lower()}_param {{ axis: {axis} }}", "x f")
    graph = graph_of(more("f", operand), text)
    agrees(graph)
    agrees(graph, "N")


def test_a_scale_with_two_bottoms_and_a_bias() -> None:
    param = f"scale_param {{ axis: 1 bias_term: true bias_filler {UNIFORM} }}"
    agrees(graph_of(more("f", "4"), layer("Scale", param, "x f")), "N")


@pytest.mark.parametrize("factor", ("2 4", "2 4 1 1"))
def test_axpy(factor: str) -> None:
    agrees(graph_of(more("f", factor), layer("Axpy", "", "f x x")), "N")


def test_a_crop_needs_a_blob_for_its_shape_alone() -> None:
    inner = f"inner_product_param {{ num_output: 1 axis: 3 {FILLED} }}"
    graph = graph_of(
        f'layer {{ name: "i" type: "InnerProduct" bottom: "x" top: "i" {inner} }}',
        'layer { name: "r" type: "Reshape" bottom: "i" top: "r" '
        "reshape_param { shape { dim: 0 dim: 0 dim: 0 dim: 1 } } }",
        layer("Crop", "crop_param { axis: 2 offset: 0 offset: 2 }", "x r"),
    )
    agrees(graph, "N")
    assert [node.op_type for node in to_onnx(graph).graph.node] == ["Slice"]


def test_upsampling_by_a_mask() -> None:
    pool = (
        'layer { name: "p" type: "Pooling" bottom: "x" top: "p" top: "mask" '
        "pooling_param { kernel_size: 2 stride: %d } }"
    )
    back = layer("Upsample", "upsample_param { upsample_h: 7 upsample_w: 6 }", "p mask")
    agrees(graph_of(pool % 2, back), "N")
    with pytest.raises(NetcError, match=r"no-onnx-rule.*`y`.*may name a place twice"):
        to_onnx(graph_of(pool % 1, back))


def test_prior_boxes_are_constants() -> None:
    prior = layer("PriorBox", "prior_box_param { min_size: 3 aspect_ratio: 2 }", "x image")
    graph = graph_of(more("image", "2 3 30 30"), prior)
    agrees(graph, "N")
    assert [node.op_type for node in to_onnx(graph).graph.node] == ["Identity"]


def test_pooling_of_regions() -> None:
    param = "roi_pooling_param { pooled_h: 3 pooled_w: 2 spatial_scale: 0.5 }"
    graph = graph_of(more("r", "3 5 1 1"), layer("ROIPooling", param, "x r"))
    rows = np.array([[0, 0, 0, 9, 11], [1, 3, 2, 5, 7], [1, 9, 11, 30, 40]], np.float32)
    feeds = {**feeds_of(graph), "r": rows.reshape(3, 5, 1, 1)}
    agrees(graph, None, feeds)
    agrees(graph, "N", feeds)


def test_a_filter_and_what_follows_it() -> None:
    product = f"inner_product_param {{ num_output: 3 axis: 2 {FILLED} }}"
    follower = f'layer {{ name: "z" type: "InnerProduct" bottom: "y" top: "z" {product} }}'
    graph = graph_of(more("s", "2"), layer("Filter", "", "x s"), follower)
    for chosen in ([0, 1], [1, 1]):
        feeds = {**feeds_of(graph), "s": np.array(chosen, np.float32)}
        agrees(graph, None, feeds)
        agrees(graph, "N", feeds)
    (z,) = to_onnx(graph, batch="N").graph.output
    assert [d.dim_param or d.dim_value for d in z.type.tensor_type.shape.dim] == [0, 4, 3]
    fixed = 'layer { name: "z" type: "Reshape" bottom: "y" top: "z" reshape_param { shape { '
    fixed += "dim: 2 dim: -1 } } }"
    graph = graph_of(more("s", "2"), layer("Filter", "", "x s"), fixed.replace("-1", "168"))
    with pytest.raises(NetcError, match=r"no-onnx-rule.*`y` .Filter.*what follows fixes.*`z`"):
        to_onnx(graph)


@pytest.mark.parametrize("kind", ("LSTM", "RNN"))
@pytest.mark.parametrize("exposed", (True, False))
def test_recurrence_of_any_number_of_steps(kind: str, exposed: bool) -> None:
    states = ["h", "c"][: (2 if kind == "LSTM" else 1) * exposed]
    param = f"recurrent_param {{ num_output: 5 expose_hidden: {str(exposed).lower()} {FILLED} }}"
    graph = graph_of(
        more("cont", "6 2"),
        more("static", "2 3"),
        *(more(name, "1 2 5") for name in states),
        layer(
            kind,
            param,
            " ".join(["x", "cont", "static", *states]),
            " ".join(["y", *(f"{name}1" for name in states)]),
        ),
        shape="dim: 6 dim: 2 dim: 3",
    )
    feeds = feeds_of(graph)
    feeds["cont"] = (feeds["cont"] > 0).astype(np.float32)
    agrees(graph, None, feeds)
    agrees(graph, "steps", feeds)


def test_a_loss_is_refused_at_its_place() -> None:
    graph = graph_of(more("l", "2 1 7 6"), layer("SoftmaxWithLoss", "", "x l"))
    with pytest.raises(NetcError, match=r"net:3:\d+: error\[no-onnx-rule\].*no part of inference"):
        to_onnx(graph)


def test_all_that_cannot_be_written_is_told() -> None:
    pool = (
        'layer { name: "%s" type: "Pooling" bottom: "x" top: "%s" top: "m%s" '
        "pooling_param { kernel_size: 1 stride: 4 } }"
    )
    with pytest.raises(NetcError) as caught:
        to_onnx(graph_of(pool % (("a",) * 3), pool % (("b",) * 3)))
    assert [d.code for d in caught.value.diagnostics] == ["no-onnx-rule"] * 2


def test_constants_of_a_layer_are_shared_by_those_that_share_it() -> None:
    param = f"num_output: 4 bias_term: false {FILLED}"
    one, two = (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" '
        f'param {{ name: "w" }} inner_product_param {{ {param} }} }}'
        for name, bottom in (("a", "x"), ("b", "a"))
    )
    graph = graph_of(one, two, shape="dim: 2 dim: 4")
    agrees(graph, "N")
    assert [tensor.name for tensor in to_onnx(graph).graph.initializer] == ["a/0"]


def test_every_rule_is_tried() -> None:
    """Here, or on Caffe's numbers."""
    from netc.export.onnx import RULES
    from tests.export.onnx.test_golden import WRITTEN

    here = {text.split('type: "')[1].split('"')[0] for text in (*LAYERS, *FORK_LAYERS)}
    here |= {"Axpy", "Bias", "Crop", "DetectionOutput", "Filter", "PriorBox", "Proposal"}
    here |= {"PSROIPooling", "Python", "ROIPooling", "Reorg", "Scale"}
    here |= {"ChannelScale", "PriorBoxClustered", "SpatialProduct"}
    there = {case["type"] for case in WRITTEN}
    assert set(RULES) - here - there == {"HDF5Output", "Silence"}  # what has no tops
