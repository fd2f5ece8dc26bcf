"""Inner products: alone, with epilogues, and over maps of several pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from netc.backends.cpu.emit.elementwise import chain_sweeps
from netc.backends.cpu.emit.emission import EmitContext, Sweeps, scratch_of
from netc.backends.cpu.emit.epilogues import Matched, is_sum, match_epilogue
from netc.backends.cpu.emit.products import weights_of
from netc.backends.cpu.lowering import Sweep, sweep_of
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.conv import conv_step
from netc.backends.cpu.steps.epilogue import Epilogue
from netc.backends.cpu.steps.linear import linear_step
from netc.backends.cpu.steps.linear_back import rows_back_steps
from netc.backends.cpu.steps.packing import in_c_order
from netc.backends.cpu.steps.transpose import to_planes
from netc.backends.shared.derived import Derived, Weights
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.layout import is_in_c_order
from netc.backends.shared.views import View, dense
from netc.ir.graph import Node
from netc.ir.types import Shape, count
from netc.ops.axes import axis_in
from netc.ops.fused import BoundStage, bind_stages
from netc.ops.linear import InnerProductParams
from netc.passes.epilogue import chain_of


def emit_inner_product(context: EmitContext, node: Node) -> Sweeps | None:
    """An inner product of each row, and what follows it."""
    first, *stages = bind_stages(chain_of(node), node.inputs, node.parameters)
    top = context.graph.shape(node.outputs[0])
    weight, bias = weights_of(context, first)
    weight = weight.T if first.stage.params_as(InnerProductParams).transpose else weight
    matched = _matched(context, bias, stages, top)
    sweeps = _product(context, node, first, weight, matched.epilogue)
    if sweeps is None:
        return None
    return [*sweeps, *chain_sweeps(context, node, context.view(node.outputs[0]), matched.rest)]


def _product(
    context: EmitContext, node: Node, first: BoundStage, weight: Weights, epilogue: Epilogue
) -> Sweeps | None:
    """The product itself; over a map of several pixels either side is brought to one order."""
    layer = first.stage.params_as(InnerProductParams)
    value, output = first.inputs[0], node.outputs[0]
    shape, view = context.graph.shape(value), context.view(value)
    axis = axis_in(shape, layer.axis, "inner_product_param.axis")
    rows, columns = count(shape[:axis]), count(shape[axis:])
    y = as_rows(context.view(output), context.graph.shape(output), rows, len(weight))
    if y is None:
        return None
    if not is_in_c_order(shape) and _needs_planes(axis, weight):
        x = dense(scratch_of(node), rows, 1, 1, columns)
        turn = sweep_of(lambda: [to_planes(node.name, view, x.place)], [view], [x], scratch=x.span)
        return [turn, _sweep(x, y, lambda: _step(context, node, x, y, weight, epilogue))]
    if not is_in_c_order(shape):
        return [_sweep(view, y, lambda: _over_map(context, node, view, y, weight, epilogue))]
    rows_of = as_rows(view, shape, rows, columns)
    if rows_of is None:
        return None
    if _turned(weight) and epilogue.is_plain:
        matrix = weight.T

        def back() -> Sequence[Step]:
            assert isinstance(matrix, Derived)
            return rows_back_steps(node.name, rows_of, y, matrix, context.target)

        return [sweep_of(back, [rows_of], [y])]
    return [_sweep(rows_of, y, lambda: _step(context, node, rows_of, y, weight, epilogue))]


def _turned(weight: Weights) -> bool:
    """True if it is a variable's transpose, which would have to be copied at each step."""
    changing = isinstance(weight, Derived) and weight.make is None
    return changing and bool(weight.T.array.flags.c_contiguous)  # type: ignore[union-attr]


def _needs_planes(axis: int, weight: Weights) -> bool:
    """True if the input must be brought to Caffe's order, in which the weights are.

    Small weights are brought to the order of the input instead, once.
    """
    return axis != 1 or weight.size > _FEW_WEIGHTS


_FEW_WEIGHTS = 1 << 20


def _sweep(x: View, y: View, build: Callable[[], Step]) -> Sweep:
    return sweep_of(lambda: [build()], [x], [y])


def _step(
    context: EmitContext, node: Node, x: View, y: View, weight: Weights, epilogue: Epilogue
) -> Step:
    if context.half and fits_half(weight):
        return linear_step(node.name, x, y, weight, context.target, epilogue, half=True)
    return rows_step(context, node.name, x, y, weight, epilogue)


def rows_step(
    context: EmitContext, name: str, x: View, y: View, weight: Weights, epilogue: Epilogue
) -> Step:
    """Inner products of rows; many rows are multiplied like the pixels of a convolution.

    That takes a copy of the weights in another order, which very large ones are not worth, nor
    ones that change at each step and lie as they are read while the inputs stay in the cache.
    """
    changing = isinstance(weight, Derived) and weight.array.flags.c_contiguous
    few = x.n < _MANY_ROWS or (changing and 8 * x.count <= context.target.l2)
    if few or weight.size > _MAX_COPIED:
        return linear_step(name, x, y, weight, context.target, epilogue)
    pixels, results = (replace(view, n=1, w=view.n) for view in (x, y))
    kernels = weight.reshape(*weight.shape, 1, 1)
    return conv_step(name, pixels, [results], kernels, Geometry((1, 1)), context.target, epilogue)


_MANY_ROWS = 16  # fewer are bound by reading the weights
_MAX_COPIED = 1 << 26


def fits_half(weight: Weights) -> bool:
    """True if float16 can hold all of the weights; never where one is no number, or a variable."""
    if isinstance(weight, Derived):
        return False
    return bool(np.abs(weight).max(initial=0) <= _MAX_HALF)


_MAX_HALF = float(np.finfo(np.float16).max)


def _over_map(
    context: EmitContext, node: Node, x: View, y: View, weight: Weights, epilogue: Epilogue
) -> Step:
    """With weights in the order of the stored pixels."""
    windows = weight.reshape(-1, x.c, x.h, x.w)
    if x.ld != x.c:
        window = Geometry((x.h, x.w))
        return conv_step(node.name, x, [y], windows, window, context.target, epilogue)
    reordered = in_c_order(windows.transpose(0, 2, 3, 1))
    rows = reordered.reshape(len(weight), -1)
    flat = dense(x.place, x.n, 1, 1, x.h * x.w * x.c)
    return _step(context, node, flat, y, rows, epilogue)


def as_rows(view: View, shape: Shape, rows: int, columns: int) -> View | None:
    """A stored value as rows; None where its order is another one than its shape's."""
    if view.h * view.w == 1 and (view.n, view.c) == (rows, columns):
        return view
    if not is_in_c_order(shape) or view.ld != view.c:
        return None
    return dense(view.place, rows, 1, 1, columns)


def _matched(
    context: EmitContext, bias: Weights | None, stages: Sequence[BoundStage], shape: Shape
) -> Matched:
    """The part of a chain that the kernel does; it adds no residual and knows one axis only."""
    first = stages[0] if stages else None
    if first is None or is_sum(first) or (first.stage.op == "PReLU" and len(shape) != 2):
        return Matched(Epilogue(bias), list(stages))
    matched = match_epilogue(context, bias, stages[:1], shape[-1])
    return Matched(matched.epilogue, [*matched.rest, *stages[1:]])
