"""Exported models against the reference, by ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.backends import reference
from netc.diagnostics import NetcError, Source
from netc.export.onnx import to_onnx
from netc.ir.graph import Graph

ort = pytest.importorskip("onnxruntime", reason="what exported models are compared with")


def graph_of(*layers: str, shape: str = "dim: 2 dim: 4 dim: 7 dim: 6") -> Graph:
    data = f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {shape} }} }} }}'
    source = Source("net", "\n".join((data, *layers)))
    return netc.compile(source, backend="reference").graph


def layer(kind: str, params: str, bottoms: str = "x") -> str:
    names = " ".join(f'bottom: "{name}"' for name in bottoms.split())
    return f'layer {{ name: "y" type: "{kind}" {names} top: "y" {params} }}'


def exported(graph: Graph, feeds: dict[str, Any]) -> dict[str, Any]:
    session = ort.InferenceSession(
        to_onnx(graph).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return dict(zip(graph.outputs, session.run(list(graph.outputs), feeds), strict=True))


@pytest.mark.parametrize(
    "text",
    [
        layer("Eltwise", "eltwise_param { operation: MAX coeff: -1 coeff: 2 }", "x x"),
        layer("Eltwise", "eltwise_param { coeff: -1 coeff: 0.5 }", "x x"),
        layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }"),
        layer("Pooling", "pooling_param { pool: AVE kernel_size: 3 pad: 1 }"),
        layer("LRN", "lrn_param { local_size: 3 alpha: 0.5 k: 2 }"),
        layer("Softmax", ""),
        layer(
            "Convolution",
            "convolution_param { num_output: 4 group: 2 kernel_size: 3 stride: 2 weight_filler { "
            'type: "xavier" } }',
        ),
    ],
)
def test_a_model_computes_what_the_layer_does(text: str) -> None:
    graph = graph_of(text)
    x = np.random.default_rng(0).standard_normal(graph.shape("x")).astype(np.float32)
    want = reference.run(graph, {"x": x})
    got = exported(graph, {"x": x})
    np.testing.assert_allclose(got["y"], want["y"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "graph, words",
    [
        (
            graph_of(
                layer("Convolution", "convolution_param { num_output: 2 kernel_size: 1 }"),
                shape="dim: 2 dim: 4",
            ),
            "the last axis",
        ),
        (
            graph_of(layer("Pooling", "pooling_param { kernel_size: 1 stride: 4 }")),
            "beyond its input",
        ),
    ],
)
def test_what_has_no_form_there_is_refused(graph: Graph, words: str) -> None:
    with pytest.raises(NetcError, match=rf"no-onnx-rule.*`y`.*{words}"):
        to_onnx(graph)
