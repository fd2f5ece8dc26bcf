"""The gradient of EuclideanLossWithIgnore: 0 for items that do not count, and for flags.

With `is_normalized` the source scales memory beyond its buffer and multiplies where it should
divide: there is no gradient to give.
"""

from __future__ import annotations

import numpy as np

from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.forks.flagged_loss import FLAGGED_LOSS, FlaggedParams, flagged
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of
from netc.ops.gradients.loss import scaled


@np.errstate(all="ignore")
def _flagged(params: FlaggedParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """The differences over the number of items that count, the negative by their targets."""
    own = saved.inputs[index]
    rows, target, counts = flagged(saved.inputs)
    xp = namespace(own)
    slope = xp.where(counts[:, None], rows - target, 0)
    if index == 1:
        ends = xp.zeros((len(own), own.size // max(1, len(own)) - rows.shape[1]), own.dtype)
        slope = xp.concatenate([-slope, ends], axis=1)
    return scaled(slope, tops[0], xp.maximum(counts.sum(), 1).astype(own.dtype), own)


def _available(params: FlaggedParams) -> bool:
    return params.norm is None


GRADIENTS = gradients(
    of(FLAGGED_LOSS, Gradient(_flagged, Reads(inputs=(0, 1)), available=_available)),
)
