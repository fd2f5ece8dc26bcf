"""Layers whose gradients have kernels on the GPU, small ones, and whole nets in training."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

import netc
from netc.diagnostics import Source
from netc.ir.graph import Graph
from netc.ops.update_rules import UpdateRule
from netc.train.gradients import GradientRequest, joint_of, requested, seed_arrays
from netc.train.joint import Joint
from netc.train.step import Updating, step_graphs
from tests.backends.cpu.test_layers import layer, text_of

FILL = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 0.5 }'
SOME = 'filler { type: "gaussian" std: 1 }'

CONVOLUTIONS = [
    ((2, 3, 9, 8), "num_output: 20 kernel_size: 3"),
    ((3, 16, 8, 9), "num_output: 17 kernel_size: 3 stride: 2 pad: 1"),
    ((2, 33, 6, 6), "num_output: 70 kernel_size: 1"),
    ((2, 8, 9, 9), "num_output: 12 kernel_size: 3 group: 4 dilation: 2 pad: 2"),
    ((1, 2, 12, 5), "num_output: 70 kernel_h: 5 kernel_w: 2 stride_h: 3 stride_w: 1"),
    ((2, 8, 9, 8), "num_output: 12 kernel_size: 1 stride: 2"),
    ((2, 16, 5, 6), "num_output: 72 kernel_size: 3"),  # the largest tiles
    ((2, 6, 8, 8), "num_output: 6 kernel_size: 3 pad: 1 group: 6"),
    ((2, 37, 9, 8), "num_output: 74 kernel_size: 3 pad: 1 group: 37 stride: 2"),
    ((1, 4, 3, 3), "num_output: 3 kernel_size: 7 pad: 5"),
    ((2, 8, 20, 20), "num_output: 8 kernel_size: 3 pad: 1"),  # several blocks share a sum
]
LAYERS: list[tuple[tuple[int, ...], str, str]] = [
    *((x, "Convolution", f"convolution_param {{ {more} {FILL} }}") for x, more in CONVOLUTIONS),
    ((2, 6, 5, 5), "Deconvolution", f"convolution_param {{ num_output: 7 kernel_size: 3 {FILL} }}"),
    ((2, 8, 4, 5), "Deconvolution",
     f"convolution_param {{ num_output: 8 kernel_size: 4 stride: 2 pad: 1 group: 8 {FILL} }}"),
    ((7, 20), "InnerProduct", f"inner_product_param {{ num_output: 9 {FILL} }}"),
    ((7, 20), "InnerProduct", f"inner_product_param {{ num_output: 9 transpose: true {FILL} }}"),
    ((3, 5, 4, 6), "InnerProduct", f"inner_product_param {{ num_output: 21 {FILL} }}"),
    ((40, 3, 1, 1), "InnerProduct", f"inner_product_param {{ num_output: 65 {FILL} }}"),
    ((3, 4, 5), "InnerProduct", f"inner_product_param {{ num_output: 6 axis: 2 {FILL} }}"),
    ((2, 18, 5, 6), "LRN", "lrn_param { alpha: 0.5 }"),
    ((1, 20, 3, 3), "LRN", "lrn_param { local_size: 9 beta: 0.6 alpha: 2 k: 2 }"),
    ((2, 3, 5, 6), "LRN", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 alpha: 0.7 }"),
    ((2, 16, 9, 9), "Pooling", "pooling_param { kernel_size: 2 stride: 2 }"),
    ((2, 5, 9, 8), "Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }"),
    ((1, 33, 7, 7), "Pooling", "pooling_param { kernel_size: 3 stride: 1 pool: AVE pad: 1 }"),
    ((2, 4, 6, 6), "Pooling", "pooling_param { global_pooling: true pool: AVE }"),
    ((3, 17, 6, 7), "BatchNorm", ""),
    ((40, 33), "BatchNorm", "batch_norm_param { eps: 0.01 }"),
    ((2, 8, 15, 16), "BatchNorm", "batch_norm_param { scale_bias: true }"),
    ((2, 19, 5, 9), "Scale", "scale_param { bias_term: true }"),
    ((5, 33), "Bias", ""),
    ((3, 4, 5, 6), "Softmax", ""),
    ((6, 30), "Softmax", ""),
    ((2, 19, 4, 5), "Sigmoid", ""),
    ((5, 33), "TanH", ""),
    ((4, 19, 5, 5), "ReLU6", "relu6_param { negative_slope: 0.25 }"),
    ((2, 18, 5, 5), "ReLU", ""),
    ((3, 7), "ReLU", "relu_param { negative_slope: 0.1 }"),
    ((3, 7), "ReLU", "relu_param { negative_slope: -0.1 }"),
    ((2, 18, 5, 5), "ELU", "elu_param { alpha: 0.7 }"),
    ((5, 33), "ELU", "elu_param { alpha: -0.7 }"),
    ((2, 19, 4, 5), "Clip", "clip_param { min: -0.5 max: 0.25 }"),
    ((3, 19, 7, 5), "PReLU", f"prelu_param {{ {SOME} }}"),
    ((2, 3, 4), "AbsVal", ""),
    ((2, 3, 4), "BNLL", ""),
    ((2, 3, 4, 5), "Swish", "swish_param { beta: 0.7 }"),
    ((2, 3, 4, 5), "Power", "power_param { power: 2 scale: 0.5 shift: 0.25 }"),
    ((2, 3, 4, 5), "Power", "power_param { power: 3 scale: 0.5 shift: 4 }"),
    ((2, 3, 4, 5), "Exp", "exp_param { base: 2 scale: 0.5 shift: 1 }"),
    ((2, 3, 4, 5), "Log", "log_param { scale: 0.1 shift: 3 }"),
    ((2, 9, 4, 5), "Dropout", "dropout_param { dropout_ratio: 0.4 }"),
    ((6, 9), "Dropout", ""),
    ((6, 3, 2, 2), "DropPath", "drop_path_param { survival_ratio: 0.5 per_sample: true }"),
]  # fmt: skip
SEVERAL = {
    "product": ("y x y", "Eltwise", "eltwise_param { operation: PROD }"),
    "maximum": ("y x", "Eltwise", "eltwise_param { operation: MAX }"),
    "maximum of three": ("x y x", "Eltwise", "eltwise_param { operation: MAX }"),
    "sum": ("x y", "Eltwise", "eltwise_param { coeff: 2 coeff: -1 }"),
    "concat": ("x y", "Concat", ""),
    "softmax loss": ("y label", "SoftmaxWithLoss", "loss_param { ignore_label: 1 }"),
    "softmax loss of batch": (
        "y label",
        "SoftmaxWithLoss",
        "loss_param { normalization: BATCH_SIZE }",
    ),
    "euclidean loss": ("y x", "EuclideanLoss", ""),
    "sigmoid loss": ("y target", "SigmoidCrossEntropyLoss", ""),
    "sigmoid loss of valid": (
        "y target",
        "SigmoidCrossEntropyLoss",
        "loss_param { ignore_label: 1 normalization: VALID }",
    ),
}


class GradientCase(NamedTuple):
    """A net, what is asked of it, and its joint graph."""

    graph: Graph
    request: GradientRequest
    joint: Joint
    feeds: dict[str, Any]
    seeds: dict[str, Any]


@cache
def layer_case(index: int) -> GradientCase:
    """The gradients of one of LAYERS, behind another layer."""
    shape, kind, param = LAYERS[index]
    body = layer(kind, "y", "z", param)
    return case_of({"x": shape}, body)


@cache
def several_case(name: str) -> GradientCase:
    """The gradients of one of SEVERAL."""
    bottoms, kind, param = SEVERAL[name]
    rows = (4, 5) if "loss" in kind.lower() and "ignore" in param else (4, 5, 3, 2)
    shapes: dict[str, tuple[int, ...]] = {"x": rows}
    if "label" in bottoms:
        shapes["label"] = (4, *((1, 3, 2) if len(rows) == 4 else ()))
    if "target" in bottoms:
        shapes["target"] = rows
    return case_of(shapes, layer(kind, bottoms, "z", param))


def case_of(shapes: dict[str, tuple[int, ...]], body: str) -> GradientCase:
    text = text_of(shapes, [layer("Power", "x", "y", "power_param { scale: 2 }"), body])
    net = netc.compile(Source("net", text), phase="TRAIN", backend="reference", seed=1)
    random = np.random.default_rng(0)
    feeds = {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    for name in ("label", "target"):
        if name in feeds:
            feeds[name] = random.integers(0, 4 if name == "label" else 2, shapes[name])
            feeds[name] = feeds[name].astype(np.float32)
    tops = [name for name in net.outputs if not net.graph.losses]
    seeds = {top: random.standard_normal(net.outputs[top], np.float32) for top in tops}
    request = requested(net.graph, ("x",), tuple(seeds))
    return GradientCase(net.graph, request, joint_of(net.graph, request), feeds, seeds)


def feeds_of(case: GradientCase) -> dict[str, Any]:
    """What the joint graph is run with."""
    made = case.joint
    seeds = seed_arrays(case.graph, case.seeds)
    return case.feeds | {made.seeds[v]: a for v, a in seeds.items() if v in made.seeds}


def every_case() -> list[GradientCase]:
    return [*map(layer_case, range(len(LAYERS))), *map(several_case, SEVERAL)]


MSRA = 'weight_filler { type: "msra" }'
LENET = f"""
layer {{ name: "data" type: "Input" top: "data" top: "label"
        input_param {{ shape {{ dim: 4 dim: 1 dim: 16 dim: 16 }} shape {{ dim: 4 }} }} }}
layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param {{ num_output: 6 kernel_size: 5 {MSRA} }} }}
layer {{ name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
        pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
        convolution_param {{ num_output: 8 kernel_size: 3 {MSRA} }} }}
layer {{ name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
        pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1"
        inner_product_param {{ num_output: 12 {MSRA} }} }}
layer {{ name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }}
layer {{ name: "drop1" type: "Dropout" bottom: "ip1" top: "ip1" }}
layer {{ name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
        inner_product_param {{ num_output: 5 {MSRA} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }}
"""


def _normalized(name: str, bottom: str, window: str, *, relu: bool = True) -> str:
    rows = f"""
layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}"
        convolution_param {{ num_output: 8 {window} bias_term: false {MSRA} }} }}
layer {{ name: "bn_{name}" type: "BatchNorm" bottom: "{name}" top: "{name}" }}
layer {{ name: "scale_{name}" type: "Scale" bottom: "{name}" top: "{name}"
        scale_param {{ bias_term: true }} }}"""
    last = f'\nlayer {{ name: "relu_{name}" type: "ReLU" bottom: "{name}" top: "{name}" }}'
    return rows + (last if relu else "")


THREE, HALF = "kernel_size: 3 pad: 1", "kernel_size: 3 pad: 1 stride: 2"
RESNET = f"""
layer {{ name: "data" type: "Input" top: "data" top: "label"
        input_param {{ shape {{ dim: 3 dim: 3 dim: 8 dim: 8 }} shape {{ dim: 3 }} }} }}
{_normalized("stem", "data", THREE)}
{_normalized("a", "stem", HALF)}
{_normalized("b", "a", THREE, relu=False)}
{_normalized("short", "stem", "kernel_size: 1 stride: 2", relu=False)}
layer {{ name: "sum" type: "Eltwise" bottom: "short" bottom: "b" top: "sum" }}
layer {{ name: "relu" type: "ReLU" bottom: "sum" top: "sum" }}
layer {{ name: "pool" type: "Pooling" bottom: "sum" top: "pool"
        pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "scores" type: "InnerProduct" bottom: "pool" top: "scores"
        inner_product_param {{ num_output: 5 {MSRA} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "label" top: "loss" }}
"""
STEPS = {"lenet": LENET, "resnet": RESNET}


@cache
def step_graph(name: str) -> Graph:
    """A whole iteration of training, with clipping."""
    net = netc.compile(Source(name, STEPS[name]), phase="TRAIN", backend="reference", seed=2)
    how = Updating(UpdateRule("SGD", 0.9), 0.01, clip_gradients=2.0)
    return step_graphs(net.graph, how).first
