"""Interp and Upsample."""

from __future__ import annotations

import numpy as np

from netc.backends import reference
from netc.backends.cpu.emit.emission import EmitContext, Sweeps
from netc.backends.cpu.lowering import sweep_of
from netc.backends.cpu.program import PythonStep, Step
from netc.backends.cpu.steps.moving import Strided, move_step, pixels
from netc.backends.cpu.steps.resizing import bilinear_step, repeat_steps, unpool_step
from netc.backends.shared.views import View, moved
from netc.ir.graph import Array, Node
from netc.ops.forks.resizing import InterpParams, neighbours
from netc.ops.forks.upsampling import UpsampleParams


def emit_interp(context: EmitContext, node: Node) -> Sweeps | None:
    """Bilinear resizing, or the part that is left after cropping."""
    params = node.params_as(InterpParams)
    x, y = context.view(node.inputs[0]), context.view(node.outputs[0])
    begin, end = params.crop
    high, wide = x.h - begin - end, x.w - begin - end
    if (high, wide) == (y.h, y.w):
        return [sweep_of(lambda: [_copy(node.name, x, y, begin)], [x], [y])]
    rows, columns = (
        (low + begin, share) for low, share in (neighbours(high, y.h), neighbours(wide, y.w))
    )
    return [sweep_of(lambda: [bilinear_step(node.name, x, y, rows, columns, end)], [x], [y])]


def _copy(name: str, x: View, y: View, begin: int) -> Step:
    source = pixels(x)
    place = moved(x.place, begin * (x.w + 1) * x.ld)
    return move_step(name, (y.n, y.h, y.w, y.c), Strided(place, source.strides), pixels(y))


def emit_upsample(context: EmitContext, node: Node) -> Sweeps | None:
    """Blocks of equal elements, or elements back where pooling found them."""
    params = node.params_as(UpsampleParams)
    if len(context.graph.shape(node.inputs[0])) != 4:
        return None
    x, *mask = (context.view(v) for v in node.inputs)
    y = context.view(node.outputs[0])
    if not params.masked:
        return [sweep_of(lambda: repeat_steps(node.name, x, y, *params.scale), [x], [y])]
    check = _check(context, node, mask[0], y)
    return [
        sweep_of(lambda: [check], [x, *mask]),
        sweep_of(lambda: [unpool_step(node.name, x, mask[0], y, context.target)], [x, *mask], [y]),
    ]


def _check(context: EmitContext, node: Node, mask: View, y: View) -> PythonStep:
    """Have the definition complain about a mask that names places outside of the plane."""
    graph = context.graph
    shapes = [graph.shape(v) for v in node.inputs]
    inputs = [(context.view(v), shape) for v, shape in zip(node.inputs, shapes, strict=True)]

    def run(where: Array, *arrays: Array) -> None:
        # Compared so that what is no number is wrong too.
        if not (where.min(initial=0) > -1 and where.max(initial=0) < y.h * y.w):
            reference.run_node(graph, node, [np.ascontiguousarray(array) for array in arrays])

    return PythonStep(f"mask of {node.name}", run, ((mask, None), *inputs))
