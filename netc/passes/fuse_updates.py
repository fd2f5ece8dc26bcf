"""The gradient of a large matrix of weights is used up by the update as it is made.

Before::

    dW = Gradient[InnerProduct](x, dy); W', h' = Update(dW, W, h, rate, iteration)

After::

    W', h' = GradientUpdate(x, dy, W, h, rate, iteration)

With few rows in a batch such a gradient costs more bytes than multiply-adds: it is as large as the
weights, written once and read once. A kernel of the node makes some rows of it, which stay in a
cache, and updates those rows of the weights by them; the whole gradient never exists. Every sum is
taken in the order in which it was. A gradient that is a sum, over layers that share the weights or
over passes whose factors were kept (netc.train.factors), is added up in the same rows::

    dW0 = Gradient[InnerProduct](x0, dy0); dW1 = Gradient[InnerProduct](x1, dy1)
    dW = dW0 + dW1; W', h' = Update(dW, W, h, rate, iteration)

    W', h' = GradientUpdate(x0, dy0, x1, dy1, W, h, rate, iteration)

One that is clipped by the norm of all, is sent to other ranks, or is held for a rate that depends
on its own norm (LARS), is needed whole. Ranks that share memory can do without it too: see
netc.passes.gather_rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.draft import Draft
from netc.ir.graph import Graph, Node
from netc.ir.types import count
from netc.ops.elementwise import EltwiseParams
from netc.ops.gradient import NAME as GRADIENT
from netc.ops.gradient import GradientParams
from netc.ops.gradient_update import NAME, GradientUpdateParams, is_in_rows
from netc.ops.update import UPDATE, UpdateParams
from netc.passes.base import Log, Pass
from netc.passes.gather_rows import Averaged, averaged, few_rows, gather_rows

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
        if node.op != UPDATE or not node.params_as(UpdateParams).reached:
            continue
        mean = averaged(draft, node)
        sums, made = ([], [mean.made]) if mean else _summands(draft, node.inputs[0])
        if not made or not all(map(_is_in_rows, made)):
            continue
        size = _BYTES * count(draft.shape(node.inputs[0]))
        reason = _reason(draft, node, size) or _reason_of_ranks(draft, mean)
        if reason:
            log.missed(reason, node.name, made[0].name)
            continue
        names = (one.name for one in made)
        log.applied(f"{size:,} bytes of a gradient are never held at once", node.name, *names)
        if mean:
            gather_rows(draft, node, mean)
        else:
            draft.put(node.name, _joined(made, node))
        for one in (*sums, *made):
            draft.remove(one.name)
    return draft.result()


def _reason_of_ranks(draft: Draft, mean: Averaged | None) -> str:
    """Why ranks exchange a gradient and not its rows; empty where they do exchange rows."""
    if mean and not few_rows(draft, mean):
        return "the rows of all ranks are more than the gradient"
    return ""


def _summands(draft: Draft, value: str) -> tuple[list[Node], list[Node]]:
    """The sums that make a value, from the last to the first, and what they add up, in order.

    Empty where somebody else reads one of them.
    """
    sums: list[Node] = []
    made: list[Node] = []
    node = draft.producer(value)
    while node is not None and node.params == EltwiseParams() and len(node.inputs) == 2:
        sums.append(node)
        more = draft.producer(node.inputs[1])
        if more is None:
            return [], []
        made.append(more)
        node = draft.producer(node.inputs[0])
    if node is None:
        return [], []
    made.append(node)
    inner = (v for one in sums for v in one.inputs)
    alone = all(draft.only_reader(v) is not None for v in inner)
    return (sums, made[::-1]) if alone else ([], [])


def _reason(draft: Draft, node: Node, size: int) -> str:
    """Why a gradient has to be held whole; empty where it has not."""
    params = node.params_as(UpdateParams)
    rows, columns = draft.shape(node.inputs[0])
    if draft.only_reader(node.inputs[0]) is None:
        return "its gradient is needed elsewhere too"
    if params.rule.local is not None and params.lr_mult != 0:
        return "its rate depends on the norm of its gradient"
    if band_rows(columns) >= rows:
        return f"its {size:,} bytes are few"
    return ""


def _is_in_rows(node: Node) -> bool:
    return node.op == GRADIENT and is_in_rows(node.params_as(GradientParams))


def _joined(made: Sequence[Node], update: Node) -> Node:
    gradients = tuple(one.params_as(GradientParams) for one in made)
    return Node(
        update.name,
        NAME,
        GradientUpdateParams(gradients, update.params_as(UpdateParams)),
        (*(value for one in made for value in one.inputs), *update.inputs[1:]),
        update.outputs,
        (),
        made[0].spans,
    )


FUSE_UPDATES = Pass("fuse-updates", fuse_updates, exact=True, in_place=True)
