"""The bins that regions are pooled in: which elements of a map each covers, and their greatest."""

from __future__ import annotations

from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError
from netc.numeric import np
from netc.ops.array import AnyArray


class Bins(NamedTuple):
    """The image of each region, and the first row and column of each bin and those behind its last.

    ``images`` is (regions,), the others are (regions, bins), all integers.
    """

    images: AnyArray
    rows: tuple[AnyArray, AnyArray]
    columns: tuple[AnyArray, AnyArray]


def images_of(regions: AnyArray, images: int) -> AnyArray:
    """The image of each region.

    Raises:
        NetcError: region-out-of-range, for an image that is not in the batch.
    """
    index = regions[:, 0]
    wrong = ~((index > -1) & (index < images))
    if wrong.any():
        raise not_in_batch(float(index[wrong][0]), images)
    return index.astype(np.int64)


def not_in_batch(image: float, images: int) -> NetcError:
    """The error region-out-of-range, to be raised, for a region of an image that is not there."""
    return NetcError(
        Diagnostic(
            "region-out-of-range", f"a region is of image {image:g}, and the batch has {images}"
        )
    )


def rounded(values: AnyArray) -> AnyArray:
    """To the nearest whole number, a half away from 0, as C's ``round``."""
    return np.copysign(np.floor(np.abs(values) + np.float32(0.5)), values)


def bins(start: AnyArray, size: AnyArray, number: int, limit: int) -> tuple[AnyArray, AnyArray]:
    """First and last+1 element of each bin of each region: two (regions, bins) of integers."""
    width = (size / np.float32(number))[:, None]
    at = np.arange(number + 1, dtype=np.float32)
    first = np.floor(at[:-1] * width + start[:, None])
    last = np.ceil(at[1:] * width + start[:, None])
    return _within(first, limit), _within(last, limit)


def _within(edge: AnyArray, limit: int) -> AnyArray:
    result: AnyArray = np.nan_to_num(np.clip(edge, 0, limit)).astype(np.int64)
    return result


def offset_bins(
    start: AnyArray, size: AnyArray, number: int, limit: int
) -> tuple[AnyArray, AnyArray]:
    """Bins whose edges are rounded before the region's whole-number start is added."""
    first, last = bins(np.zeros_like(start), size, number, 2**31)
    return _within(first + start[:, None], limit), _within(last + start[:, None], limit)


def greatest(data: AnyArray, first: AnyArray, last: AnyArray, axis: int) -> AnyArray:
    """The maximum of each range of an axis, -inf for an empty one."""
    pad = [(0, 0)] * data.ndim
    pad[axis] = (0, 1)
    padded = np.pad(data, pad, constant_values=-np.inf)  # so that a range may end at the last
    pairs = np.stack([first, last], axis=1).reshape(-1)
    found = np.maximum.reduceat(padded, pairs, axis=axis).take(range(0, len(pairs), 2), axis)
    empty = (last <= first).reshape([-1 if a == axis else 1 for a in range(data.ndim)])
    return np.where(empty, -np.inf, found)
