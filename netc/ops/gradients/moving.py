"""Gradients of layers that join, cut, reshape, reorder and select: each element goes back to its
place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np

from netc.ir.graph import Node
from netc.ir.types import count
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.cropping import CROP, CROP_CENTER, CropCenterParams, CropParams, crop_offsets
from netc.ops.detection.priors import PRIOR_BOX
from netc.ops.detection.proposal import PROPOSAL
from netc.ops.elementwise import EltwiseParams
from netc.ops.forks.permutation import (
    PERMUTE,
    REORG,
    SHUFFLE_CHANNEL,
    PermuteParams,
    ReorgParams,
    ShuffleChannelParams,
    permutation,
)
from netc.ops.forks.sequence import CONTINUATION_INDICATOR, REVERSE
from netc.ops.gradients.define import (
    NOTHING,
    Build,
    Gradient,
    Reads,
    Saved,
    every_bottom,
    gradients,
    of,
)
from netc.ops.inputs import PARAMETER, ParameterParams
from netc.ops.joining import CONCAT, SLICE, SPLIT, ConcatParams, SliceParams
from netc.ops.reduction import REDUCTION, ReductionParams
from netc.ops.reshaping import (
    FLATTEN,
    RESHAPE,
    TILE,
    FlattenParams,
    ReshapeParams,
    TileParams,
)
from netc.ops.selection import BATCH_REINDEX, FILTER

Tops = Sequence[str | None]


def _only(tops: Tops) -> str:
    top = tops[0]
    assert top is not None
    return top


def _concat(build: Build, node: Node, tops: Tops, wanted: Sequence[int]) -> Mapping[int, str]:
    """The top's gradient, cut where the bottoms were joined: a run tells where, of loose ones."""
    if len(node.inputs) == 1:
        return {0: _only(tops)}
    if any(map(build.loose, node.inputs)):
        return {}
    params = node.params_as(ConcatParams)
    shapes = [build.shape(value) for value in node.inputs]
    axis = params.axis % len(shapes[0])
    ends = tuple(accumulate(shape[axis] for shape in shapes))
    if not all(shape[axis] for shape in shapes):  # a Slice has no empty parts
        return {}
    cut = SliceParams(axis, ends[:-1], len(ends))
    return dict(enumerate(build.node("Slice", cut, (_only(tops),))))


