"""Means of gradients over the ranks of a distributed run, as ops that no text names.

A rank is one of several processes that train one net, each on batches of its own. ``StartSum``
hands a gradient to the group and returns at once; ``FinishSum`` waits until it is the mean over the
ranks. The nodes between them run while sums are under way, which is how communication hides behind
the rest of the backward pass::

    s2 = StartSum(dW2)
    dW1 = Gradient(...)
    m2 = FinishSum(s2)

``s2`` changes under way, and nothing but FinishSum reads it. All three may lie in one place, so
that large gradients are never copied.

An inner product's weight gradient is made of few numbers: a row of its bottom and a row of its
top's gradient for each image. Where ranks share memory they may exchange those instead, and each
make the slice of every rank's gradient that it updates (see netc.passes.gather_rows)::

    x', dy' = StartRows(x, dy)
    x0, dy0, x1, dy1 = FinishRows(x', dy')      of each rank

Nodes name their group, and the group of that name is looked
up when they run: a graph has plain values for parameters, so that it prints and reads back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable
from weakref import WeakValueDictionary

from netc.ir.graph import Array
from netc.ir.types import Shape
from netc.numeric import np
from netc.ops.define import Arity, OpDef, full_extent, same_shape, unwritten

if TYPE_CHECKING:
    from numpy.typing import NDArray

START, FINISH = "StartSum", "FinishSum"
START_ROWS, FINISH_ROWS = "StartRows", "FinishRows"


class Slot(NamedTuple):
    """Where a gradient is in its bucket: number ``place`` of ``members``.

    The gradients of a bucket travel as one message. Where ranks share memory, a rank's gradients
    lie there one after another, this one ``offset`` elements from the first, and ``part`` is the
    begin and end of the elements, in C order, whose mean this rank takes; it is empty elsewhere.
    """

    bucket: int
    place: int = 0
    members: int = 1
    offset: int = 0
    part: tuple[int, ...] = ()


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

    def shared_memory(self, elements: int, reserved: bool = False) -> Array | None:
        """A float32 array of zeros that all ranks share; None where some rank cannot map it.

        Where it is ``reserved``, memory is allocated as it is written to, and whoever does that
        asks for it.
        """


class Summing(Protocol):
    """The part of :class:`Ranks` that nodes use."""

    def start(self, at: Slot, gradient: Array) -> None:
        """Begin to replace a gradient by its mean."""

    def finish(self, at: Slot) -> Array:
        """Wait for a gradient's mean."""


@runtime_checkable
class SharedSumming(Summing, Protocol):
    """A group whose ranks share memory."""

    def start_rows(self, offset: int, arrays: Sequence[Array]) -> None:
        """Write arrays to this rank's memory, from an offset on, where the other ranks read them.

        Together they have no more elements than the gradient whose slot begins at this offset.
        """

    def finish_rows(self, offset: int, arrays: Sequence[Array]) -> list[Array]:
        """The arrays of each rank, those of rank 0 first."""

    def wait(self) -> None:
        """Wait until all ranks have ended their backward passes."""

    @property
    def areas(self) -> Array:
        """float32 (ranks, elements): where gradients may lie; see :func:`sharing_group`."""

    @property
    def whole(self) -> bool:
        """Whether every rank gets whole means, and not those of its slices alone."""


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


def sharing_group(name: str) -> SharedSumming:
    """The group of that name, whose ranks share memory.

    Its ``areas`` are where gradients may lie, each in its rank's row from its slot's offset on, in
    C order. One that lies there is not copied.
    """
    group = group_named(name)
    assert isinstance(group, SharedSumming), "only slices have a group that shares memory"
    return group


@dataclass(frozen=True, slots=True)
class SumParams:
    """Which group takes a gradient's mean, and its place in the messages: see :class:`Slot`.

    Where ``ranks`` is above one they share memory, and this one is ``rank``: the elements of
    ``part``, in C order, become the mean; nothing may read the others of what FinishSum gives,
    unless the group shares whole means.
    """

    group: str
    bucket: int
    place: int
    members: int
    offset: int = 0
    part: tuple[int, ...] = ()
    rank: int = 0
    ranks: int = 1

    @property
    def sliced(self) -> bool:
        """Whether a rank takes the mean of its slice alone."""
        return self.ranks > 1

    @property
    def slot(self) -> Slot:
        """The gradient's bucket, its place in it, and where it is in shared memory."""
        return Slot(self.bucket, self.place, self.members, self.offset, self.part)


def _start(params: SumParams, inputs: Sequence[Array], weights: Sequence[Array]) -> list[Array]:
    copy = inputs[0].copy()
    group_named(params.group).start(params.slot, copy)
    return [copy]


def _finish(params: SumParams, inputs: Sequence[Array], weights: Sequence[Array]) -> list[Array]:
    return [group_named(params.group).finish(params.slot)]


def _start_rows(
    params: SumParams, inputs: Sequence[Array], weights: Sequence[Array]
) -> list[Array]:
    copies = [np.ascontiguousarray(array) for array in inputs]
    sharing_group(params.group).start_rows(params.offset, copies)
    return copies


def _finish_rows(
    params: SumParams, inputs: Sequence[Array], weights: Sequence[Array]
) -> list[Array]:
    return sharing_group(params.group).finish_rows(params.offset, inputs)


def _same_shapes(params: SumParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return tuple(inputs)


def _of_all_ranks(params: SumParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return params.ranks * tuple(inputs)


OPS = tuple(
    OpDef(
        name=name,
        params=unwritten,
        arity=arity,
        shape=shape,
        window=full_extent,
        reference=definition,
    )
    for name, arity, shape, definition in (
        (START, Arity((1, 1), (1, 1)), same_shape, _start),
        (FINISH, Arity((1, 1), (1, 1)), same_shape, _finish),
        (START_ROWS, Arity((2, 2), (2, 2)), _same_shapes, _start_rows),
        (FINISH_ROWS, Arity((2, 2), (4, None)), _of_all_ranks, _finish_rows),
    )
)
