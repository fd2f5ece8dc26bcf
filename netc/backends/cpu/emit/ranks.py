"""Gradients' means over ranks, in place where storage lets all three values lie in one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from netc.backends.cpu.emit.emission import EmitContext, Sweeps
from netc.backends.cpu.lowering import sweep_of
from netc.backends.cpu.program import PythonStep
from netc.backends.shared.views import View
from netc.ir.graph import Array, Node
from netc.ops.ranks import SumParams, group_named


def emit_start(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradient is handed over where it lies, or a copy of it where it is still needed."""
    params = node.params_as(SumParams)
    gradient, handed = context.view(node.inputs[0]), context.view(node.outputs[0])
    if not _sums_in_place(context, node, node.outputs[0]):
        return None

    def run(own: Array, target: Array, flat: Array) -> None:
        _copy(own, target)
        group_named(params.group).start(params.slot, flat)

    return _swept(node, run, gradient, handed, flat=handed)


def emit_finish(context: EmitContext, node: Node) -> Sweeps | None:
    """Wait; what was handed over is the mean."""
    params = node.params_as(SumParams)
    handed, mean = context.view(node.inputs[0]), context.view(node.outputs[0])
    if not _sums_in_place(context, node, node.inputs[0]):
        return None

    def run(own: Array, target: Array, flat: Array) -> None:
        group_named(params.group).finish(params.slot)
        _copy(own, target)

    return _swept(node, run, handed, mean, flat=handed)


def _sums_in_place(context: EmitContext, node: Node, under_way: str) -> bool:
    """True if a sum is taken where the value under way lies: without gaps, in slices in C order.

    The node that starts a sum and the one that waits for it must agree: definitions sum a copy
    that the group alone has, and its mean is never where the value lies. So this asks of nothing
    else, and a gradient with gaps, a part of a larger value, is copied.
    """
    view = context.view(under_way)
    sliced = node.params_as(SumParams).sliced
    return view.ld == view.c and (not sliced or context.in_c_order(under_way))


def _swept(
    node: Node,
    function: Callable[[Array, Array, Array], None],
    read: View,
    written: View,
    *,
    flat: View,
) -> Sweeps:
    """A step on two values, element by element, and on one of them as it lies in memory.

    Ranks hand over elements channels last: any order does, if it is that of all.
    """
    seen = ((read, None), (written, None), (flat, (flat.count,)))
    step = PythonStep(node.name, function, seen, reads_first=True)
    return [sweep_of(lambda: [step], (), [written], pointwise=[read])]


def _copy(source: Array, target: Array) -> None:
    if source.ctypes.data != target.ctypes.data:
        np.copyto(target, source)
