"""Losses and their gradients.

A loss's kernel gives sums of runs of rows; a step in Python adds them up, divides them as the
definition does, and complains of labels that are no class.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netc.backends.cpu.emit.emission import EmitContext, Sweeps, scratch_of
from netc.backends.cpu.lowering import Sweep, sweep_of
from netc.backends.cpu.program import PythonStep, Step
from netc.backends.cpu.steps.losses import (
    PARTIALS,
    LabelledRows,
    Pairs,
    pair_loss_steps,
    pair_slope_steps,
    softmax_loss_step,
    softmax_slope_steps,
)
from netc.backends.reference import at_layer
from netc.backends.shared.layout import has_channels, is_in_c_order
from netc.backends.shared.views import View, dense
from netc.diagnostics import NetcError
from netc.ir.graph import Array, Node
from netc.ir.types import Shape, count
from netc.ops.axes import axis_in
from netc.ops.cross_entropy import SigmoidLossParams, SoftmaxLossParams
from netc.ops.gradient import GradientParams
from netc.ops.labels import class_labels, divisor


def emit_softmax_loss(context: EmitContext, node: Node) -> Sweeps | None:
    """SoftmaxWithLoss along the innermost stored axis."""
    params = node.params_as(SoftmaxLossParams)
    rows = _rows(context, params, node.inputs)
    if rows is None:
        return None
    x, label = (context.view(value) for value in node.inputs)
    total, *prob = (context.view(value) for value in node.outputs)
    written = (prob[0].place, prob[0].ld if x.pixels == rows.rows else rows.ld) if prob else None
    partial = dense(scratch_of(node), 1, 1, 1, PARTIALS * rows.units)
    step = softmax_loss_step(node.name, rows, partial.place, written)
    first = sweep_of(lambda: [step], [label], [partial, *prob], [x], PARTIALS * rows.units)
    return [first, _finished(context, node, rows, partial, label, total)]


def _finished(
    context: EmitContext, node: Node, rows: LabelledRows, partial: View, label: View, total: View
) -> Sweep:
    """The sums of all runs as the loss."""
    params = node.params_as(SoftmaxLossParams)
    shape = context.graph.shape(node.inputs[0])
    axis = axis_in(shape, params.axis, "softmax_param.axis")
    outer, inner = count(shape, 0, axis), count(shape, axis + 1)

    def run(sums: Array, labels: Array, target: Array) -> None:
        loss, kept, wrong = sums.reshape(-1, PARTIALS).sum(axis=0, dtype=np.float64)
        if wrong:
            _complain(node, labels, rows)
        target[...] = loss / divisor(params.normalization, outer, inner, np.int64(kept))

    seen = ((partial, (partial.count,)), (label, context.graph.shape(node.inputs[1])), (total, ()))
    step = PythonStep(node.name, run, seen, finishes=True)
    return sweep_of(lambda: [step], [partial, label], [total], scratch=partial.count)


def _complain(node: Node, labels: Array, rows: LabelledRows) -> None:
    """Raise what the definition raises of labels that are no class."""
    try:
        class_labels(labels.reshape(-1), rows.classes, rows.ignored)
    except NetcError as error:
        raise at_layer(error, node) from None


def emit_softmax_slope(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradient of SoftmaxWithLoss by the scores; the layer itself checks the labels."""
    params = node.params_as(GradientParams)
    layer = params.params_as(SoftmaxLossParams)
    values, top = node.inputs[:2], context.view(node.inputs[2])
    rows = _rows(context, layer, values)
    if rows is None or not _is_checked(context, values):
        return None
    x, label = (context.view(value) for value in values)
    out = context.view(node.outputs[0])
    shape = context.graph.shape(values[0])
    outer = count(shape, 0, axis_in(shape, layer.axis, "softmax_param.axis"))
    by = None
    if layer.normalization != "VALID":
        by = float(divisor(layer.normalization, outer, rows.rows // max(1, outer), np.int64(0)))
    output = out.place, out.ld if out.pixels == rows.rows else rows.ld

    def steps() -> list[Step]:
        return softmax_slope_steps(node.name, rows, output, top.place, by)

    return [sweep_of(steps, [label, top], [out], [x])]


def _is_checked(context: EmitContext, values: Sequence[str]) -> bool:
    """True if the layer that has these bottoms is run too, and refuses wrong labels."""
    readers = context.graph.readers[values[1]]
    return any(r.op == "SoftmaxWithLoss" and r.inputs == tuple(values) for r in readers)


def _rows(
    context: EmitContext, params: SoftmaxLossParams, values: Sequence[str]
) -> LabelledRows | None:
    """The rows of scores and their labels, None where either is not stored so."""
    shape, labels = (context.graph.shape(value) for value in values)
    x, label = (context.view(value) for value in values)
    axis = axis_in(shape, params.axis, "softmax_param.axis")
    step = _label_step(labels, label)
    if step is None or params.weights == "frequency":
        return None
    if has_channels(shape):
        if axis != 1:
            return None
        rows, ld = x.pixels, x.ld
    elif axis == len(shape) - 1:
        rows, ld = count(shape, 0, axis), shape[axis]
    else:
        return None
    weights = None if params.weights is None else np.asarray(params.weights, np.float32)
    places = (x.place, ld, label.place, step)
    return LabelledRows(*places, rows, shape[axis], params.ignore_label, weights)


def _label_step(shape: Shape, view: View) -> int | None:
    """Floats from a label to the next in Caffe's order; None where they have no equal distance."""
    if view.pixels == 1 or (is_in_c_order(shape) and view.ld == view.c):
        return 1
    return view.ld if view.c == 1 else None


def emit_pair_loss(context: EmitContext, node: Node) -> Sweeps | None:
    """EuclideanLoss and SigmoidCrossEntropyLoss."""
    params = None if node.params is None else node.params_as(SigmoidLossParams)
    factor = 2.0 if params is None else 1.0
    pairs = _pairs(context, params, node.inputs, factor)
    if pairs is None:
        return None
    read = [context.view(value) for value in node.inputs]
    total = context.view(node.outputs[0])
    return [sweep_of(lambda: pair_loss_steps(node.name, pairs, total.place), read, [total])]


def emit_pair_slope(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradient of either by one of its bottoms."""
    params = node.params_as(GradientParams)
    first, second, top = (context.view(value) for value in node.inputs)
    layer = None if params.params is None else params.params_as(SigmoidLossParams)
    pairs = _pairs(context, layer, node.inputs[:2])
    out = context.view(node.outputs[0])
    if pairs is None or out.ld != out.c:
        return None
    sign = -1.0 if params.index else 1.0
    *counting, last = pair_slope_steps(node.name, pairs, out.place, top.place, sign)
    # What counts has been counted before the gradient may be written over what it was counted in.
    return [
        *(sweep_of(lambda: counting, [second]) for _ in counting),
        sweep_of(lambda: [last], [top], [out], [first, second]),
    ]


def _pairs(
    context: EmitContext,
    params: SigmoidLossParams | None,
    values: Sequence[str],
    factor: float = 1.0,
) -> Pairs | None:
    """The pairs; None where the two are not stored in one order. EuclideanLoss has no params."""
    shape, other = (context.graph.shape(value) for value in values)
    first, second = (context.view(value) for value in values)
    if shape != other and not (is_in_c_order(shape) and is_in_c_order(other)):
        return None
    if first.ld != first.c or second.ld != second.c:
        return None
    places = first.place, second.place, count(shape)
    if params is None:
        return Pairs("euclidean", *places, factor * shape[0])
    by: float | None = None
    if params.normalization != "VALID" or params.ignore_label is None:
        everything = np.int64(count(shape))
        by = float(divisor(params.normalization, shape[0], count(shape, 1), everything))
    return Pairs("sigmoid", *places, by, params.ignore_label)
