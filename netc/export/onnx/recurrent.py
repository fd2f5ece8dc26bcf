"""Rules of RNN, LSTM and LSTMUnit: ONNX's Scan over the steps, with Caffe's step in it.

ONNX's own RNN and LSTM know neither continuation indicators nor static inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from netc.export.onnx.writer import LayerExport, Rule
from netc.ir.types import count
from netc.ops.recurrent import RecurrentParams


@dataclass
class _Step:
    """The nodes of one step: inside a Scan, or the layer's own."""

    layer: LayerExport
    nodes: list[Any] = field(default_factory=list)

    def op(self, kind: str, *inputs: str, number: int = 1, **attributes: object) -> Any:
        """A node; its output, or several."""
        from onnx import helper

        made = [self.layer.writer.fresh_value(f"{self.layer.node.name}:step") for _ in "1" * number]
        self.nodes.append(helper.make_node(kind, list(inputs), made, **attributes))
        return made[0] if number == 1 else made


def _lstm_step(op: Any, cell: str, gates: str, cont: str) -> tuple[str, str]:
    """Cell and hidden state after a step; gates in the order input, forget, output, cell."""
    given, forget, out, new = op("Split", gates, number=4, axis=-1)
    kept = op("Mul", cont, op("Sigmoid", forget))
    added = op("Mul", op("Sigmoid", given), op("Tanh", new))
    after = op("Add", op("Mul", kept, cell), added)
    return after, op("Mul", op("Sigmoid", out), op("Tanh", after))


def _units(layer: LayerExport, weights: Sequence[str]) -> str:
    """What the inputs add to every step's units: steps x streams x units."""
    flat = layer.reshape(layer.x, [-1, count(layer.shape(), 2)])
    made = layer.op("Gemm", flat, weights[0], weights[1], transB=1)
    sizes = layer.sizes(layer.outputs[0])
    params = layer.params_as(RecurrentParams)
    sizes[-1] = params.gates * params.num_output
    units = layer.reshape(made, sizes)
    if params.static:
        same = layer.op("Flatten", layer.inputs[2], axis=1)
        units = layer.op("Add", units, layer.op("Gemm", same, weights[2], transB=1))
    return units


def _first_states(layer: LayerExport) -> list[str]:
    params = layer.params_as(RecurrentParams)
    if params.expose_hidden:
        first = layer.whole("first", [0])
        return [layer.op("Squeeze", s, first) for s in layer.inputs[2 + params.static :]]
    zeros = np.zeros((layer.shape()[1], params.num_output))
    return [layer.constant("state", zeros) for _ in range(params.states)]


def _scan(layer: LayerExport, units: str, step: Any) -> list[str]:
    """The states after the last step, and the hidden ones of all steps.

    Args:
        layer: the layer.
        units: what the inputs add.
        step: (step's nodes, states, units, indicators) -> states.
    """
    from onnx import TensorProto, helper

    body, fresh = _Step(layer), layer.writer.fresh_value
    named = [
        fresh(f"{layer.node.name}:before") for _ in range(layer.params_as(RecurrentParams).states)
    ]
    seen = [fresh(f"{layer.node.name}:units"), fresh(f"{layer.node.name}:continued")]
    states = list(step(body, named, *seen))
    row = body.op("Identity", states[0])

    def described(names: Sequence[str]) -> list[Any]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]

    graph = helper.make_graph(
        body.nodes, "step", described([*named, *seen]), described([*states, row])
    )
    continued = layer.op("Unsqueeze", layer.inputs[1], layer.whole("axis", [2]))
    first = _first_states(layer)
    return layer.ops(
        "Scan", len(first) + 1, *first, units, continued, body=graph, num_scan_inputs=2
    )


def _give_states(layer: LayerExport, states: Sequence[str]) -> None:
    if layer.params_as(RecurrentParams).expose_hidden:
        for top, state in enumerate(states, 1):
            layer.give("Unsqueeze", state, layer.whole("first", [0]), top=top)


def _lstm(layer: LayerExport) -> None:
    weights = layer.weights()

    def step(body: _Step, states: Sequence[str], units: str, cont: str) -> tuple[str, str]:
        hidden, cell = states
        kept = body.op("Mul", cont, hidden)
        gates = body.op("Add", body.op("Gemm", kept, weights[-1], transB=1), units)
        cell, hidden = _lstm_step(body.op, cell, gates, cont)
        return hidden, cell

    hidden, cell, rows = _scan(layer, _units(layer, weights), step)
    layer.give("Identity", rows)
    _give_states(layer, [hidden, cell])


def _rnn(layer: LayerExport) -> None:
    weights = layer.weights()
    recurrent, out, bias = weights[-3:]

    def step(body: _Step, states: Sequence[str], units: str, cont: str) -> tuple[str]:
        kept = body.op("Mul", cont, states[0])
        driven = body.op("Add", body.op("Gemm", kept, recurrent, transB=1), units)
        return (body.op("Tanh", driven),)

    hidden, rows = _scan(layer, _units(layer, weights), step)
    flat = layer.reshape(rows, [-1, layer.params_as(RecurrentParams).num_output])
    made = layer.op("Tanh", layer.op("Gemm", flat, out, bias, transB=1))
    layer.give_reshaped(made)
    _give_states(layer, [hidden])


def _lstm_unit(layer: LayerExport) -> None:
    def op(kind: str, *inputs: str, number: int = 1, **attributes: object) -> Any:
        if number == 1:
            return layer.op(kind, *inputs, **attributes)
        return layer.ops(kind, number, *inputs, **attributes)

    cell, gates, cont = layer.inputs
    continued = layer.op("Unsqueeze", cont, layer.whole("axis", [2]))
    for top, state in enumerate(_lstm_step(op, cell, gates, continued)):
        layer.give("Identity", state, top=top)


RULES: Mapping[str, Rule] = {"LSTM": _lstm, "LSTMUnit": _lstm_unit, "RNN": _rnn}
