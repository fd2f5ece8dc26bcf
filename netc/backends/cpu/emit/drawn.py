"""Dropout and DropPath in training, and their gradients: one kernel, which draws the mask."""

from __future__ import annotations

import math

import numpy as np

from netc.backends.cpu.emit.emission import EmitContext, Sweeps
from netc.backends.cpu.emit.moves import emit_identity
from netc.backends.cpu.lowering import sweep_of
from netc.backends.cpu.steps.drawn import Drawing, drawn_step
from netc.backends.shared.layout import is_in_c_order
from netc.backends.shared.views import View
from netc.ir.graph import Node
from netc.ir.types import Shape
from netc.ops.dropout import DropoutParams, DropPathParams
from netc.ops.gradient import GradientParams


def emit_dropout(context: EmitContext, node: Node) -> Sweeps | None:
    """Elements dropped one by one; nothing in TEST."""
    params = node.params_as(DropoutParams)
    if not params.sample:
        return emit_identity(context, node)
    x, *key = node.inputs
    return _drawn(context, node, params, x, key)


def emit_drop_path(context: EmitContext, node: Node) -> Sweeps | None:
    """A whole batch, or whole items of it, dropped."""
    params = node.params_as(DropPathParams)
    if not params.sample:
        return emit_identity(context, node)
    x, *key = node.inputs
    return _drawn(context, node, params, x, key)


def emit_drawn_back(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradient of either: the top's, times what is drawn once more.

    The layer's second bottom is the generator's key, where there is one.
    """
    params = node.params_as(GradientParams)
    layer = params.params_as(DropoutParams, DropPathParams)
    if not layer.sample:
        return None
    key = [node.inputs[params.inputs.index(1)]] if 1 in params.inputs else []
    return _drawn(context, node, layer, node.inputs[-1], key)


def _drawn(
    context: EmitContext,
    node: Node,
    params: DropoutParams | DropPathParams,
    value: str,
    key: list[str],
) -> Sweeps | None:
    x, y = context.view(value), context.view(node.outputs[0])
    shape = context.graph.shape(value)
    each = isinstance(params, DropoutParams)
    how = _by_element(shape, x, y) if each else _by_item(params, shape, x)
    if how is None:
        return None
    where = context.view(key[0]) if key else None
    # Without a key it is that of seed 0 and iteration 0.
    place = where.place if where else np.zeros(4, np.float32)
    dropped = params.ratio if isinstance(params, DropoutParams) else 1 - params.survival
    numbers = params.seed, float(np.float32(dropped)), float(np.float32(params.scale))
    step = drawn_step(node.name, how, x, y, place, *numbers)
    return [sweep_of(lambda: [step], [where], [y], [x])]


_ROW = 1024  # elements of a row of what is one long pixel


def _by_element(shape: Shape, x: View, y: View) -> Drawing | None:
    """A number for each element, which counts in Caffe's order."""
    if is_in_c_order(shape) and x.ld == x.c and y.ld == y.c:
        rows = math.ceil(x.count / _ROW)
        return Drawing(True, rows, _ROW, x.count, 1, (_ROW, 0, 1), (_ROW, _ROW))
    area = x.h * x.w
    steps = (x.c * area, 1, area)
    return Drawing(True, x.pixels, x.c, x.count, area, steps, (x.ld, y.ld))


def _by_item(params: DropoutParams | DropPathParams, shape: Shape, x: View) -> Drawing | None:
    """A number for all, or for each item of a batch that lies as images."""
    per_item = isinstance(params, DropPathParams) and params.per_sample
    if per_item and x.n != shape[0]:
        return None
    steps = (int(per_item), 0, 0)
    return Drawing(False, x.pixels, x.c, x.count, x.h * x.w, steps, None)
