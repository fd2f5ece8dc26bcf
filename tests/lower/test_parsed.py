"""Layers that say the same are parsed once; layers that only look alike are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from netc.diagnostics import Source
from netc.frontend import build, read_net
from netc.ir.graph import Graph
from netc.ops.catalog import LAYERS

DATA = (
    'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 8, 8] } } }\n'
)


def chain(number: int, layer: str) -> str:
    rows = (
        layer.replace("NAME", f"l{i}").replace("FROM", f"l{i - 1}" if i else "data")
        for i in range(number)
    )
    return DATA + "\n".join(rows)


def graph_of(text: str, layers: Any = LAYERS) -> Graph:
    return build(read_net(Source("n", text)).message, layers=layers).graph


CONVOLUTION = (
    'layer { name: "NAME" type: "Convolution" bottom: "FROM" top: "NAME" '
    "convolution_param { num_output: 3 kernel_size: 3 pad: 1 } }"
)


def test_equal_layers_are_parsed_and_inferred_once() -> None:
    called = {"params": 0, "shape": 0}
    op = LAYERS["Convolution"]

    def params(layer: Any, context: Any) -> Any:
        called["params"] += 1
        return op.params(layer, context)

    counting = {**LAYERS, "Convolution": replace(op, params=params)}
    graph = graph_of(chain(200, CONVOLUTION), counting)
    assert called["params"] == 1
    assert len({id(node.params) for node in graph.nodes}) == 1
    assert graph.shape("l199") == (1, 3, 8, 8)


def test_layers_that_differ_keep_their_own() -> None:
    text = chain(1, CONVOLUTION) + (
        'layer { name: "b" type: "Convolution" bottom: "data" top: "b" '
        "convolution_param { num_output: 3 kernel_size: 3 pad: 0 } }"
        'layer { name: "p" type: "Power" bottom: "data" top: "p" power_param { shift: 0.0 } }'
        'layer { name: "q" type: "Power" bottom: "data" top: "q" power_param { shift: -0.0 } }'
    )
    graph = graph_of(text)
    assert graph.shape("l0") == (1, 3, 8, 8)
    assert graph.shape("b") == (1, 3, 6, 6)
    shifts = [str(node.params.shift) for node in graph.nodes if node.op == "Power"]
    assert shifts == ["0.0", "-0.0"]


def test_a_layer_whose_numbers_follow_from_its_name_is_parsed_by_itself() -> None:
    dropout = (
        'layer { name: "NAME" type: "Dropout" bottom: "FROM" top: "NAME" '
        "dropout_param { dropout_ratio: 0.5 } }"
    )
    graph = graph_of(chain(3, dropout))
    assert len({node.params for node in graph.nodes}) == 3


def test_a_fault_is_told_of_every_layer_that_has_it() -> None:
    text = chain(3, CONVOLUTION.replace("pad: 1", "pad: 1 group: 2"))
    found = build(read_net(Source("n", text)).message).diagnostics
    assert [d.code for d in found if d.code == "group-mismatch"] == ["group-mismatch"] * 3
    assert len({d.span for d in found}) >= 3
