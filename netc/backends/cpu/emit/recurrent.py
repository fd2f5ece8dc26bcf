"""RNN and LSTM: one product for all steps' data, then the steps one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from netc.backends import reference
from netc.backends.cpu.emit.emission import EmitContext, Sweeps, scratch_of
from netc.backends.cpu.emit.linear import as_rows, rows_step
from netc.backends.cpu.lowering import Sweep, sweep_of
from netc.backends.cpu.program import PythonStep, Step
from netc.backends.cpu.steps.epilogue import Activation, Epilogue
from netc.backends.cpu.steps.recurrent import recurrent_steps, scratch_floats
from netc.backends.shared.layout import is_in_c_order
from netc.backends.shared.views import Buffer, View, dense
from netc.ir.graph import Array, Node
from netc.ir.types import count
from netc.ops.recurrent import RecurrentParams, lstm_steps, rnn_steps

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
    rows, columns = count(shape[:2]), count(shape[2:])
    x = as_rows(context.view(node.inputs[0]), shape, rows, columns)
    if x is None or not is_in_c_order(shape):
        return None
    units = dense(scratch_of(node), rows, 1, 1, len(weights[0]))
    product = sweep_of(
        lambda: [rows_step(context, node.name, x, units, weights[0], Epilogue(weights[1]))],
        [x],
        [units],
        scratch=units.span,
    )
    return [product, _compiled(context, node, units) or _defined(context, node, units, recur)]


def _compiled(context: EmitContext, node: Node, units: View) -> Sweep | None:
    """The steps as kernels; None for states that are given, static inputs, and very many steps."""
    params = node.params_as(RecurrentParams)
    steps, streams = context.graph.shape(node.inputs[0])[:2]
    shape = context.graph.shape(node.outputs[0])
    cont = context.view(node.inputs[1])
    top = as_rows(context.view(node.outputs[0]), shape, steps * streams, params.num_output)
    compilable = not params.expose_hidden and not params.static and steps <= _MAX_STEPS
    if not compilable or top is None or top.ld != top.c or (cont.n, cont.c) != (steps, streams):
        return None
    weights = context.arrays(node)
    plain = params.gates == 1  # an RNN has a product behind its hidden states
    hidden = dense(_after(units), *(top.n, 1, 1, params.num_output)) if plain else top
    begin = _after(hidden if plain else units)
    recurrent = weights[-3] if plain else weights[-1]

    def build() -> list[Step]:
        made = recurrent_steps(node.name, units, cont, hidden, recurrent, begin, context.target)
        out = Epilogue(weights[-1], activation=Activation("tanh")) if plain else None
        last = [rows_step(context, node.name, hidden, top, weights[-2], out)] if out else []
        return [*made, *last]

    scratch = scratch_floats(streams, params.num_output, params.gates)
    return sweep_of(
        build,
        [units, cont],
        [top, units],
        scratch=units.span + scratch + (hidden.span if plain else 0),
    )


_MAX_STEPS = 1024  # each has a row in the table of steps


def _after(view: View) -> Buffer:
    """The place behind a view of scratch memory."""
    assert isinstance(view.place, Buffer)
    return view.place._replace(offset=view.place.offset + view.span)


def _defined(context: EmitContext, node: Node, units: View, recur: Recur) -> Sweep:
    """The steps by their definition."""
    graph = context.graph
    shape = graph.shape(node.inputs[0])
    known = [reference.parameter_array(graph, name) for name in node.parameters]
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
    return sweep_of(lambda: [steps], [units, *read], written)
