"""Layers of forks, which have no golden case, on the emulated device against their definitions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from benchmarks.forks import run_case
from netc.backends import reference, registry
from netc.backends.cuda.backend import CudaBackend
from netc.backends.cuda.emit.table import EMITTERS
from netc.diagnostics import Source
from netc.ir.graph import Graph
from netc.ops.catalog import LAYERS
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice
from tests.backends.cuda.golden_kernels import options
from tests.test_golden import CASES, GOLDEN
from tests.test_golden_forks import CASES as FORK_CASES
from tests.test_golden_forks import FOLDER, is_computed

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")

# Name of the test -> the layer's type, its inputs' shapes, its text.
LAYER = {
    "center crop": ("CropCenter", ["2 3 7 8"], "crop_center_param { crop_size: [0, 0, 1, 2] }"),
    "cosine": ("Cos", ["2 3 4 5"], ""),
    "selu": ("SELU", ["2 3 4 5"], ""),
    "selu too": ("SeLu", ["2 3 4 5"], ""),
    "relu6": ("ReLU6", ["2 3 4 5"], ""),
    "axpy": ("Axpy", ["2 3 1 1", "2 3 4 5", "2 3 4 5"], ""),
    "permute": ("Permute", ["2 3 4 5"], "permute_param { order: 0 order: 2 order: 3 order: 1 }"),
    "permute 3": ("Permute", ["2 3 4"], "permute_param { order: 1 order: 2 }"),
    "shuffle": ("ShuffleChannel", ["2 6 3 4"], "shuffle_channel_param { group: 3 }"),
    "reorg": ("Reorg", ["1 4 4 6"], "reorg_param { stride: 2 }"),
    "depthwise": (
        "DepthwiseConvolution",
        ["2 6 7 8"],
        "convolution_param { num_output: 6 kernel_size: 3 group: 6 "
        'weight_filler { type: "xavier" } }',
    ),
    "drop path": ("DropPath", ["4 3 2 2"], ""),
    "layer norm": ("LayerNorm", ["2 3 4 5"], "layer_norm_param { axis: 1 }"),
    "locally connected": (
        "LocallyConnected",
        ["2 3 5 6"],
        'convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } }',
    ),
    "local": (
        "Local",
        ["2 3 5 6"],
        'local_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } }',
    ),
    "lp pooling": (
        "LpPooling",
        ["2 3 6 7"],
        "pooling_param { kernel_size: 3 stride: 2 } lp_pooling_param { p: 3 }",
    ),
    "interp": ("Interp", ["2 3 4 5"], "interp_param { height: 7 width: 9 }"),
    "upsample": ("Upsample", ["2 3 4 5"], "upsample_param { scale: 2 }"),
    "normalize": ("Normalize", ["2 3 4 5"], "norm_param { across_spatial: false }"),
    "normalize all": ("Normalize", ["2 3 4 5"], "norm_param { channel_shared: false }"),
    "bn": ("BN", ["2 3 4 5"], "bn_param { bn_mode: INFERENCE }"),
    "reverse": ("Reverse", ["4 2 3"], "reverse_param { axis: 0 }"),
    "continuation": (
        "ContinuationIndicator",
        ["4 2 3"],
        "continuation_indicator_param { time_step: 5 axis: 1 }",
    ),
    "prior box": (
        "PriorBox",
        ["1 4 5 6", "1 3 40 48"],
        "prior_box_param { min_size: 30 max_size: 60 aspect_ratio: 2 variance: 0.1 }",
    ),
    "roi pooling": (
        "ROIPooling",
        ["2 3 9 9", "4 5"],
        "roi_pooling_param { pooled_h: 2 pooled_w: 3 }",
    ),
    "psroi pooling": (
        "PSROIPooling",
        ["2 8 9 9", "4 5"],
        "psroi_pooling_param { spatial_scale: 1 output_dim: 2 group_size: 2 }",
    ),
    "dropout": ("Dropout", ["3 4 5 6"], "dropout_param { dropout_ratio: 0.3 }"),
    "scale by channels of items": ("Scale", ["2 3 4 5", "2 3"], "scale_param { axis: 0 }"),
    "scale by places": ("Scale", ["2 3 4 5", "4 5"], "scale_param { axis: 2 }"),
    "bias of the last axes": ("Bias", ["2 3 4", "3 4"], "bias_param { axis: 1 }"),
    "scale of 3 axes": ("Scale", ["2 3 4"], "scale_param { axis: 1 num_axes: 1 bias_term: true }"),
    "prelu of 3 axes": ("PReLU", ["2 3 4"], ""),
    "softmax of 3 axes": ("Softmax", ["2 7 4"], ""),
    "softmax of 2 axes, first": ("Softmax", ["9 4"], "softmax_param { axis: 0 }"),
    "softmax of images": ("Softmax", ["5 3 4 2"], "softmax_param { axis: 0 }"),
    "inner product of the last axis": (
        "InnerProduct",
        ["3 2 8"],
        'inner_product_param { num_output: 5 axis: 2 weight_filler { type: "xavier" } '
        'bias_filler { type: "constant" value: 0.5 } }',
    ),
    "inner product of everything": (
        "InnerProduct",
        ["2 3 2 2"],
        'inner_product_param { num_output: 5 axis: 0 weight_filler { type: "xavier" } }',
    ),
    "concat of 3 axes": ("Concat", ["2 3 4", "2 3 5"], "concat_param { axis: 2 }"),
    "concat of heights": ("Concat", ["2 3 4 5", "2 3 1 5"], "concat_param { axis: 2 }"),
    "reshape between images": (
        "Reshape",
        ["2 6 2 3"],
        "reshape_param { shape { dim: 2 dim: 3 dim: 4 dim: 3 } }",
    ),
    "channel scale": ("ChannelScale", ["2 3 4 5", "2 1 4 5"], ""),
    "gradient scaler": ("GradientScaler", ["2 3 4 5"], ""),
    "guided dropout": (
        "GuidedDropout",
        ["2 3 4 5", "2 3"],
        'guided_dropout_param { type: "deterministic" }',
    ),
    "insanity": ("Insanity", ["2 3 4 5"], ""),
    "selu dropout": ("SeLuDropout", ["2 3 4 5"], ""),
    "l1 loss": ("L1Loss", ["2 3 4 5", "2 3 4 5"], ""),
    "mask pooling": ("MaskPooling", ["2 3 4 5", "2 1 4 5"], ""),
    "tiling": ("Tiling", ["2 8 4 5"], "tiling_param { tile_dim: 2 }"),
    "combination": (
        "Combination",
        ["2 3 2 2", "2 3 2 2"],
        "combination_param { xcoord: 0 xcoord: 2 ycoord: 0 ycoord: 1 }",
    ),
    "division": (
        "Division",
        ["2 3 4 4"],
        "division_param { height: 2 width: 2 xcoord: 1 ycoord: 2 }",
    ),
    "gather": ("Gather", ["2 3 4 5"], ""),
    "scatter": ("Scatter", ["2 3 4 5"], ""),
    "l2 normalize": ("L2Normalize", ["2 3 4 5"], ""),
    "signed sqrt": ("SignedSqrt", ["2 3 4 5"], ""),
    "sparsify": ("Sparsify", ["2 3 4 5"], "sparsify_param { thre: 0.2 }"),
    "scale tanh": ("ScaleTanH", ["2 3 4 5"], "scale_tanh_param { init_scale: 1.5 }"),
    "scale filter": (
        "ScaleFilter",
        ["2 3 4 5"],
        "scale_filter_param { min_scale: 0.5 max_scale: 2 }",
    ),
    "power file": ("PowerFile", ["2 3 4 5"], ""),
    "mil": ("MIL", ["2 3 4 5"], ""),
    "outer product": ("OuterProduct", ["4 3", "4 2"], ""),
    "large margin, label": (
        "LargeMarginInnerProduct",
        ["5 3", "5"],
        "largemargin_inner_product_param { num_output: 4 type: DOUBLE base: 2 "
        'weight_filler { type: "xavier" } }',
    ),
    "focal loss, label": ("FocalLoss", ["5 4", "5"], ""),
    "weighted softmax, label": ("WeightedSoftmaxWithLoss", ["5 4", "5"], ""),
    "cross entropy of parts": ("MulticlassCrossEntropyLoss", ["5 4", "5 4"], ""),
    "global sum": ("GlobalSumPooling", ["5 3 2"], ""),
    "lpq loss": ("LpqLoss", ["2 2 4 5", "2 2 4 5"], "lpq_loss_param { p: 2 q: 0.5 }"),
    "lstm node": (
        "LSTMNode",
        ["3 6", "3 4"],
        'top: "c" lstm_param { num_cells: 4 input_weight_filler { type: "xavier" } }',
    ),
    "dense block": (
        "DenseBlock",
        ["2 3 5 4"],
        'denseblock_param { numTransition: 2 growthRate: 3 Filter_Filler { type: "xavier" } }',
    ),
    "accuracy of regression": ("AccuracyRegression", ["3 4", "3 4"], ""),
    "convolution, cut": (
        "ConvolutionRistretto",
        ["2 3 5 5"],
        'convolution_param { num_output: 2 kernel_size: 2 weight_filler { type: "xavier" } } '
        "quantization_param { bw_layer_in: 8 fl_layer_in: 4 bw_params: 6 fl_params: 5 "
        "bw_layer_out: 7 fl_layer_out: 2 }",
    ),
    "inner product, cut": (
        "FcRistretto",
        ["2 3 3 3"],
        'inner_product_param { num_output: 2 weight_filler { type: "xavier" } } '
        "quantization_param { bw_layer_in: 8 fl_layer_in: 4 bw_params: 6 fl_params: 5 "
        "bw_layer_out: 7 fl_layer_out: 2 }",
    ),
    "entropy of chances": ("CrossEntropyLoss", ["3 4", "3 4"], ""),
    "heatmaps": ("EuclideanLossHeatmap", ["2 3 4 4", "2 3 4 4"], ""),
    "flagged items": ("EuclideanLossWithIgnore", ["3 4", "3 5"], ""),
    "group norm": ("GroupNorm", ["2 4 3 5"], "group_norm_param { group_num: 2 eps: 0.01 }"),
    "hotspot": (
        "Hotspot",
        ["2 6"],
        "hotspot_param { gaussian_std: 2 data_height: 5 data_width: 7 "
        "output_height: 5 output_width: 7 }",
    ),
    "codes away from a half": ("K1_EuclideanLoss", ["3 4", "3 4"], ""),
    "codes near a half": ("K2_EuclideanLoss", ["3 4", "3 4"], ""),
    "rescale, label": (
        "LabelSpecificRescale",
        ["5 4", "5"],
        "label_specific_rescale_param { positive_weight: 2 }",
    ),
    "regression of MTCNN": ("MTCNNEuclideanLoss", ["3 4", "3 4"], ""),
    "manhattan": ("ManhattanLoss", ["3 4", "3 4"], ""),
    "noise": ("Noise", ["2 3 4 5"], ""),
    "norm": ("Norm", ["2 3 4 5"], ""),
    "normalization": ("Normalization", ["2 3 4 5"], ""),
    "random noise": ("RandomNoise", ["2 3 4 5"], ""),
    "resize": ("Resize", ["2 3 4 5"], "resize_param { height: 3 width: 7 }"),
    "saliency pooling": (
        "SaliencyPooling",
        ["2 3 7 7", "2 3 7 7"],
        "pooling_param { kernel_size: 3 stride: 2 }",
    ),
    "balanced cross entropy": ("SigmoidCrossEntropyBalanceLoss", ["3 4", "3 4"], ""),
    "softmax of places": (
        "SpatialSoftmax",
        ["2 3 4 5"],
        "spatial_softmax_param { temperature: 2 }",
    ),
    "sum pooling": (
        "SumPooling",
        ["2 3 6 7"],
        "sum_pooling_param { pool: SUM kernel_size: 3 stride: 2 }",
    ),
    "transformation": (
        "Transformation",
        ["2 3 4 5"],
        "transform_param { scale: 2 mean_value: 1 mean_value: 2 mean_value: 3 }",
    ),
    "stochastic pooling": (
        "Pooling",
        ["1 3 7 7"],
        "pooling_param { pool: STOCHASTIC kernel_size: 3 stride: 2 }",
    ),
}


def graph_of(kind: str, shapes: list[str], text: str, phase: str = "TEST") -> Graph:
    lines = []
    for i, shape in enumerate(shapes):
        dims = " ".join(f"dim: {d}" for d in shape.split())
        param = f"input_param {{ shape {{ {dims} }} }}"
        lines.append(f'layer {{ name: "x{i}" type: "Input" top: "x{i}" {param} }}')
    bottoms = " ".join(f'bottom: "x{i}"' for i in range(len(shapes)))
    lines.append(f'layer {{ name: "y" type: "{kind}" {bottoms} top: "y" {text} }}')
    return netc.compile(
        Source("fork.prototxt", "\n".join(lines)), backend="reference", phase=phase, seed=3
    ).graph


def feeds_of(name: str, graph: Graph) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    feeds = {n: rng.standard_normal(graph.shape(n)).astype(np.float32) for n in graph.inputs}
    if "entropy" in name:
        feeds = {n: rng.uniform(0.1, 0.9, x.shape).astype(np.float32) for n, x in feeds.items()}
        feeds["x1"] = np.rint(feeds["x1"])
    if "label" in name:
        feeds["x1"] = np.arange(5, dtype=np.float32) % 4
    if "roi" in name:
        corners = rng.uniform(0, 4, (4, 2))
        feeds["x1"] = np.concatenate(
            [rng.integers(0, 2, (4, 1)), corners, corners + 4], axis=1
        ).astype(np.float32)
    return feeds


@pytest.mark.filterwarnings("ignore:.*fork-reading")
@pytest.mark.parametrize("phase", ("TEST", "TRAIN"))
@pytest.mark.parametrize("name", LAYER)
def test_layers(name: str, phase: str) -> None:
    kind, shapes, text = LAYER[name]
    if name == "stochastic pooling" and phase == "TRAIN":
        pytest.skip("each run draws its own")
    graph = graph_of(kind, shapes, text, phase)
    feeds = feeds_of(name, graph)
    executable = CudaBackend(EmulatedDevice(2)).prepare(graph, options())
    got, want = executable.run(feeds), reference.run(graph, feeds)
    assert set(got) == set(want)
    for output, array in want.items():
        np.testing.assert_allclose(got[output], array, rtol=1e-5, atol=1e-6, err_msg=output)
    if phase == "TEST":
        report = executable.report()
        steps = report["array_steps"] + report["host_steps"]
        folded = LAYERS[kind].reads == 0  # what follows from shapes alone is worked out before
        assert bool(steps) == (LAYERS[kind].name not in EMITTERS and not folded)


# Layers that write files and give nothing to compare.
WRITERS = {"FLOWriter", "HDF5Output", "ImgWriter", "MatWrite"}
# Golden cases of layers whose definitions run on the device's arrays.
HOST_ONLY = {name for name, op in LAYERS.items() if op.host}
_BY_LETTERS = {name.lower(): op.name for name, op in LAYERS.items()}


def layer_type(case: dict[str, Any]) -> str:
    """The case's layer, which some old texts name by an enum: ELTWISE_ACCURACY."""
    kind = case["type"]
    return LAYERS[kind].name if kind in LAYERS else _BY_LETTERS[kind.replace("_", "").lower()]


ON_DEVICE = [
    case
    for case in FORK_CASES
    if is_computed(case) and layer_type(case) not in HOST_ONLY | set(EMITTERS)
]


@pytest.mark.parametrize("case", ON_DEVICE, ids=lambda c: c["case"])
def test_golden_cases(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    device = EmulatedDevice(0)
    table: dict[str, Any] = {**registry.BACKENDS, "cuda": lambda: CudaBackend(device)}
    monkeypatch.setattr(registry, "BACKENDS", table)
    assert run_case(FOLDER, case, "cuda") == ""


def test_every_layer_is_tried_somewhere() -> None:
    golden = {
        kind
        for case in CASES
        for kind in re.findall(
            r'type: "(\w+)"', (GOLDEN / "layers" / f"{case['case']}.prototxt").read_text()
        )
    }
    tried = golden | {kind for kind, _, _ in LAYER.values()} | set(map(layer_type, ON_DEVICE))
    names = {name for name, op in LAYERS.items() if not op.source and not op.dynamic}
    untried = {LAYERS[n].name for n in names} - {LAYERS[n].name for n in tried} - HOST_ONLY
    assert untried == WRITERS
    assert HOST_ONLY and Path(GOLDEN).is_dir()
