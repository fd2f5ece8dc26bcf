"""Receptive fields: the input elements that an element of a value depends on, exactly.

Along each spatial axis (those after the second) an element depends on a run of input elements. As
the element moves, its run moves in a pattern that repeats: after ``period`` elements it has moved
by ``step``. Convolutions and poolings have period 1; a deconvolution of stride s has up to s
different runs. Padding is followed as if the input went on beyond its edges, so that the field is
that of an element far from them (as in Araujo, Norris, Sim, Computing receptive fields of
convolutional neural networks, Distill 2019, whose figures agree).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial, reduce
from math import gcd, lcm
from typing import NamedTuple

from netc.ir.graph import Graph, Node
from netc.ir.types import Shape
from netc.ops.catalog import CATALOG
from netc.ops.define import ErasedOp, Window

MAX_PERIOD = 1024  # of a longer pattern every element is given what any sees


class Interval(NamedTuple):
    """Input elements from ``first`` to ``last``, both included; they may lie beyond the input."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class AxisField:
    """The receptive fields of a value's elements along one axis.

    ``runs`` are those of elements 0 to ``period`` - 1, None for an element that depends on nothing
    (the zeros that a deconvolution of a small kernel leaves); element ``period`` has the run of
    element 0 moved by ``step``. A step of 0 stands for a value whose elements all have one field.
    """

    runs: tuple[Interval | None, ...]
    step: int

    @property
    def period(self) -> int:
        """The number of elements after which the pattern repeats."""
        return len(self.runs)

    @property
    def size(self) -> int:
        """The largest number of input elements that one element depends on."""
        return max((run.last - run.first + 1 for run in self.runs if run), default=0)

    @property
    def stride(self) -> Fraction:
        """Input elements from one element to the next, on average."""
        return Fraction(self.step, self.period)

    @property
    def padding(self) -> int:
        """Elements that element 0's run begins before the input; negative if it begins inside."""
        run = self.run(0)
        return -run.first if run else 0

    def run(self, element: int) -> Interval | None:
        """The input elements that an element depends on; None for none."""
        turns, phase = divmod(element, self.period)
        run = self.runs[phase]
        return (
            Interval(run.first + turns * self.step, run.last + turns * self.step) if run else None
        )


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """The receptive fields of a value's elements along each spatial axis of the source."""

    axes: tuple[AxisField, ...]

    @property
    def size(self) -> tuple[int, ...]:
        """The largest number of input elements that one element depends on, along each axis."""
        return tuple(axis.size for axis in self.axes)

    @property
    def stride(self) -> tuple[Fraction, ...]:
        """Input elements from one element to the next on each axis; 0 where all have one field."""
        return tuple(axis.stride for axis in self.axes)

    @property
    def padding(self) -> tuple[int, ...]:
        """How many elements before the input the first element's field begins, along each axis."""
        return tuple(axis.padding for axis in self.axes)


_ITSELF = AxisField((Interval(0, 0),), 1)


def receptive_fields(
    graph: Graph, source: str | None = None, catalog: Mapping[str, ErasedOp] = CATALOG
) -> dict[str, ReceptiveField]:
    """The receptive field of every value that depends on an input of the graph.

    Behind a layer that reads the whole spatial extent, every element has the same field. It is so
    too where branches of different strides meet: each element is given what any of them depends on.

    Args:
        graph: with inferred shapes, before passes have fused its layers.
        source: the input, or any other value; the graph's first input if None.
        catalog: the ops there are.

    Raises:
        KeyError: the graph has no such value, or no input.
        ValueError: a shape has not been inferred.
    """
    if source is None:
        if not graph.inputs:
            raise KeyError("the graph has no input")
        source = graph.inputs[0]
    spatial = len(graph.shape(source)[2:])
    fields = {source: ReceptiveField((_ITSELF,) * spatial)}
    for node in graph.nodes:
        fields.update(_node_fields(graph, node, catalog[node.op], fields))
    return fields


def _node_fields(
    graph: Graph, node: Node, op: ErasedOp, fields: Mapping[str, ReceptiveField]
) -> dict[str, ReceptiveField]:
    """The fields of a node's outputs that depend on the source."""
    if not any(name in fields for name in node.inputs):
        return {}
    inputs = [graph.shape(name) for name in node.inputs]
    outputs = [graph.shape(name) for name in node.outputs]
    window = op.window(node.params, inputs, outputs)
    found = {}
    for index, output in enumerate(node.outputs):
        read = node.inputs[index : index + 1] if op.arity.same else node.inputs[: op.reads]
        seen = [_through(window, fields[n], graph.shape(n)[2:]) for n in read if n in fields]
        if seen and output not in fields:
            found[output] = reduce(partial(_union, outputs[index][2:]), seen)
    return found


