"""RNN and LSTM: one product for all steps' data, then the steps by their definition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from netc.backends import reference
from netc.backends.cpu.emit.emission import EmitContext, Sweeps, scratch_of
from netc.backends.cpu.emit.linear import as_rows, rows_step
from netc.backends.cpu.lowering import sweep_of
from netc.backends.cpu.program import PythonStep
from netc.backends.cpu.steps.epilogue import Epilogue
from netc.backends.shared.layout import is_in_c_order
from netc.backends.shared.views import dense
from netc.ir.graph import Array, Node
from netc.ir.types import count
from netc.ops.recurrent import lstm_steps, rnn_steps

Recur = Callable[[Any, Array, Sequence[Array], Sequence[Array]], Sequence[Any]]


def emit_lstm(context: EmitContext, node: Node) -> Sweeps | None:
    """An LSTM."""
    return _emit(context, node, lstm_steps)


def emit_rnn(context: EmitContext, node: Node) -> Sweeps | None:
    """A plain recurrent layer."""
    return _emit(context, node, rnn_steps)


def _emit(context: EmitContext, node: Node, recur: Recur) -> Sweeps | None:
    graph = context.graph
    shape = graph.shape(node.inputs[0])
    weights = context.arrays(node)
    known = [reference.parameter_array(graph, name) for name in node.parameters]
    rows, columns = count(shape[:2]), count(shape[2:])
    x = as_rows(context.view(node.inputs[0]), shape, rows, columns)
    if x is None or not is_in_c_order(shape):
        return None
    units = dense(scratch_of(node), rows, 1, 1, len(weights[0]))
    inputs, outputs = ([(context.view(v), graph.shape(v)) for v in names]
                       for names in (node.inputs, node.outputs))  # fmt: skip

    def run(units: Array, *arrays: Array) -> None:
        driven = units.reshape(*shape[:2], -1)
        given = [np.asarray(array, order="C") for array in arrays[: len(inputs)]]
        results = recur(node.params, driven, given, known)
        for target, result in zip(arrays[len(inputs) :], results, strict=True):
            target[...] = result

    steps = PythonStep(f"steps of {node.name}", run, ((units, None), *inputs, *outputs))
    read, written = [view for view, _ in inputs], [view for view, _ in outputs]
    product = sweep_of(
        lambda: [rows_step(context, node.name, x, units, weights[0], Epilogue(weights[1]))],
        [x],
        [units],
        scratch=units.span,
    )
    return [product, sweep_of(lambda: [steps], [units, *read], written)]
