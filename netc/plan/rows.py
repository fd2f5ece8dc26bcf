"""Rows whose number only a run tells, in a plan of fixed sizes.

A layer that chooses rows (Proposal, DetectionOutput) gives at most as many as its shape says. Where
each later layer makes of each row a row, and of no other, all can be planned for the most there can
be: rows that were not chosen are zeros, what is made of them is made for nothing, and whoever reads
a result takes as many of its rows as there were. The rest has to wait for the number
(netc.plan.split).

    rois = Proposal(...)      300 rows at most, 211 of them chosen
    p = ROIPooling(conv, rois); y = InnerProduct(p)    300 rows, of which 211 are given back
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from netc.ir.graph import Graph, Node
from netc.ir.types import Shape
from netc.ops.catalog import CATALOG, has_role
from netc.ops.define import ShapeError
from netc.ops.role import Role
from netc.plan.split import loose_values


class ChosenRows(NamedTuple):
    """What a run tells of a value: the layer that chose its rows, and the axis they are on."""

    maker: str
    axis: int


Bounded = Callable[[Node], bool]


def bounded_rows(graph: Graph, is_bounded: Bounded) -> Mapping[str, ChosenRows]:
    """The values that can be planned for the most rows there can be.

    Args:
        graph: with bounds as shapes.
        is_bounded: whether a layer that chooses can say how many rows it wrote.
    """
    refused = {n.name for n in graph.nodes if CATALOG[n.op].dynamic and not is_bounded(n)}
    while True:
        known, mixed = _followed(graph, refused)
        if not mixed:
            return known
        refused |= mixed


def _followed(graph: Graph, refused: set[str]) -> tuple[dict[str, ChosenRows], set[str]]:
    """The rows of each value, and makers of such as a layer takes otherwise than row by row."""
    known: dict[str, ChosenRows] = {}
    mixed: set[str] = set()
    loose = loose_values(graph)
    updated = set(graph.updates.values())
    for node in graph.nodes:
        own = {known[v].maker for v in node.inputs if v in known}
        late = any(v in loose and v not in known for v in node.inputs)
        if CATALOG[node.op].dynamic:
            if own or late:  # what has to wait for a size has to wait for others too
                mixed |= own
            elif node.name not in refused:
                known.update({v: ChosenRows(node.name, _axis(node)) for v in node.outputs})
        elif own:
            if late or len(own) > 1 or not row_by_row(graph, node, known):
                mixed |= own
            else:
                known.update({v: ChosenRows(min(own), 0) for v in node.outputs})
        mixed |= own if updated.intersection(node.outputs) else set()
    return known, mixed


def _axis(node: Node) -> int:
    return 2 if has_role(node.op, Role.BOX_ROWS) else 0


_ALONE = (
    Role.EPILOGUE | Role.UNARY | Role.PRODUCT | Role.POOLING | Role.RESPONSE_NORM | Role.SOFTMAX
    | Role.CHANNEL_MAP | Role.ELTWISE | Role.CONCAT | Role.SLICE | Role.COPY | Role.VIEW
    | Role.PERMUTATION | Role.DROPOUT | Role.SINK | Role.REGION_POOLING
)  # fmt: skip


def row_by_row(graph: Graph, node: Node, known: Mapping[str, ChosenRows]) -> bool:
    """True if each row of the first axis makes the row of the outputs, and nothing else does.

    ``known`` are the values that have such rows; all of the node's inputs must have.
    """
    op = CATALOG[node.op]
    if has_role(node.op, Role.SINK):
        return True
    if not has_role(node.op, _ALONE) or any(known[v].axis for v in node.inputs if v in known):
        return False
    if op.moving(node.params) or (op.draws is not None and op.draws(node.params)):
        return False
    if getattr(node.params, "train", False) or not getattr(node.params, "use_global_stats", True):
        return False
    fixed = [v not in known for v in node.inputs]
    if fixed != ([True, False] if has_role(node.op, Role.REGION_POOLING) else [False] * len(fixed)):
        return False
    # Sizes that are no other axis's by chance show whether rows stay rows.
    rows = graph.shape(next(v for v in node.inputs if v in known))[0]
    return _softened(node, graph) and all(_keeps_rows(graph, node, known, rows + k) for k in (1, 2))


def _softened(node: Node, graph: Graph) -> bool:
    """False for a softmax over the rows."""
    if not has_role(node.op, Role.SOFTMAX):
        return True
    axis = getattr(node.params, "axis", 1)
    return bool(axis % len(graph.shape(node.inputs[0])))


def _keeps_rows(graph: Graph, node: Node, known: Mapping[str, ChosenRows], rows: int) -> bool:
    op = CATALOG[node.op]
    inputs = [of_rows(graph.shape(v), rows) if v in known else graph.shape(v) for v in node.inputs]
    try:
        outputs = op.shape(node.params, inputs)
        wanted = [spec.shape for spec in op.weights(node.params, inputs)]
    except ShapeError:
        return False
    same = [graph.parameters[name].shape for name in node.parameters]
    made = [of_rows(graph.shape(v), rows) for v in node.outputs]
    return wanted == same and list(outputs) == made


def of_rows(shape: Shape, rows: int) -> Shape:
    """A shape of so many rows; one without axes stays."""
    return (rows, *shape[1:]) if shape else shape
