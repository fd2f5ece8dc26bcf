from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from netc.cli.main import main
from netc.diagnostics import NetcError, Source
from netc.export.torch import to_torch
from netc.frontend import build, read_net, runnable
from netc.surgery.proof import TOLERANCE
from netc.surgery.torch_proof import torch_errors
from netc.weights import save_weights
from tests.strategies import nets
from tests.surgery.nets import graph_of, net_of, weights_of, with_input

torch = pytest.importorskip("torch", reason="written modules are run by it")


def errors(text: str, *shape: int) -> None:
    net = with_input(text, *shape)
    graph = graph_of(net, weights_of(net))
    assert torch_errors(graph, to_torch(graph), TOLERANCE) is not None


LAYERS = {
    "convolution": 'type: "Convolution" convolution_param { num_output: 4 kernel_h: 3 kernel_w: 2 '
    "stride: 2 pad: 1 dilation: 2 group: 2 bias_term: false }",
    "deconvolution": 'type: "Deconvolution" convolution_param { num_output: 4 kernel_size: 4 '
    "stride: 2 pad: 1 group: 2 }",
    "max pooling": 'type: "Pooling" pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 }',
    "average": 'type: "Pooling" pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }',
    "ceil": 'type: "Pooling" pooling_param { pool: AVE kernel_size: 2 stride: 2 }',
    "floor": 'type: "Pooling" pooling_param { kernel_size: 2 stride: 2 round_mode: FLOOR }',
    "global": 'type: "Pooling" pooling_param { pool: AVE global_pooling: true }',
    "inner product": 'type: "InnerProduct" inner_product_param { num_output: 3 transpose: true }',
    "inner axis": 'type: "InnerProduct" inner_product_param { num_output: 3 axis: 2 }',
    "lrn": 'type: "LRN" lrn_param { local_size: 3 alpha: 2 beta: 0.5 k: 2 }',
    "lrn within": 'type: "LRN" lrn_param { local_size: 3 alpha: 2 norm_region: WITHIN_CHANNEL }',
    "batch norm": 'type: "BatchNorm"',
    "nvidia": 'type: "BatchNorm" batch_norm_param { scale_bias: true }',
    "scale": 'type: "Scale" scale_param { bias_term: true axis: 1 num_axes: 2 }',
    "bias": 'type: "Bias"',
    "prelu": 'type: "PReLU"',
    "leaky": 'type: "ReLU" relu_param { negative_slope: 0.1 }',
    "elu": 'type: "ELU" elu_param { alpha: 0.5 }',
    "bnll": 'type: "BNLL"',
    "power": 'type: "Power" power_param { power: 2 scale: 0.5 shift: 1 }',
    "exp": 'type: "Exp" exp_param { base: 2 scale: 0.5 shift: 1 }',
    "softmax": 'type: "Softmax" softmax_param { axis: -1 }',
    "flatten": 'type: "Flatten" flatten_param { axis: 2 }',
    "reshape": 'type: "Reshape" reshape_param { shape { dim: 0 dim: -1 dim: 7 } }',
    "permute": 'type: "Permute" permute_param { order: 0 order: 2 order: 3 order: 1 }',
    "interp": 'type: "Interp" interp_param { zoom_factor: 2 }',
    "normalize": 'type: "Normalize" norm_param { across_spatial: false channel_shared: false }',
    "dropout": 'type: "Dropout"',
    "swish": 'type: "Swish"',
    "mvn": 'type: "MVN" mvn_param { across_channels: true }',
    "mean only": 'type: "MVN" mvn_param { normalize_variance: false }',
    "argmax": 'type: "ArgMax" argmax_param { top_k: 2 axis: 1 }',
    "argmax of items": 'type: "ArgMax" argmax_param { top_k: 3 out_max_val: true }',
    "reduction": 'type: "Reduction" reduction_param { operation: MEAN axis: 2 coeff: 3 }',
    "sum of squares": 'type: "Reduction" reduction_param { operation: SUMSQ axis: 1 }',
    "tile": 'type: "Tile" tile_param { axis: 2 tiles: 3 }',
    "reverse": 'type: "Reverse" reverse_param { axis: 2 }',
    "clip": 'type: "Clip" clip_param { min: -0.5 max: 0.75 }',
    "threshold": 'type: "Threshold" threshold_param { threshold: 0.25 }',
    "hard sigmoid": 'type: "HardSigmoid"',
    "selu": 'type: "SELU"',
    "log softmax": 'type: "LogSoftmax"',
    "mish": 'type: "Mish"',
    "hard swish": 'type: "HardSwish"',
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_gives_the_same_numbers(name: str) -> None:
    text = f'layer {{ name: "l" bottom: "data" top: "out" {LAYERS[name]} }}'
    errors(text, 2, 4, 7, 7)


@pytest.mark.parametrize("reverse", ("false", "true"))
def test_reorg(reverse: str) -> None:
    text = 'layer { name: "l" type: "Reorg" bottom: "data" top: "out" reorg_param { stride: 2 '
    errors(f"{text} reverse: {reverse} }} }}", 2, 8, 4, 6)


SSD = """
layer { name: "loc" type: "Convolution" bottom: "data" top: "loc"
  convolution_param { num_output: 8 kernel_size: 1 } }
layer { name: "locp" type: "Permute" bottom: "loc" top: "locp"
  permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "locf" type: "Flatten" bottom: "locp" top: "locf" }
layer { name: "conf" type: "Convolution" bottom: "data" top: "conf"
  convolution_param { num_output: 6 kernel_size: 1 } }
layer { name: "confp" type: "Permute" bottom: "conf" top: "confp"
  permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "confr" type: "Reshape" bottom: "confp" top: "confr"
  reshape_param { shape { dim: 0 dim: -1 dim: 3 } } }
layer { name: "confs" type: "Softmax" bottom: "confr" top: "confs" softmax_param { axis: 2 } }
layer { name: "conff" type: "Flatten" bottom: "confs" top: "conff" }
layer { name: "prior" type: "PriorBox" bottom: "data" bottom: "data" top: "prior"
  prior_box_param { min_size: 2 max_size: 4 } }
layer { name: "out" type: "DetectionOutput" bottom: "locf" bottom: "conff" bottom: "prior"
  top: "out" detection_output_param { num_classes: 3 keep_top_k: 9 code_type: %s
  confidence_threshold: 0.2 nms_param { nms_threshold: %s top_k: 30 eta: 0.9 } } }
"""


@pytest.mark.parametrize("code", ("CENTER_SIZE", "CORNER", "CORNER_SIZE"))
@pytest.mark.parametrize("overlap", ("0.45", "0.7"))
def test_detections_are_the_same_rows(code: str, overlap: str) -> None:
    errors(SSD % (code, overlap), 2, 3, 5, 5)


RECURRENT = """
input: "x" input_shape { dim: 3 dim: 2 dim: 4 }
input: "cont" input_shape { dim: 3 dim: 2 }
input: "static" input_shape { dim: 2 dim: 5 }
layer { name: "r" type: "%s" bottom: "x" bottom: "cont" bottom: "static" top: "r"
  recurrent_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "e" type: "Embed" bottom: "cont" top: "e"
  embed_param { num_output: 3 input_dim: 2 weight_filler { type: "xavier" } } }
"""


@pytest.mark.parametrize("kind", ("LSTM", "RNN"))
def test_recurrent_layers(kind: str) -> None:
    _check(RECURRENT % kind)


REGIONS = """
input: "x" input_shape { dim: 2 dim: 3 dim: 12 dim: 10 }
input: "rois" input_shape { dim: 4 dim: 5 }
layer { name: "p" type: "ROIPooling" bottom: "x" bottom: "rois" top: "p"
  roi_pooling_param { pooled_h: 3 pooled_w: 2 spatial_scale: 0.5 %s } }
"""


@pytest.mark.parametrize("pad", ("", "pad_ratio: 0.25"))
def test_pooling_of_regions(pad: str) -> None:
    _check(REGIONS % pad)


def _check(text: str) -> None:
    net = net_of(text)
    graph = graph_of(net, weights_of(net))
    assert torch_errors(graph, to_torch(graph), TOLERANCE) is not None


JOINS = """
layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { slice_point: 2 } }
layer { name: "c" type: "Crop" bottom: "data" bottom: "a" top: "c"
  crop_param { axis: 1 offset: 1 offset: 0 offset: 0 } }
layer { name: "e" type: "Eltwise" bottom: "a" bottom: "c" top: "e"
  eltwise_param { coeff: 1 coeff: -2 } }
layer { name: "m" type: "Eltwise" bottom: "a" bottom: "e" top: "m"
  eltwise_param { operation: MAX } }
layer { name: "j" type: "Concat" bottom: "m" bottom: "b" bottom: "e" top: "j" }
layer { name: "p" type: "Power" bottom: "a" top: "a" power_param { scale: 3 } }
layer { name: "class" type: "Scale" bottom: "a" bottom: "c" top: "lambda" scale_param { axis: 0 } }
"""


def test_layers_of_several_inputs_and_names_that_python_has_not() -> None:
    errors(JOINS, 2, 4, 5, 5)


@settings(max_examples=20, deadline=None)
@given(nets())
def test_random_nets_give_the_same_numbers(source: Source) -> None:
    net = read_net(source).message
    graph = graph_of(net, weights_of(net))
    try:
        module = to_torch(graph)
    except NetcError as error:
        assert {d.code for d in error.diagnostics} == {"not-torch"}
        return
    assert torch_errors(graph, module, TOLERANCE) is not None


def test_a_layer_without_a_form_is_told_with_its_place() -> None:
    net = with_input('layer { name: "r" type: "Im2col" bottom: "data" top: "r"\n'
                     "  convolution_param { kernel_size: 3 } }", 1, 1, 5, 5)  # fmt: skip
    with pytest.raises(NetcError) as caught:
        to_torch(runnable(build(net)))
    found = caught.value.diagnostics[0]
    assert found.code == "not-torch" and found.span is not None and found.span.line == 2


def test_names_of_strangers_are_no_code(tmp_path: Path) -> None:
    text = (
        'name: "\\"\\"\\"\\nimport os\\nos.abort()" layer { name: "a); import os; os.abort(" '
        'type: "PReLU" bottom: "data" top: "x = __import__(\\"os\\").abort()" }'
    )
    errors(text, 1, 2, 3, 3)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    text = (
        'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: [1, 4, 7, 7] } } }'
    )
    text += '\nlayer { name: "conv1" bottom: "data" top: "conv1" ' + LAYERS["convolution"] + "}"
    path.write_text(text + '\nlayer { name: "bn" type: "BatchNorm" bottom: "conv1" top: "conv1" }')
    net = read_net(path).message
    save_weights(weights, weights_of(net), net)
    out = tmp_path / "net.py"
    assert main(["export", "pytorch", str(path), str(weights), "-o", str(out)]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"wrote {out} and {tmp_path / 'net.npz'}: 1 blob equal")
    code = "import net, torch; print(tuple(net.load()(torch.zeros(3, 4, 7, 7)).shape))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "(3, 4, 3, 4)\n"
    assert "self.conv1 = nn.Conv2d(4, 4, (3, 2), stride=2, padding=1" in out.read_text("utf-8")
    assert np.load(tmp_path / "net.npz")["conv1.weight"].shape == (4, 2, 3, 2)
    assert main(["export", str(path), str(weights), "more", "-o", str(out)]) == 2
