"""Gradients' means over ranks, in place where storage lets all three values lie in one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from netc.backends.cpu.emit.emission import EmitContext, Sweeps
from netc.backends.cpu.lowering import sweep_of
from netc.backends.cpu.program import PythonStep
from netc.ir.graph import Array, Node
from netc.ops.ranks import SumParams, group_named


def emit_start(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradient is handed over where it lies, or a copy of it where it is still needed."""
    params: SumParams = node.params

    def run(gradient: Array, handed: Array) -> None:
        _copy(gradient, handed)
        group_named(params.group).start(params.slot, handed)

    return _elementwise(context, node, run)


def emit_finish(context: EmitContext, node: Node) -> Sweeps | None:
    """Wait; what was handed over is the mean."""
    params: SumParams = node.params

    def run(handed: Array, mean: Array) -> None:
        group_named(params.group).finish(params.slot)
        _copy(handed, mean)

    return _elementwise(context, node, run)


def _elementwise(
    context: EmitContext, node: Node, function: Callable[[Array, Array], None]
) -> Sweeps | None:
    """A step on two values of one layout, both flat and without gaps; None if they have gaps.

    None too where ranks have slices, which are of arrays in C order, and the values are not.
    """
    read, written = context.view(node.inputs[0]), context.view(node.outputs[0])
    if read.ld != read.c or written.ld != written.c:
        return None
    if node.params.sliced and not context.in_c_order(*node.inputs, *node.outputs):
        return None

    # Seen as they lie in memory, channels last: any order does, if it is that of both.
    flat = (read.count,)
    step = PythonStep(node.name, function, ((read, flat), (written, flat)), reads_first=True)
    return [sweep_of(lambda: [step], (), [written], pointwise=[read])]


def _copy(source: Array, target: Array) -> None:
    if source.ctypes.data != target.ctypes.data:
        np.copyto(target, source)
