"""Questions about sliding windows that several passes ask."""

from __future__ import annotations

from netc.ir.types import Shape
from netc.ops.pooling import PoolingParams, pooling_axes


def averages_inside(params: PoolingParams, shape: Shape) -> bool:
    """True if an average pooling of such a value averages elements of it and nothing else.

    Padding counts as elements of value zero. Without padding a window at the far edge is cut to
    the input; one that begins beyond it averages nothing.
    """
    axes = pooling_axes(params, shape)
    return all(axis.pad == 0 and (axis.out - 1) * axis.stride < axis.size for axis in axes)
