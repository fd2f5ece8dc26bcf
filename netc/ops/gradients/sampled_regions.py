"""Gradients of ROIAlignment and the ROIAligns with ``roi_align_param``; by the regions it is 0."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from netc.ops.array import AnyArray, Arrays
from netc.ops.detection.region_alignment import ROI_ALIGNMENT, centre_cells
from netc.ops.detection.sampled_regions import (
    GREATEST,
    MEAN,
    Cell,
    RegionSampleParams,
    greatest_cells,
    mean_cells,
    weighted,
)
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of


def _by_map(cells: Callable[[AnyArray], Iterator[Cell]], saved: Saved, top: AnyArray) -> AnyArray:
    shape, regions = saved.shapes[0], np.asarray(saved.inputs[1])
    data = saved.inputs[0]
    flat = None if data is None else np.asarray(data).reshape(*shape[:2], -1)
    grads = np.zeros((shape[0], shape[1], shape[2] * shape[3]), top.dtype)
    for cell in cells(regions.reshape(len(regions), 5)):
        own = top[cell.region, :, cell.row, cell.column]
        grads[cell.image][:, cell.places] += own[:, None] * _shares(cell, flat, top)
    return grads.reshape(shape)


def _shares(cell: Cell, flat: AnyArray | None, top: AnyArray) -> AnyArray:
    """The weights of each channel's greatest weighting; of the only one where there is one."""
    if flat is None:
        return cell.weights.astype(top.dtype)
    sums = weighted(cell, flat)
    shares: AnyArray = cell.weights[sums.argmax(axis=1)].astype(top.dtype)
    if cell.empty:
        shares = shares * (sums.max(axis=1) > 0)[:, None]
    return shares


def _greatest(params: RegionSampleParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Each cell's gradient goes to the elements of its greatest weighting."""
    shape = saved.shapes[0]
    return _by_map(lambda rows: greatest_cells(params, shape, rows), saved, tops[0])


def _mean(params: RegionSampleParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    shape = saved.shapes[0]
    return _by_map(lambda rows: mean_cells(params, shape, rows), saved, tops[0])


def _centre(params: RegionSampleParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """As Caffe's: nothing reaches elements that lie more than one beside their region."""
    shape = saved.shapes[0]

    def near(regions: AnyArray) -> Iterator[Cell]:
        for cell in centre_cells(params, shape, regions):
            x0, y0, x1, y1 = regions[cell.region, 1:] * np.float32(params.spatial_scale)
            y, x = np.divmod(cell.places, shape[3])
            kept = (x >= x0 - 1) & (x <= x1 + 1) & (y >= y0 - 1) & (y <= y1 + 1)
            yield cell._replace(places=cell.places[kept], weights=cell.weights[:, kept])

    return _by_map(near, saved, tops[0])


GRADIENTS = gradients(
    of(GREATEST, Gradient(_greatest, Reads(inputs=(0, 1)), ignored=(1,), host=True)),
    of(MEAN, Gradient(_mean, Reads(inputs=(1,)), ignored=(1,), host=True)),
    of(ROI_ALIGNMENT, Gradient(_centre, Reads(inputs=(1,)), ignored=(1,), host=True)),
)
