"""Embed: rows of a table."""

from __future__ import annotations

from netc.backends.cpu.emit.emission import EmitContext, Sweeps
from netc.backends.cpu.lowering import sweep_of
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.embedding import embed_steps
from netc.ir.graph import Node
from netc.ir.types import count
from netc.ops.linear import EmbedParams


def emit_embed(context: EmitContext, node: Node) -> Sweeps | None:
    """One row for each number; its definition where either side is not in Caffe's order."""
    (value,), (output,) = node.inputs, node.outputs
    if not context.in_c_order(value, output) or node.params_as(EmbedParams).input_dim == 0:
        return None
    x, y = context.view(value), context.view(output)
    vectors, *bias = context.arrays(node)
    number, status = count(context.graph.shape(value)), context.status[node.name]

    def steps() -> list[Step]:
        added = bias[0] if bias else None
        return embed_steps(node.name, x.place, number, y.place, vectors, added, status)

    return [sweep_of(steps, [x], [y])]
