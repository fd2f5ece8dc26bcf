"""Gradients of Interp and Upsample (interp_layer.cpp, upsample_layer.cpp)."""

from __future__ import annotations

import numpy as np

from netc.ir.types import count
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.forks.resizing import INTERP, InterpParams, neighbours
from netc.ops.forks.sized_upsampling import UPSAMPLE_SIZED, SizedUpsampleParams, nearest
from netc.ops.forks.upsampling import UPSAMPLE, UpsampleParams
from netc.ops.gradients.define import NOTHING, Gradient, Reads, Saved, gradients, of


def _interp(params: InterpParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Each new element's gradient goes to its two neighbours along each axis, by their shares."""
    top, shape = tops[0], saved.shapes[0]
    begin, end = params.crop
    seen = [size - begin - end for size in shape[2:]]
    inner = _apart(_apart(top, seen[0], 2), seen[1], 3)
    if not any(params.crop):
        return inner
    whole = namespace(top).zeros(shape, dtype=top.dtype)
    whole[:, :, begin : shape[2] - end, begin : shape[3] - end] = inner
    return whole


def _apart(top: AnyArray, seen: int, axis: int) -> AnyArray:
    """One axis of ``seen`` elements that was resized: a product with the shares."""
    made = top.shape[axis]
    if made == seen:
        return top
    xp = namespace(top)
    shares = xp.asarray(_shares(seen, made).astype(top.dtype))
    return xp.moveaxis(xp.moveaxis(top, axis, -1) @ shares, -1, axis)


def _shares(seen: int, made: int) -> AnyArray:
    """How much each new element takes of each old one: made x seen."""
    low, share = neighbours(seen, made)
    shares, rows = np.zeros((made, seen)), np.arange(made)
    np.add.at(shares, (rows, low), 1 - share)
    np.add.at(shares, (rows, np.minimum(low + 1, seen - 1)), share)
    return shares


def _upsample(params: UpsampleParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """The sum of the copies' gradients; with a mask that of the place an element was put at."""
    top, shape = tops[0], saved.shapes[0]
    if params.masked:
        xp = namespace(top)
        where = saved.inputs[1].astype(np.int64).reshape(-1, count(shape, 2))
        planes = top.reshape(len(where), count(top.shape, 2))
        return xp.take_along_axis(planes, where, axis=1).reshape(shape)
    high, wide = params.scale
    blocks = top.reshape(*shape[:-2], shape[-2], high, shape[-1], wide)
    result: AnyArray = blocks.sum(axis=(-3, -1))
    return result


def _sized(params: SizedUpsampleParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """The sum of the copies' gradients."""
    top, shape = tops[0], saved.shapes[0]
    for axis in (-2, -1):
        seen, made = shape[axis], top.shape[axis]
        copies = np.zeros((made, seen), top.dtype)
        copies[np.arange(made), nearest(seen, made)] = 1
        xp = namespace(top)
        top = xp.moveaxis(xp.moveaxis(top, axis, -1) @ xp.asarray(copies), -1, axis)
    return top


def _reads(params: UpsampleParams, index: int, bottoms: int) -> Reads:
    return Reads(inputs=(1,)) if params.masked else NOTHING


GRADIENTS = gradients(
    of(INTERP, Gradient(_interp)),
    of(UPSAMPLE_SIZED, Gradient(_sized, ignored=(1,))),
    of(UPSAMPLE, Gradient(_upsample, _reads, ignored=(1,))),
)
