"""Gradient of CompactBilinear."""

from __future__ import annotations

import numpy as np

from netc.ops.array import AnyArray, Arrays
from netc.ops.forks.compact_bilinear import (
    COMPACT_BILINEAR,
    CompactBilinearParams,
    frequencies,
    sketches,
    summed,
)
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of


def _compact(params: CompactBilinearParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """The top's gradient correlated with the other map's sketch, read at each channel's place."""
    shape, other = saved.shapes[index], np.asarray(saved.inputs[1 - index])
    pair = sketches(params.num_output, saved.shapes[0][1], saved.shapes[1][1])
    top = np.asarray(tops[0]).reshape(shape[0], params.num_output, -1).transpose(0, 2, 1)
    arrived = np.fft.rfft(top, axis=2)  # of all places one, where they were summed
    slope = summed(params, arrived * frequencies(params, pair[1 - index], other).conj(), other)
    own = pair[index]
    made: AnyArray = slope.transpose(0, 2, 1)[:, own.place] * own.sign[:, None].astype(other.dtype)
    return made.reshape(shape)


def _other(params: CompactBilinearParams, index: int, bottoms: int) -> Reads:
    return Reads(inputs=(1 - index,))


GRADIENTS = gradients(of(COMPACT_BILINEAR, Gradient(_compact, _other, host=True)))