def _part(params: ConcatParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    axis = params.axis % tops[0].ndim
    start = sum(shape[axis] for shape in saved.shapes[:index])
    where = (slice(None),) * axis + (slice(start, start + saved.shapes[index][axis]),)
    return tops[0][where]


def _slice(build: Build, node: Node, tops: Tops, wanted: Sequence[int]) -> Mapping[int, str]:
    """The tops' gradients joined again, zeros where none arrives."""
    parts = [
        build.zeros(value) if top is None else top
        for top, value in zip(tops, node.outputs, strict=True)
    ]
    if len(parts) == 1:
        return {0: parts[0]}
    axis = node.params_as(SliceParams).axis % len(build.shape(node.inputs[0]))
    return {0: build.node("Concat", ConcatParams(axis), parts)[0]}


def _split(build: Build, node: Node, tops: Tops, wanted: Sequence[int]) -> Mapping[int, str]:
    """The sum of the copies' gradients (split_layer.cpp)."""
    arrived = [top for top in tops if top is not None]
    if len(arrived) == 1:
        return {0: arrived[0]}
    return {0: build.node("Eltwise", EltwiseParams(), arrived)[0]}


def _reshape(build: Build, node: Node, tops: Tops, wanted: Sequence[int]) -> Mapping[int, str]:
    """The top's gradient in the bottom's shape."""
    top, shape = _only(tops), build.shape(node.inputs[0])
    if build.loose(node.inputs[0]):
        return {}
    if build.shape(top) == shape:
        return {0: top}
    return {0: build.node("Reshape", ReshapeParams(shape), (top,))[0]}


def _in_shape(
    params: FlattenParams | ReshapeParams, saved: Saved, tops: Arrays, index: int
) -> AnyArray:
    return tops[0].reshape(saved.shapes[0])


def _tile(params: TileParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """The sum of the copies' gradients."""
    shape = saved.shapes[0]
    axis = params.axis % len(shape)
    copies = tops[0].reshape(*shape[:axis], params.tiles, *shape[axis:])
    result: AnyArray = copies.sum(axis=axis)
    return result


def _crop(
    params: CropParams | CropCenterParams, saved: Saved, tops: Arrays, index: int
) -> AnyArray:
    """The top's gradient at its place, zeros around it."""
    top, shape = tops[0], saved.shapes[0]
    starts = crop_offsets(params, shape)
    whole = namespace(top).zeros(shape, dtype=top.dtype)
    whole[tuple(slice(a, a + size) for a, size in zip(starts, top.shape, strict=True))] = top
    return whole


def _permute(build: Build, node: Node, tops: Tops, wanted: Sequence[int]) -> Mapping[int, str]:
    order = permutation(node.params_as(PermuteParams), len(build.shape(node.inputs[0])))
    back = tuple(order.index(axis) for axis in range(len(order)))
    return {0: build.node("Permute", PermuteParams(back), (_only(tops),))[0]}


def _shuffle(build: Build, node: Node, tops: Tops, wanted: Sequence[int]) -> Mapping[int, str]:
    """Dealt out into as many groups as there were members."""
    members = build.shape(node.inputs[0])[1] // node.params_as(ShuffleChannelParams).group
    if members == 0:
        return {0: _only(tops)}
    return {0: build.node("ShuffleChannel", ShuffleChannelParams(members), (_only(tops),))[0]}


def _reorg(params: ReorgParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Each element goes back where the forward pass took it from."""
    top, shape = tops[0], saved.shapes[0]
    xp = namespace(top)
    (places,) = REORG.reference(params, [xp.arange(count(shape)).reshape(shape)], ())
    back = xp.empty(count(shape), dtype=top.dtype)
    back[places.reshape(-1)] = top.reshape(-1)
    return back.reshape(shape)


def _reverse(build: Build, node: Node, tops: Tops, wanted: Sequence[int]) -> Mapping[int, str]:
    return {0: build.node("Reverse", node.params, (_only(tops),))[0]}


def _reindex(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """An item's gradient is the sum over the places it was put at (batch_reindex_layer.cpp)."""
    xp = namespace(tops[0])
    items = xp.zeros(saved.shapes[0], dtype=tops[0].dtype)
    xp.add.at(items, saved.inputs[1].astype(np.int64), tops[0])
    return items


def _filter(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """The selected items' gradients at their places, zeros elsewhere (filter_layer.cpp)."""
    xp, top = namespace(tops[index]), tops[index]
    items = xp.zeros(saved.shapes[index], dtype=top.dtype)
    items[xp.flatnonzero(saved.inputs[-1])] = top
    return items


def _last(params: None, bottoms: int) -> Sequence[int]:
    return (bottoms - 1,)


def _reads_last(params: None, index: int, bottoms: int) -> Reads:
    return Reads(inputs=(bottoms - 1,))


def _reduction(params: ReductionParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """dy * coeff, times the sign or twice the value where it was the sum of those."""
    shape, kind = saved.shapes[0], tops[0].dtype.type
    kept = params.axis % len(shape)
    factor = kind(params.coeff)
    if params.operation == "MEAN":
        factor = factor / kind(count(shape, kept))
    spread = (tops[0] * factor).reshape(*shape[:kept], *(1,) * (len(shape) - kept))
    xp, x = namespace(tops[0]), saved.inputs[0]
    if params.operation == "ASUM":
        result: AnyArray = xp.sign(x) * spread
        return result
    if params.operation == "SUMSQ":
        result = 2 * x * spread
        return result
    return xp.broadcast_to(spread, shape).copy()


def _reads_reduced(params: ReductionParams, index: int, bottoms: int) -> Reads:
    return Reads(inputs=(0,)) if params.operation in ("ASUM", "SUMSQ") else NOTHING


def _parameter(params: ParameterParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    return tops[0]


# Layers whose tops depend on shapes alone, or whose backward pass does nothing in Caffe.
_NONE = Gradient(ignored=every_bottom)

GRADIENTS = gradients(
    of(CONCAT, Gradient(_part, build=_concat)),
    of(SLICE, Gradient(build=_slice)),
    of(SPLIT, Gradient(build=_split)),
    of(FLATTEN, Gradient(_in_shape, build=_reshape)),
    of(RESHAPE, Gradient(_in_shape, build=_reshape)),
    of(TILE, Gradient(_tile)),
    of(CROP, Gradient(_crop, ignored=(1,))),
    of(CROP_CENTER, Gradient(_crop)),
    of(PERMUTE, Gradient(build=_permute)),
    of(SHUFFLE_CHANNEL, Gradient(build=_shuffle)),
    of(REORG, Gradient(_reorg)),
    of(REVERSE, Gradient(build=_reverse)),
    of(BATCH_REINDEX, Gradient(_reindex, Reads(inputs=(1,)), stops=(1,))),
    of(FILTER, Gradient(_filter, _reads_last, stops=_last, paired=True)),
    of(REDUCTION, Gradient(_reduction, _reads_reduced)),
    of(PARAMETER, Gradient(weight=_parameter)),
    of(PRIOR_BOX, _NONE),
    of(PROPOSAL, _NONE),
    of(CONTINUATION_INDICATOR, _NONE),
)
