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
from tests.surgery.nets import graph_of, weights_of, with_input

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
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_gives_the_same_numbers(name: str) -> None:
    text = f'layer {{ name: "l" bottom: "data" top: "out" {LAYERS[name]} }}'
    errors(text, 2, 4, 7, 7)


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
