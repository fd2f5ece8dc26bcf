"""Numbers that break formulas, axes named twice, blobs without elements: told, or computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError, Source
from tests.security.texts import net_in, outcome, refusal

DATA = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'  # noqa: E501
PROPOSAL = """
layer { name: "s" type: "DummyData" top: "s" dummy_data_param { shape { dim: 1 dim: 18 dim: 4 dim: 4 } } }
layer { name: "b" type: "DummyData" top: "b" dummy_data_param { shape { dim: 1 dim: 36 dim: 4 dim: 4 } } }
layer { name: "i" type: "DummyData" top: "i" dummy_data_param { shape { dim: 1 dim: 3 } } }
layer { name: "r" type: "Python" bottom: "s" bottom: "b" bottom: "i" top: "r"
        python_param { module: "rpn.proposal_layer" layer: "ProposalLayer" param_str: "%s" } }
"""  # noqa: E501


@pytest.mark.parametrize(
    "fields",
    ["min_size: inf", "min_size: nan", "min_size: 1e30", "min_size: 3 max_size: inf",
     "min_size: 3 max_size: nan", "min_size: 3 aspect_ratio: inf", "min_size: 3 aspect_ratio: nan",
     "min_size: 3 aspect_ratio: 1e-42", "min_size: 3 aspect_ratio: 1e38", "min_size: 3 step: 0",
     "min_size: 3 step: nan", "min_size: 3 img_size: 0"],
)  # fmt: skip
def test_prior_boxes(tmp_path: Path, fields: str) -> None:
    text = f'layer {{ name: "p" type: "PriorBox" bottom: "data" bottom: "data" top: "p" prior_box_param {{ {fields} }} }}'  # noqa: E501
    assert "net.prototxt:2:" in refusal("check", net_in(tmp_path, DATA + text))


@pytest.mark.parametrize(
    "param", ["'feat_stride': 1e400", "'feat_stride': 16, 'scales': (1e400,)", "'feat_stride': -1",
              "'feat_stride': float('nan')", "'feat_stride': 2**99999", "'scales': 3",
              "'feat_stride': 16, 'scales': {1: 2}", "((((((((((" * 90, "'feat_stride': 1j",
              "'feat_stride': 9" + "9" * 900, "'feat_stride': 16, 'scales': 'ab'", "\\000"],
)  # fmt: skip
def test_param_str(tmp_path: Path, param: str) -> None:
    net = net_in(tmp_path, PROPOSAL % param)
    code, _, told = outcome("check", net)
    assert code == 0 and "net.prototxt:6:" in told and "warning[python-layer]" in told
    assert "error[python-layer]" in refusal("run", net)


def test_axes_named_twice(tmp_path: Path) -> None:
    text = 'layer { name: "r" type: "Reverse" bottom: "data" top: "t" reverse_param { %s } }'
    told = refusal("check", net_in(tmp_path, DATA + text % "axis: 1 axis: 1"))
    assert "net.prototxt:2:" in told and "`axis` must name each axis once" in told
    code, _, error = outcome("check", net_in(tmp_path, DATA + text % "axis: 1 axis: 0"))
    assert code == 0, error


LOSSES = ["SoftmaxWithLoss", "EuclideanLoss", "HingeLoss", "SigmoidCrossEntropyLoss",
          "MultinomialLogisticLoss", "Accuracy"]  # fmt: skip


@pytest.mark.parametrize("op", LOSSES)
@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (0, 0), (0, 3, 2, 2)])
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_losses_of_nothing(op: str, shape: tuple[int, ...], backend: str) -> None:
    """A number (a nan where Caffe divides by nothing), or a located error; nothing else."""
    same = op in ("EuclideanLoss", "SigmoidCrossEntropyLoss")
    label = shape if same else shape[:1] + shape[2:]
    sizes = [" ".join(f"dim: {n}" for n in s) for s in (shape, label)]
    text = (
        f'layer {{ name: "d" type: "Input" top: "d" input_param {{ shape {{ {sizes[0]} }} }} }}\n'
        f'layer {{ name: "l" type: "Input" top: "l" input_param {{ shape {{ {sizes[1]} }} }} }}\n'
        f'layer {{ name: "loss" type: "{op}" bottom: "d" bottom: "l" top: "loss" }}'
    )
    try:
        net = netc.compile(Source("n", text), backend=backend)
        got = net(d=np.zeros(shape, np.float32), l=np.zeros(label, np.float32))["loss"]
    except NetcError as error:
        assert "n:3:" in str(error)
    else:
        assert got.size == 1 and (got == 0 or np.isnan(got))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0), (2, 3, 0, 4), ()])
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_softmax_of_nothing(shape: tuple[int, ...], backend: str) -> None:
    sizes = " ".join(f"dim: {n}" for n in shape)
    text = f'layer {{ name: "d" type: "Input" top: "d" input_param {{ shape {{ {sizes} }} }} }} layer {{ name: "s" type: "Softmax" bottom: "d" top: "s" softmax_param {{ axis: -1 }} }}'  # noqa: E501
    try:
        net = netc.compile(Source("n", text), backend=backend)
    except NetcError as error:
        assert shape == () and "n:1:" in str(error)
    else:
        assert net(d=np.zeros(shape, np.float32))["s"].shape == shape


# ONNX

ONE = ['type: "Permute" permute_param { }', 'type: "MVN"', 'type: "Softmax"', 'type: "Flatten"',
       'type: "MVN" mvn_param { across_channels: true normalize_variance: false }',
       'type: "ShuffleChannel" shuffle_channel_param { group: 1 }', 'type: "ReLU"',
       'type: "Reorg" reorg_param { stride: 1 }', 'type: "Reduction" reduction_param { axis: 1 }',
       'type: "Reduction" reduction_param { operation: MEAN axis: 1 }', 'type: "Normalize"',
       'type: "Pooling" pooling_param { global_pooling: true }', 'type: "Tile"',
       'type: "SPP" spp_param { pyramid_height: 2 }', 'type: "Reverse"', 'type: "LRN"',
       'type: "InnerProduct" inner_product_param { num_output: 2 }', 'type: "BN"']  # fmt: skip


@pytest.mark.parametrize("layer", ONE)
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 0), (2, 0, 4, 4), (2, 3, 0, 4)])
@pytest.mark.parametrize("batch", [None, "batch"])
def test_exports_of_blobs_without_elements(
    layer: str, shape: tuple[int, ...], batch: str | None
) -> None:
    onnx = pytest.importorskip("onnx", reason="needs onnx")
    ort = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    from netc.export.onnx import to_onnx

    sizes = " ".join(f"dim: {n}" for n in shape)
    text = f'layer {{ name: "d" type: "Input" top: "d" input_param {{ shape {{ {sizes} }} }} }} layer {{ name: "m" {layer} bottom: "d" top: "m" }}'  # noqa: E501
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    try:
        net = netc.compile(Source("n", text), backend="reference")
        want, model = net(d=x)["m"], to_onnx(net.graph, batch=batch)
    except NetcError as error:
        assert error.diagnostics[0].code not in ("internal", "")
        return
    onnx.checker.check_model(model, full_check=True)
    ort.set_default_logger_severity(4)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"d": x})
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, atol=1e-4)
