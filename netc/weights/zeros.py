"""Warns of layers whose parameters are all zero because no weights were given.

Their outputs do not depend on the input. Caffe's default filler is constant 0.
"""

from __future__ import annotations

from netc.diagnostics import Diagnostic, counted
from netc.ir.edit import live_nodes
from netc.ir.graph import Graph, Node
from netc.ops.catalog import has_role
from netc.ops.role import Role

_LISTED = 5  # layers named

# Zeros there pass the input on: averages of no batch yet, and what is added.
_HARMLESS = Role.BATCH_NORM | Role.BIAS


def zero_weights(graph: Graph) -> tuple[Diagnostic, ...]:
    """A warning where layers that an output depends on have only zero weights; else nothing.

    Args:
        graph: with arrays made by its fillers.
    """
    nodes = live_nodes(graph) if graph.outputs else graph.nodes
    trained = [n for n in nodes if n.parameters and not has_role(n.op, _HARMLESS)]
    zeros = [node for node in trained if _is_zero(graph, node)]
    if not zeros:
        return ()
    names = ", ".join(f"`{node.name}`" for node in zeros[:_LISTED])
    more = f" and {len(zeros) - _LISTED} more" if len(zeros) > _LISTED else ""
    what = "all layers with weights have no filler and are zeros: the answer does"
    if len(zeros) < len(trained):
        have = "has no filler and is zeros" if len(zeros) == 1 else "have no filler and are zeros"
        what = f"{counted(len(zeros), 'layer')}, {names}{more}, {have}: what follows does"
    return (
        Diagnostic(
            "zero-weights",
            f"no weights are given, and {what} not depend on the input",
            zeros[0].span,
            "warning",
            help=("give trained weights, or a `weight_filler` in the text",),
        ),
    )


def _is_zero(graph: Graph, node: Node) -> bool:
    owners = {graph.parameters[name].owner or name for name in node.parameters}
    arrays = [graph.parameters[name].array for name in owners]
    return all(array is not None and not array.any() for array in arrays)
