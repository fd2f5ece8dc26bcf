"""What each window of a pooling gives: the maximum, sum, average or a drawn element.

pooling_layer.cpp and, for STOCHASTIC, pooling_layer.cu. Blobs are (num, channels, height, width),
``axes`` the window along height and width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netc.numeric import np
from netc.ops.array import AnyArray, namespace
from netc.ops.window import Axis, last_axes, taps

_LOWEST = -(2 - 2.0**-23) * 2.0**127  # -FLT_MAX, what the largest of nothing is


def _slide(
    x: AnyArray, axis: Axis, dim: int, start: float, join: Callable[[AnyArray, AnyArray], AnyArray]
) -> AnyArray:
    """Join what each window along one axis sees, in order, beginning with ``start``."""
    shape = (*x.shape[:dim], axis.out, *x.shape[dim + 1 :])
    result = namespace(x).full(shape, start, dtype=x.dtype)
    before = (slice(None),) * dim
    for tap in axis.taps():
        seen = (*before, tap.outputs)
        result[seen] = join(result[seen], x[(*before, tap.inputs)])
    return result


def largest(x: AnyArray, axes: Sequence[Axis]) -> AnyArray:
    """The maximum of each window; NaN is passed over, and an empty window gives -FLT_MAX."""
    xp = namespace(x)

    def join(best: AnyArray, seen: AnyArray) -> AnyArray:
        return xp.where(seen > best, seen, best)

    rows = _slide(x, axes[1], 3, _LOWEST, join)
    return _slide(rows, axes[0], 2, _LOWEST, join)


def largest_and_where(x: AnyArray, axes: Sequence[Axis]) -> tuple[AnyArray, AnyArray]:
    """The maximum of each window and the index of the first one in its plane, -1 for none."""
    xp = namespace(x)
    high, wide = axes
    index = xp.broadcast_to(xp.arange(high.size * wide.size).reshape(x.shape[2:]), x.shape)
    best, where = _larger(x, index, wide, 3)
    best, where = _larger(best, where, high, 2)
    return best, where.astype(x.dtype)


def _larger(x: AnyArray, index: AnyArray, axis: Axis, dim: int) -> tuple[AnyArray, AnyArray]:
    xp = namespace(x)
    shape = (*x.shape[:dim], axis.out, *x.shape[dim + 1 :])
    best = xp.full(shape, _LOWEST, dtype=x.dtype)
    where = xp.full(shape, -1, dtype=index.dtype)
    before = (slice(None),) * dim
    for tap in axis.taps():
        outputs, inputs = (*before, tap.outputs), (*before, tap.inputs)
        larger = x[inputs] > best[outputs]
        where[outputs] = xp.where(larger, index[inputs], where[outputs])
        best[outputs] = xp.where(larger, x[inputs], best[outputs])
    return best, where


def summed(x: AnyArray, axes: Sequence[Axis]) -> AnyArray:
    """The sum of each window's elements; padding adds nothing."""
    add = namespace(x).add
    return _slide(_slide(x, axes[1], 3, 0, add), axes[0], 2, 0, add)


def average(x: AnyArray, axes: Sequence[Axis]) -> AnyArray:
    """The sum of each window, divided by its elements in the input and the padding around it.

    A window that starts beyond the input sums nothing over an area that C counts as zero or
    negative; the result is NaN or -0, as there.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return summed(x, axes) / areas(axes, x)


def areas(axes: Sequence[Axis], like: AnyArray) -> AnyArray:
    """Elements of each window in the input and its padding: (height, width), ``like``'s dtype."""
    xp = namespace(like)
    high, wide = (xp.asarray(_lengths(axis)) for axis in axes)
    return (high[:, None] * wide[None, :]).astype(like.dtype)


def _lengths(axis: Axis) -> AnyArray:
    """Elements of each window up to the end of the padding (before it is cut to the input)."""
    starts = np.arange(axis.out, dtype=np.int64) * axis.stride - axis.pad
    ends = np.minimum(starts + axis.kernel, axis.size + axis.pad)
    return ends - starts


def expected(x: AnyArray, axes: Sequence[Axis]) -> AnyArray:
    """What STOCHASTIC gives in TEST: sum of squares over sum of each window (pooling_layer.cu)."""
    xp = namespace(x)
    total, squares = summed(x, axes), summed(x * x, axes)
    positive = total > 0
    return xp.where(positive, squares / xp.where(positive, total, 1), 0).astype(x.dtype)


def drawn_and_where(
    x: AnyArray, axes: Sequence[Axis], share: AnyArray
) -> tuple[AnyArray, AnyArray]:
    """What STOCHASTIC gives in TRAIN: an element of each window, drawn by its value as its weight.

    ``share`` in [0, 1), in the top's shape, says how far up the window's running sum the element
    lies (pooling_layer.cu). The second array has its index in its plane, -1 where there is none.
    """
    xp = namespace(x)
    total = summed(x, axes)
    threshold: AnyArray = share * total
    index = xp.arange(x.shape[2] * x.shape[3]).reshape(x.shape[2:])
    running, drawn = xp.zeros_like(total), xp.zeros_like(total)
    where = xp.full(total.shape, -1, dtype=index.dtype)
    for tap in taps(axes):
        outputs = last_axes(tap.outputs)
        seen = x[last_axes(tap.inputs)]
        running[outputs] += seen
        now = (where[outputs] < 0) & (running[outputs] >= threshold[outputs])
        drawn[outputs] = xp.where(now, seen, drawn[outputs])
        where[outputs] = xp.where(now, index[tap.inputs], where[outputs])
    return drawn, where
