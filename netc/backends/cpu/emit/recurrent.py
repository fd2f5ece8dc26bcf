"""RNN and LSTM: one product for all steps' data, then the steps by their definition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from netc.backends import reference
from netc.backends.cpu.emit.emission import Emission, Steps
from netc.backends.cpu.emit.linear import as_rows, rows_step
from netc.backends.cpu.layout import logical
from netc.backends.cpu.program import Context, PythonStep
from netc.backends.cpu.steps.epilogue import Epilogue
from netc.backends.shared.views import dense
from netc.ir.graph import Array, Node
from netc.ir.types import count
from netc.ops.recurrent import lstm_steps, rnn_steps

Recur = Callable[[Any, Array, Sequence[Array], Sequence[Array]], Sequence[Any]]


def emit_lstm(emission: Emission, node: Node) -> Steps | None:
    """An LSTM."""
    return _emit(emission, node, lstm_steps)


def emit_rnn(emission: Emission, node: Node) -> Steps | None:
    """A plain recurrent layer."""
    return _emit(emission, node, rnn_steps)


def _emit(emission: Emission, node: Node, recur: Recur) -> Steps | None:
    graph, place = emission.graph, emission.scratch(node)
    shape = graph.shape(node.inputs[0])
    weights = emission.arrays(node)
    known = [reference.parameter_array(graph, name) for name in node.parameters]
    rows, columns = count(shape[:2]), count(shape[2:])
    x = as_rows(emission.view(node.inputs[0]), shape, rows, columns)
    if place is None or x is None:
        return None
    units = dense(place, rows, 1, 1, len(weights[0]))
    readers = [(logical(graph.shape(v)), emission.view(v)) for v in node.inputs]
    writers = [(logical(graph.shape(v)), emission.view(v)) for v in node.outputs]

    def run(context: Context) -> None:
        driven = context.array(units).reshape(*shape[:2], -1)
        inputs = [np.asarray(see(context, view), order="C") for see, view in readers]
        for (see, view), result in zip(
            writers, recur(node.params, driven, inputs, known), strict=True
        ):
            see(context, view)[...] = result

    product = rows_step(emission, node.name, x, units, weights[0], Epilogue(weights[1]))
    return [product, PythonStep(f"steps of {node.name}", run)]
