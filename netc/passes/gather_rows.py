"""Ranks that share memory exchange what a large weight gradient is made of instead of it.

Before::

    dW = Gradient[InnerProduct](x, dy); s = StartSum(dW); m = FinishSum(s)
    W', h' = Update(m, W, h, rate, iteration)           each rank its slice of the elements

After::

    x', dy' = StartRows(x, dy); x0, dy0, x1, dy1 = FinishRows(x', dy')
    W', h' = GradientUpdate(x0, dy0, x1, dy1, W, h, rate, iteration)      each rank its rows

The gradient of an (outputs x inputs) matrix is the sum of one outer product an image. While the
ranks together have few images, their bottoms and tops are much smaller than the matrix; each rank
makes the rows of all gradients that it updates, a band at a time (netc.passes.fuse_updates), and no
gradient is ever held or sent. The multiply-adds are as many: a rank makes a part of the rows, but
for the images of all. Sending factors instead of gradients is sufficient factor broadcasting (Xie
et al., UAI 2016), here without the sending.

Sums are those of before to the bit: each rank's gradient is summed over its own images, and then
the ranks' are, in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from netc.ir.draft import Draft
from netc.ir.graph import Node
from netc.ir.types import Shape, count
from netc.ops.gradient import GradientParams
from netc.ops.gradient_update import NAME, GradientUpdateParams
from netc.ops.ranks import FINISH, FINISH_ROWS, START_ROWS, SumParams
from netc.ops.update import UpdateParams


class Averaged(NamedTuple):
    """The nodes that take a gradient's mean over ranks: what makes it, start and finish."""

    made: Node
    start: Node
    finish: Node

    @property
    def params(self) -> SumParams:
        """Of both sums' nodes."""
        return self.finish.params_as(SumParams)


def averaged(draft: Draft, update: Node) -> Averaged | None:
    """How the gradient of an update is averaged in shared memory; None where it is not."""
    finish = draft.producer(update.inputs[0])
    if finish is None or finish.op != FINISH or not finish.params_as(SumParams).sliced:
        return None
    start = draft.producer(finish.inputs[0])
    made = None if start is None else draft.producer(start.inputs[0])
    if start is None or made is None:
        return None
    values = (update.inputs[0], finish.inputs[0], start.inputs[0])
    alone = all(draft.only_reader(value) is not None for value in values)
    return Averaged(made, start, finish) if alone else None


def few_rows(draft: Draft, found: Averaged) -> bool:
    """Whether the bottoms and tops of all ranks are smaller than one gradient."""
    rows = sum(count(draft.shape(value)) for value in found.made.inputs)
    return found.params.ranks * rows <= count(draft.shape(found.start.inputs[0]))


def gather_rows(draft: Draft, update: Node, found: Averaged) -> None:
    """Replace the sum by rows of all ranks, and the update by one that makes the gradient."""
    made, start, finish = found
    handed = _values(draft, start, made)
    gathered = [v for _ in range(found.params.ranks) for v in _values(draft, finish, made)]
    draft.put(update.name, _joined(draft, update, found, gathered))
    draft.put(finish.name, _rows(finish, FINISH_ROWS, handed, gathered))
    draft.put(start.name, _rows(start, START_ROWS, made.inputs, handed))


def _values(draft: Draft, node: Node, made: Node) -> list[str]:
    """New values for a node, like what the gradient is made of."""
    return [
        draft.fresh_value(f"{node.name}/{kind}", value, draft.shape(value))
        for kind, value in zip(("bottom", "top"), made.inputs, strict=True)
    ]


def _rows(node: Node, op: str, inputs: Sequence[str], outputs: Sequence[str]) -> Node:
    return replace(node, op=op, inputs=tuple(inputs), outputs=tuple(outputs))


def _joined(draft: Draft, update: Node, found: Averaged, gathered: Sequence[str]) -> Node:
    made, params, ranks = found.made, found.params, found.params.ranks
    own = update.params_as(UpdateParams)
    part = rows_of(draft.shape(found.start.inputs[0]), params.rank, ranks)
    # The mean over the ranks is the sum of their gradients divided as one over passes is.
    of_all = (made.params_as(GradientParams),) * ranks
    joined = GradientUpdateParams(of_all, replace(own, part=part, iter_size=ranks))
    inputs = (*gathered, *update.inputs[1:])
    return replace(update, op=NAME, params=joined, inputs=inputs)


def rows_of(shape: Shape, rank: int, ranks: int) -> tuple[int, int]:
    """Begin and end of the elements, in C order, of a rank's rows of a matrix."""
    rows, columns = shape
    return columns * (rows * rank // ranks), columns * (rows * (rank + 1) // ranks)
