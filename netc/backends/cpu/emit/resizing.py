"""Interp and Upsample."""

from __future__ import annotations

import numpy as np

from netc.backends import reference
from netc.backends.cpu.emit.emission import Emission, Steps
from netc.backends.cpu.layout import logical
from netc.backends.cpu.program import Context, PythonStep, Step
from netc.backends.cpu.steps.moving import Strided, move_step, pixels
from netc.backends.cpu.steps.resizing import bilinear_step, repeat_steps, unpool_step
from netc.backends.shared.views import View, moved
from netc.ir.graph import Node
from netc.ops.resizing import InterpParams, UpsampleParams, neighbours


def emit_interp(emission: Emission, node: Node) -> Steps | None:
    """Bilinear resizing, or the part that is left after cropping."""
    params: InterpParams = node.params
    x, y = emission.view(node.inputs[0]), emission.view(node.outputs[0])
    begin, end = params.crop
    high, wide = x.h - begin - end, x.w - begin - end
    if (high, wide) == (y.h, y.w):
        return [_copy(node.name, x, y, begin)]
    rows, columns = (
        (low + begin, share) for low, share in (neighbours(high, y.h), neighbours(wide, y.w))
    )
    return [bilinear_step(node.name, x, y, rows, columns, end)]


def _copy(name: str, x: View, y: View, begin: int) -> Step:
    source = pixels(x)
    place = moved(x.place, begin * (x.w + 1) * x.ld)
    return move_step(name, (y.n, y.h, y.w, y.c), Strided(place, source.strides), pixels(y))


def emit_upsample(emission: Emission, node: Node) -> Steps | None:
    """Blocks of equal elements, or elements back where pooling found them."""
    params: UpsampleParams = node.params
    if len(emission.graph.shape(node.inputs[0])) != 4:
        return None
    x, *mask = (emission.view(v) for v in node.inputs)
    y = emission.view(node.outputs[0])
    if not params.masked:
        return [*repeat_steps(node.name, x, y, *params.scale)]
    check = _check(emission, node, mask[0], y)
    return [check, unpool_step(node.name, x, mask[0], y, emission.target)]


def _check(emission: Emission, node: Node, mask: View, y: View) -> PythonStep:
    """Have the definition complain about a mask that names places outside of the plane."""
    graph = emission.graph
    readers = [(logical(graph.shape(v)), emission.view(v)) for v in node.inputs]

    def run(context: Context) -> None:
        where = context.array(mask)
        # Compared so that what is no number is wrong too.
        if not (where.min(initial=0) > -1 and where.max(initial=0) < y.h * y.w):
            inputs = [np.ascontiguousarray(see(context, view)) for see, view in readers]
            reference.run_node(graph, node, inputs)

    return PythonStep(f"mask of {node.name}", run)
