"""The gradient of a large matrix of weights is used up by the update as it is made.

Before::

    dW = Gradient[InnerProduct](x, dy); W', h' = Update(dW, W, h, rate, iteration)

After::

    W', h' = GradientUpdate(x, dy, W, h, rate, iteration)

With few rows in a batch such a gradient costs more bytes than multiply-adds: it is as large as the
weights, written once and read once. A kernel of the node makes some rows of it, which stay in a
cache, and updates those rows of the weights by them; the whole gradient never exists. Every sum is
taken in the order in which it was. A gradient that is a sum over several layers that share the
weights, is clipped by the norm of all, is averaged over ranks, or is held for a rate that depends
on its own norm (LARS), is needed whole.
"""

from __future__ import annotations

from netc.ir.draft import Draft
from netc.ir.graph import Graph, Node
from netc.ir.types import count
from netc.ops.axes import axis_in
from netc.ops.catalog import has_role
from netc.ops.gradient import NAME as GRADIENT
from netc.ops.gradient import GradientParams
from netc.ops.gradient_update import NAME, GradientUpdateParams
from netc.ops.role import Role
from netc.ops.update import UPDATE
from netc.passes.base import Log, Pass

BAND_BYTES = 4 << 20  # of the gradient at once: in a shared cache, with much more than one unit
_BYTES = 4


def band_rows(columns: int) -> int:
    """Rows of a gradient with so many columns that are made at once."""
    rows = max(1, BAND_BYTES // (_BYTES * columns))
    return rows // _ROWS * _ROWS or rows


_ROWS = 24  # a multiple of the rows of most kernels' tiles


def fuse_updates(graph: Graph, log: Log) -> Graph:
    """Large gradients of inner products and the updates by them become one node each."""
    draft = Draft(graph)
    for node in draft:
        if node.op != UPDATE or not node.params.reached:
            continue
        made = draft.producer(node.inputs[0])
        if made is None or not _in_rows(draft, made):
            continue
        size = _BYTES * count(draft.shape(node.inputs[0]))
        reason = _reason(draft, node, size)
        if reason:
            log.missed(reason, node.name, made.name)
            continue
        log.applied(f"{size:,} bytes of a gradient are never held at once", node.name, made.name)
        draft.remove(made.name)
        draft.put(node.name, _joined(made, node))
    return draft.result()


def _in_rows(draft: Draft, node: Node) -> bool:
    """True of the gradient of an inner product's weights, a row for each output."""
    if node.op != GRADIENT or node.params.kind != "weight" or node.params.index != 0:
        return False
    of: GradientParams = node.params
    if not has_role(of.op, Role.INNER_PRODUCT) or len(of.shapes) != 1 or of.params.transpose:
        return False
    return axis_in(of.shapes[0], of.params.axis, "inner_product_param.axis") == 1


def _reason(draft: Draft, node: Node, size: int) -> str:
    """Why a gradient has to be held whole; empty where it has not."""
    params = node.params
    rows, columns = draft.shape(node.inputs[0])
    if draft.only_reader(node.inputs[0]) is None:
        return "its gradient is needed elsewhere too"
    if params.rule.local is not None and params.lr_mult != 0:
        return "its rate depends on the norm of its gradient"
    if band_rows(columns) >= rows:
        return f"its {size:,} bytes are few"
    return ""


def _joined(made: Node, update: Node) -> Node:
    return Node(
        update.name,
        NAME,
        GradientUpdateParams(made.params, update.params),
        (*made.inputs, *update.inputs[1:]),
        update.outputs,
        made.parameters,
        made.spans,
    )


FUSE_UPDATES = Pass("fuse-updates", fuse_updates, exact=True, in_place=True)
