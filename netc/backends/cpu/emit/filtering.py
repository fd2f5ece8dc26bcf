"""Filter: items of the batch by a selector."""

from __future__ import annotations

from netc.backends.cpu import jit
from netc.backends.cpu.emit.emission import EmitContext, Sweeps
from netc.backends.cpu.kernel_args import FilterArgs
from netc.backends.cpu.lowering import sweep_of
from netc.backends.cpu.program import Step
from netc.backends.shared.views import Place, View
from netc.ir.graph import Node


def emit_filter(context: EmitContext, node: Node) -> Sweeps | None:
    """A step for each bottom but the selector, which is the last."""
    *values, selector = node.inputs
    given = context.view(selector)
    if given.h * given.w * given.c != 1:
        given = View(given.place, given.c, 1, 1, 1, 1)  # a list of numbers is one pixel
    status = context.status[node.name]
    pairs = [
        (context.view(value), context.view(output))
        for value, output in zip(values, node.outputs, strict=True)
    ]
    pairs = [_by_items(x, y, given.n) for x, y in pairs]

    def steps() -> list[Step]:
        return [filter_step(node.name, given, x, y, status) for x, y in pairs]

    read = [context.view(value) for value in node.inputs]
    return [sweep_of(steps, read, [context.view(output) for output in node.outputs])]


def _by_items(x: View, y: View, items: int) -> tuple[View, View]:
    """Views with an image for each item; those of few axes have the items among the channels."""
    if x.n == items:
        return x, y
    each = x.count // items
    return View(x.place, items, 1, 1, each, each), View(y.place, items, 1, 1, each, each)


def filter_step(name: str, selector: View, x: View, y: View, status: Place) -> Step:
    """The chosen items of ``x``, zeros behind them, and how many there are."""
    args = FilterArgs(
        selector.place,
        4 * selector.ld,
        selector.n,
        x.h * x.w,
        x.c,
        x.place,
        4 * x.ld,
        y.place,
        4 * y.ld,
        status,
    )
    return Step(name, jit.spec("filtering", "chosen"), args, 1)
