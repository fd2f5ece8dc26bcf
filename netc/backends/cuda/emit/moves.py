"""Layers that only move data: what is not already in its place is copied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from netc.backends.cuda.emission import (
    THREADS,
    CudaEmitContext,
    blocks,
    element_launch,
)
from netc.backends.cuda.program import Int64, Launch, Steps
from netc.backends.cuda.rules import produced_view_offsets
from netc.backends.cuda.source import Kernel
from netc.backends.shared.aliases import concat_offsets
from netc.backends.shared.layout import c_strides, has_channels, stored_strides
from netc.backends.shared.views import View, moved
from netc.ir.graph import Node
from netc.ir.types import Shape, canonical_axis, count
from netc.ops.array import AnyArray
from netc.ops.catalog import CATALOG
from netc.ops.joining import ConcatParams, SliceParams

_TABLE = 1 << 24  # elements up to which a table of places is kept
Strides = Sequence[int]
Lying = tuple[View, Strides, int]  # how a value lies: with which strides, from which element on


def emit_concat(emission: CudaEmitContext, node: Node) -> Steps | None:
    """Copies of the parts that were not produced in their place."""
    output = node.outputs[0]
    placed = concat_offsets(emission.graph, node) is not None
    steps = Steps()
    for shape, part, place in _apart(emission, node, output, node.inputs, placed):
        steps += _copy(emission, node.name, shape, part, place)
    return steps


def emit_slice(emission: CudaEmitContext, node: Node) -> Steps | None:
    """Copies of the parts that do not lie inside the input."""
    value = node.inputs[0]
    placed = produced_view_offsets(emission.graph, node) is not None
    steps = Steps()
    for shape, part, place in _apart(emission, node, value, node.outputs, placed):
        steps += _copy(emission, node.name, shape, place, part)
    return steps


def _apart(
    emission: CudaEmitContext, node: Node, whole: str, values: Sequence[str], placed: bool
) -> Iterator[tuple[Shape, Lying, Lying]]:
    """The parts of ``whole``, along the node's axis, that are not already stored inside it.

    Args:
        emission: what has been emitted.
        node: a Concat or a Slice.
        whole: the value that the others are parts of.
        values: the parts, in order.
        placed: whether the plan lets parts lie in the whole.

    Yields:
        A part's shape, how it lies, and how its place in the whole does.
    """
    graph, view = emission.graph, emission.view(whole)
    strides = stored_strides(graph.shape(whole), view)
    axis = canonical_axis(node.params_as(ConcatParams, SliceParams).axis, len(strides))
    start = 0
    for value in values:
        shape, part = graph.shape(value), emission.view(value)
        if not placed or part != view.channels(start, start + part.c):
            yield (
                shape,
                (part, stored_strides(shape, part), 0),
                (view, strides, start * strides[axis]),
            )
        start += shape[axis]


def emit_reshape(emission: CudaEmitContext, node: Node) -> Steps | None:
    """No step where the output lies as the input does; else a copy in the order of elements."""
    graph = emission.graph
    value, output = node.inputs[0], node.outputs[0]
    x, y = emission.view(value), emission.view(output)
    if x.place == y.place:
        return []
    before, after = graph.shape(value), graph.shape(output)
    if _in_order(after, y):
        shape = before
    elif _in_order(before, x):
        shape = after
    else:
        return emit_gather(emission, node)
    source = stored_strides(before, x) if shape is before else c_strides(shape)
    target = stored_strides(after, y) if shape is after else c_strides(shape)
    return _copy(emission, node.name, shape, (x, source, 0), (y, target, 0))


def _in_order(shape: Shape, view: View) -> bool:
    """True if a value's elements lie one after another, in its own order."""
    if not has_channels(shape):
        return True
    return view.h * view.w == 1 and view.ld == view.c


def _copy(
    emission: CudaEmitContext,
    name: str,
    shape: Shape,
    source: Lying,
    target: Lying,
) -> Steps:
    """Elements of a shape, from one place with its strides to another."""
    (x, own, start), (y, others, end) = source, target
    if count(shape) == 0:
        return []
    sizes, (from_x, to_y) = merged(shape, own, others)
    precision = emission.precision.text
    kernel = copy_kernel(precision, precision)
    places = (moved(x.place, start), moved(y.place, end))
    arguments = (*places, count(shape), *sizes[1:], *map(Int64, from_x), *map(Int64, to_y))
    grid = blocks(count(shape))
    return [Launch(name, kernel, grid, THREADS, arguments, (x,), (y,))]


def copy_kernel(source: str, target: str) -> Kernel:
    """The copying kernel between two types of elements."""
    return Kernel("copy", (), (("source_t", source), ("target_t", target)))


def image_kernel(source: str, target: str) -> Kernel:
    """The kernel that makes pixels of four numbers from images of three colours."""
    return Kernel("image", (), (("source_t", source), ("target_t", target)))


def merged(
    shape: Shape, own: Strides, others: Strides
) -> tuple[list[int], tuple[list[int], list[int]]]:
    """Four sizes and the strides of both sides: axes that follow each other in both are joined.

    The last has the target's smallest stride. Axes may be reordered, since a copy may go in any
    order.

    Raises:
        ValueError: more than four axes are left.
    """
    axes = [axis for axis in zip(shape, own, others, strict=True) if axis[0] != 1]
    axes.sort(key=lambda axis: -axis[2])
    found: list[tuple[int, int, int]] = []
    for size, a, b in axes:
        if found and found[-1][1] == size * a and found[-1][2] == size * b:
            found[-1] = (found[-1][0] * size, a, b)
        else:
            found.append((size, a, b))
    if len(found) > 4:
        raise ValueError(f"{len(found)} axes in a copy")
    found = [(1, 0, 0)] * (4 - len(found)) + found
    return [f[0] for f in found], ([f[1] for f in found], [f[2] for f in found])


def emit_gather(emission: CudaEmitContext, node: Node) -> Steps | None:
    """A layer that puts elements, or zeros, in other places: by a table of where each is from.

    The table is what the layer's definition makes of the elements' places.
    """
    graph, output = emission.graph, node.outputs[0]
    if len(node.outputs) != 1 or count(graph.shape(output)) > _TABLE:
        return None
    places = [_places(emission, value, first=i == 0) for i, value in enumerate(node.inputs)]
    if count(graph.shape(node.inputs[0])) > _TABLE:
        return None
    (result,) = CATALOG[node.op].reference(node.params, places, ())
    if result.dtype.kind not in "iu":
        return None
    x, y = emission.view(node.inputs[0]), emission.view(output)
    table = np.ascontiguousarray(_stored(result) - 1, np.int32).reshape(-1)
    arguments = (x.place, table, y.place, y.ld, y.c, y.count)
    return element_launch(emission, node.name, "gather", {}, arguments, y.count, [x], [y])


def _places(emission: CudaEmitContext, value: str, first: bool) -> AnyArray:
    """1 + where each element of a value lies; of a value that only lends its shape, zeros."""
    shape = emission.graph.shape(value)
    if not first:
        return np.zeros(shape, np.int64)
    strides = stored_strides(shape, emission.view(value))
    places = np.ones(shape, np.int64)
    for axis, (size, stride) in enumerate(zip(shape, strides, strict=True)):
        along = np.arange(size, dtype=np.int64) * stride
        places += along.reshape(-1, *(1,) * (len(shape) - axis - 1))
    return places


def _stored(array: AnyArray) -> AnyArray:
    """An array's elements in the order in which they are stored."""
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array
