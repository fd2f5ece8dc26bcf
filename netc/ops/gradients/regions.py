"""Gradients of ROIPooling, of volumes too, and PSROIPooling (roi_pooling_layer.cu, psroi_...).

The gradient by the regions is 0, as in Caffe.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from netc.ops.array import AnyArray, Arrays
from netc.ops.detection.region_bins import Bins
from netc.ops.detection.regions import (
    PSROI_POOLING,
    ROI_POOLING,
    PSROIPoolingParams,
    ROIPoolingParams,
    psroi_bins,
    roi_bins,
)
from netc.ops.detection.window_pooling import WINDOW_POOLING, WindowPoolingParams, window_bins
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of

_LOWEST = np.finfo(np.float32).min


def _cells(bins: Bins) -> Iterator[tuple[int, int, int, int, slice, slice]]:
    """Each bin that holds elements: region, image, row and column of bins, rows and columns."""
    for at, image in enumerate(bins.images):
        high = list(zip(bins.rows[0][at], bins.rows[1][at], strict=True))
        wide = list(zip(bins.columns[0][at], bins.columns[1][at], strict=True))
        for (i, (y0, y1)), (j, (x0, x1)) in product(enumerate(high), enumerate(wide)):
            if y1 > y0 and x1 > x0:
                yield at, int(image), i, j, slice(y0, y1), slice(x0, x1)


def _roi_pooling(params: ROIPoolingParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Each bin's gradient goes to the first of its greatest elements, channel by channel."""
    data, regions = saved.inputs
    grads = np.zeros(data.shape, dtype=data.dtype)
    channels = np.arange(data.shape[1])
    for at, image, i, j, rows, columns in _cells(roi_bins(params, data.shape, regions)):
        (y, x), found = _first_greatest(data[image, :, rows, columns])
        grads[image, channels, rows.start + y, columns.start + x] += tops[0][at, :, i, j] * found
    return grads


def _window_pooling(
    params: WindowPoolingParams, saved: Saved, tops: Arrays, index: int
) -> AnyArray:
    """As ROIPooling's, of bins in three axes."""
    data, windows = saved.inputs
    grads, channels = np.zeros(data.shape, dtype=data.dtype), np.arange(data.shape[1])
    bins = window_bins(params, data.shape, windows)
    for at, image in enumerate(bins.images):
        for bin in np.ndindex(*tops[0].shape[2:]):
            low = [int(first[at, b]) for (first, _), b in zip(bins.axes, bin, strict=True)]
            high = [int(last[at, b]) for (_, last), b in zip(bins.axes, bin, strict=True)]
            if all(a < b for a, b in zip(low, high, strict=True)):
                seen = data[(image, slice(None), *map(slice, low, high))]
                best, found = _first_greatest(seen)
                place = [a + b for a, b in zip(low, best, strict=True)]
                grads[(image, channels, *place)] += tops[0][(at, slice(None), *bin)] * found
    return grads


def _first_greatest(seen: AnyArray) -> tuple[tuple[AnyArray, ...], AnyArray]:
    """Places of the first greatest element of each channel, and whether there is one.

    Caffe's search begins at the least float and passes over what is not greater.
    """
    flat = np.where(seen > _LOWEST, seen, -np.inf).reshape(len(seen), -1)
    best = flat.argmax(axis=1)
    most = flat[np.arange(len(flat)), best]
    return np.unravel_index(best, seen.shape[1:]), np.isfinite(most) | (most > 0)


def _psroi_pooling(params: PSROIPoolingParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Each bin's gradient, shared out evenly among its elements in the bin's own channels."""
    shape, top, group = saved.shapes[0], tops[0], params.group_size
    grads = np.zeros(shape, dtype=top.dtype)
    by_bin = grads.reshape(shape[0], params.output_dim, group, group, *shape[2:])
    for at, image, i, j, rows, columns in _cells(psroi_bins(params, shape, saved.inputs[1])):
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        share = top[at, :, i, j] / top.dtype.type(area)
        by_bin[image, :, i, j, rows, columns] += share[:, None, None]
    return grads


GRADIENTS = gradients(
    of(ROI_POOLING, Gradient(_roi_pooling, Reads(inputs=(0, 1)), ignored=(1,), host=True)),
    of(
        WINDOW_POOLING,
        Gradient(_window_pooling, Reads(inputs=(0, 1)), ignored=(1,), host=True),
    ),
    of(PSROI_POOLING, Gradient(_psroi_pooling, Reads(inputs=(1,)), ignored=(1,), host=True)),
)