def _through(window: Window, field: ReceptiveField, sizes: Shape) -> ReceptiveField:
    """The field of what a window sees of a value with this field and these spatial sizes."""
    if window.whole or (window.kernel and len(window.kernel) != len(field.axes)):
        return _everywhere(field, sizes)
    if not window.kernel:
        return field
    slide = _deconvolved if window.fractional else _slid
    axes = (
        slide(axis, *geometry)
        for axis, *geometry in zip(
            field.axes, window.kernel, window.stride, window.pad, window.dilation, strict=True
        )
    )
    return _known(axes, lambda: _everywhere(field, sizes))


def _union(sizes: Shape, one: ReceptiveField, other: ReceptiveField) -> ReceptiveField:
    """The field of what sees with two fields, of a value with these spatial sizes."""

    def everywhere() -> ReceptiveField:
        return _union(sizes, _everywhere(one, sizes), _everywhere(other, sizes))

    return _known(map(_axis_union, one.axes, other.axes), everywhere)


def _known(
    axes: Iterable[AxisField | None], otherwise: Callable[[], ReceptiveField]
) -> ReceptiveField:
    found = tuple(axes)
    known = tuple(axis for axis in found if axis is not None)
    return ReceptiveField(known) if len(known) == len(found) else otherwise()


def _everywhere(field: ReceptiveField, sizes: Shape) -> ReceptiveField:
    """The field of what sees all elements of a value of these spatial sizes."""
    if len(sizes) != len(field.axes):
        return field  # a reshaped value, all of whose elements have one field already
    return ReceptiveField(tuple(map(_whole, field.axes, sizes)))


# One axis; None where no run of a bearable period describes it


def _whole(axis: AxisField, size: int) -> AxisField:
    """Every element sees elements 0 to ``size`` - 1 of the axis."""
    ends = (*range(min(size, axis.period)), *range(max(0, size - axis.period), size))
    return AxisField((_hull(axis.run(element) for element in ends),), 0)


def _slid(axis: AxisField, kernel: int, stride: int, pad: int, dilation: int) -> AxisField | None:
    """Element i sees elements ``i * stride - pad + t * dilation`` of the axis, t < kernel.

    Elements whose places differ by a period see runs in their order, so that the ends of the
    kernel, a period long each, have the outermost runs.
    """
    period = axis.period // gcd(axis.period, stride)
    around = min(kernel, axis.period // gcd(axis.period, dilation))
    ends = (*range(around), *range(max(around, kernel - around), kernel))

    def run(element: int) -> Interval | None:
        at = element * stride - pad
        return _hull(axis.run(at + tap * dilation) for tap in ends)

    return _pattern(period, axis.step * stride * period // axis.period, run)


def _deconvolved(
    axis: AxisField, kernel: int, stride: int, pad: int, dilation: int
) -> AxisField | None:
    """Element ``j * stride - pad + t * dilation`` sees element j of the axis, t < kernel."""
    between = gcd(stride, dilation)
    cycle = stride // between  # taps from one that meets an element to the next

    def run(element: int) -> Interval | None:
        at = element + pad
        if at % between:
            return None
        first = at // between * pow(dilation // between, -1, cycle) % cycle
        taps = range(first, kernel, cycle)
        ends = (*taps[: axis.period], *taps[-axis.period :])
        return _hull(axis.run((at - tap * dilation) // stride) for tap in ends)

    return _pattern(axis.period * stride, axis.step, run)


def _axis_union(one: AxisField, other: AxisField) -> AxisField | None:
    if one.stride != other.stride:
        return None
    period = lcm(one.period, other.period)
    step = one.step * (period // one.period)
    return _pattern(period, step, lambda element: _hull((one.run(element), other.run(element))))


def _hull(runs: Iterable[Interval | None]) -> Interval | None:
    """The shortest run that has them all; None of none."""
    seen = [run for run in runs if run is not None]
    if not seen:
        return None
    return Interval(min(run.first for run in seen), max(run.last for run in seen))


def _pattern(period: int, step: int, run: Callable[[int], Interval | None]) -> AxisField | None:
    """The field whose elements see ``run``, in its shortest period."""
    if period > MAX_PERIOD:
        return None
    runs = tuple(run(element) for element in range(period))
    shortest = next(p for p in range(1, period + 1) if _repeats(runs, step, p))
    return AxisField(runs[:shortest], step * shortest // period)


def _repeats(runs: Sequence[Interval | None], step: int, period: int) -> bool:
    """True if a shorter period describes the runs too."""
    if len(runs) % period or step * period % len(runs):
        return False
    shorter = AxisField(tuple(runs[:period]), step * period // len(runs))
    return all(shorter.run(element) == run for element, run in enumerate(runs))
