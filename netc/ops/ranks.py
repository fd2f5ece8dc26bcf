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
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable
from weakref import WeakValueDictionary

from netc.ir.graph import Array
from netc.numeric import np
from netc.ops.define import Arity, OpDef, full_extent, same_shape, unwritten

if TYPE_CHECKING:
    from numpy.typing import NDArray

START, FINISH = "StartSum", "FinishSum"


class Slot(NamedTuple):
    """Where a gradient is in its bucket: number ``place`` of ``members``.

    The gradients of a bucket travel as one message. Where ranks share memory, a rank's gradients
    lie there one after another, this one ``offset`` elements from the first.
    """

    bucket: int
    place: int = 0
    members: int = 1
    offset: int = 0


class Ranks(Protocol):
    """The processes that train one net, as one of them sees them.

    All ranks must make the same calls in the same order. Arrays are float32; gradients lie where
    the backend keeps its blobs, all other arrays on the host.
    """

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""

    @property
    def size(self) -> int:
        """How many processes there are."""

    def start(self, at: Slot, gradient: Array) -> None:
        """Begin to replace a C-contiguous gradient by its mean over the ranks.

        Nobody may touch it until :meth:`finish`. The sums of a bucket begin when its last gradient
        has come.
        """

    def finish(self, at: Slot) -> Array:
        """Wait for a gradient's mean; returns the array that :meth:`start` was given."""

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """A few numbers from each rank, on every rank, in the order of the ranks."""

    def broadcast(self, array: NDArray[np.generic]) -> None:
        """Overwrite a C-contiguous array with that of rank 0."""

    def meet(self) -> None:
        """A barrier: wait until all ranks are here; each then sees what the others wrote before."""

    def shared_memory(self, elements: int) -> Array | None:
        """A float32 array of zeros that all ranks share; None where some rank cannot map it."""


class Summing(Protocol):
    """The part of :class:`Ranks` that nodes use."""

    def start(self, at: Slot, gradient: Array) -> None:
        """Begin to replace a gradient by its mean."""

    def finish(self, at: Slot) -> Array:
        """Wait for a gradient's mean."""


@runtime_checkable
class SharedSumming(Summing, Protocol):
    """A group whose ranks share memory."""

    @property
    def gradients(self) -> Array:
        """Flat float32 memory for this rank's gradients; see :func:`gradient_memory`."""


_LINE = 16  # float32 in a cache line: no two ranks write to one


def slice_of(elements: int, rank: int, ranks: int) -> tuple[int, int]:
    """First element and end of a rank's slice, where ranks share the work on an array.

    Slices begin at cache lines, so that some ranks have none of a small array.
    """
    begin, end = (-(-(elements * r // ranks) // _LINE) * _LINE for r in (rank, rank + 1))
    return min(begin, elements), min(end, elements)


def room(elements: int) -> int:
    """An array's number of elements rounded up, so that the next one starts at a cache line."""
    return -(-elements // _LINE) * _LINE


_OPEN: WeakValueDictionary[str, Summing] = WeakValueDictionary()


def enter(name: str, ranks: Summing) -> None:
    """Let nodes that name this group find it, for as long as somebody keeps a reference to it."""
    _OPEN[name] = ranks


def group_named(name: str) -> Summing:
    """The group that has entered under a name.

    Raises:
        KeyError: there is none.
    """
    return _OPEN[name]


def gradient_memory(name: str) -> Array:
    """The memory of a group that shares memory in which this rank's gradients may lie.

    It is flat; a gradient of C order begins at its slot's offset. One that lies there is not
    copied.
    """
    group = group_named(name)
    assert isinstance(group, SharedSumming), "only slices have a group that shares memory"
    return group.gradients


@dataclass(frozen=True, slots=True)
class SumParams:
    """Which group takes a gradient's mean, and its place in the messages: see :class:`Slot`.

    With ``sliced`` only this rank's slice of the elements, in C order, becomes the mean; nothing
    may read the other elements of what FinishSum gives.
    """

    group: str
    bucket: int
    place: int
    members: int
    offset: int = 0
    sliced: bool = False

    @property
    def slot(self) -> Slot:
        """The gradient's bucket, its place in it, and its offset in shared memory."""
        return Slot(self.bucket, self.place, self.members, self.offset)


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
