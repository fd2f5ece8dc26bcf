"""Means of gradients over the ranks of a distributed run, as two ops that no text names.

A rank is one of several processes that train one net, each on batches of its own. ``StartSum``
hands a gradient to the group and returns at once; ``FinishSum`` waits until it is the mean over the
ranks. The nodes between them run while sums are under way, which is how communication hides behind
the rest of the backward pass::

    s2 = StartSum(dW2)
    dW1 = Gradient(...)
    m2 = FinishSum(s2)

``s2`` changes under way, and nothing but FinishSum reads it. All three may lie in one place, so
that large gradients are never copied. Nodes name their group, and the group of that name is looked
up when they run: a graph has plain values for parameters, so that it prints and reads back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from netc.ir.graph import Array
from netc.ops.define import Arity, OpDef, full_extent, same_shape, unwritten

START, FINISH = "StartSum", "FinishSum"


class Slot(NamedTuple):
    """Gradient ``place`` of a bucket of ``members``, which travel as one message."""

    bucket: int
    place: int = 0
    members: int = 1


class Ranks(Protocol):
    """The processes that train one net, as one of them sees them.

    All calls must come in one order on all ranks. Arrays are float32; those of gradients lie where
    the backend keeps its blobs, all others on the host.
    """

    @property
    def rank(self) -> int:
        """This one's number, from 0."""

    @property
    def size(self) -> int:
        """How many there are."""

    def start(self, at: Slot, gradient: Array) -> None:
        """Begin to replace a gradient, in C order, by its mean; it is the group's until then.

        Sums of a bucket begin when its last gradient has come.
        """

    def finish(self, at: Slot) -> Array:
        """Wait for a gradient's mean: the array that ``start`` was given."""

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """A few numbers of each rank, in the order of the ranks, for every rank."""

    def broadcast(self, array: NDArray[np.generic]) -> None:
        """Let an array in C order be that of rank 0."""

    def meet(self) -> None:
        """Wait until all ranks are here; what each has written before, all see afterwards."""

    def shared_memory(self, elements: int) -> Array | None:
        """Zeros that all ranks read and write; None where some rank cannot have them."""


class Summing(Protocol):
    """What nodes ask of a group: see :class:`Ranks`."""

    def start(self, at: Slot, gradient: Array) -> None:
        """Begin to replace a gradient by its mean."""

    def finish(self, at: Slot) -> Array:
        """Wait for a gradient's mean."""


_LINE = 16  # float32 in a cache line: no two ranks write to one


def slice_of(elements: int, rank: int, ranks: int) -> tuple[int, int]:
    """Begin and end of a rank's slice of an array, where ranks share the work on it.

    Slices begin at cache lines, so that of few elements some ranks have none.
    """
    begin, end = (-(-(elements * r // ranks) // _LINE) * _LINE for r in (rank, rank + 1))
    return min(begin, elements), min(end, elements)


_OPEN: WeakValueDictionary[str, Summing] = WeakValueDictionary()


def enter(name: str, ranks: Summing) -> None:
    """Let nodes that name this group find it, for as long as somebody holds it."""
    _OPEN[name] = ranks


def group_named(name: str) -> Summing:
    """The group that has entered under a name."""
    return _OPEN[name]


@dataclass(frozen=True, slots=True)
class SumParams:
    """Which group takes a gradient's mean, and as which part of its messages: see :class:`Slot`.

    With ``sliced`` the mean is that of this rank's slice of the elements in C order alone; the rest
    of what FinishSum gives is nobody's to read.
    """

    group: str
    bucket: int
    place: int
    members: int
    sliced: bool = False

    @property
    def slot(self) -> Slot:
        """Where the gradient is among the group's."""
        return Slot(self.bucket, self.place, self.members)


def _start(params: SumParams, inputs: Sequence[Array], weights: Sequence[Array]) -> list[Array]:
    copy = inputs[0].copy()
    group_named(params.group).start(params.slot, copy)
    return [copy]


def _finish(params: SumParams, inputs: Sequence[Array], weights: Sequence[Array]) -> list[Array]:
    return [group_named(params.group).finish(params.slot)]


OPS = tuple(
    OpDef(
        name=name,
        params=unwritten,
        arity=Arity((1, 1), (1, 1)),
        shape=same_shape,
        window=full_extent,
        reference=definition,
    )
    for name, definition in ((START, _start), (FINISH, _finish))
)
