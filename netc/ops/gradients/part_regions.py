"""Gradients of PSROIAlign and DeformablePSROIPooling; those by the regions are 0.

The fork's gradient of PSROIAlign passes over a bin's last elements; here it goes back to exactly
the elements that a bin was made of.
"""

from __future__ import annotations

import numpy as np

from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.detection.deformable_regions import (
    DEFORMABLE_PSROI,
    DeformablePartParams,
    MovedBins,
    by_class,
    moved_bins,
)
from netc.ops.detection.part_regions import PSROI_ALIGN, PartParams, aligned_lines, by_bin, image_of
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of, reads_all


@quietly
def _align(params: PartParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    shape, regions = saved.shapes[0], np.asarray(saved.inputs[1])
    grads = np.zeros(shape, tops[0].dtype)
    for top, region in zip(tops[0], regions.reshape(len(regions), 5), strict=True):
        down, across = aligned_lines(params, shape, region)
        own = by_bin(grads[image_of(region, shape[0])], params)
        own += np.einsum("ih,cij,jw->cijhw", down, top, across, optimize=True)
    return grads


@quietly
def _deform(params: DeformablePartParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    data, grads = saved.inputs[0], np.zeros(saved.shapes[index], tops[0].dtype)
    for at, bins in enumerate(moved_bins(params, saved.inputs)):
        classes = len(bins.rows.shares)
        top = tops[0][at].reshape(classes, -1, *tops[0].shape[2:])
        if index == 0:
            own = by_class(grads[bins.image], params, classes)
            rows, columns = bins.rows.shares, bins.columns.shares
            own += np.einsum("kijh,kcij,kijw->kcijhw", rows, top, columns, optimize=True)
        else:
            _move(params, bins, by_class(np.asarray(data)[bins.image], params, classes), top,
                  grads[at].reshape(classes, 2, params.part_size, params.part_size))  # fmt: skip
    return grads


def _move(
    params: DeformablePartParams, bins: MovedBins, own: AnyArray, top: AnyArray, out: AnyArray
) -> None:
    """Add the gradients by how far a region's bins move, (classes, 2, parts, parts), x before y."""
    table = "kijh,kcijhw,kijw,kcij->kij"
    sides = (
        (bins.rows.shares, bins.columns.slopes, bins.sides[1]),
        (bins.rows.slopes, bins.columns.shares, bins.sides[0]),
    )
    for which, (rows, columns, side) in enumerate(sides):
        pull = np.einsum(table, rows, own, columns, top, optimize=True)
        pull = pull * top.dtype.type(params.deviation * side)
        for i, j in np.ndindex(*pull.shape[1:]):
            out[:, which, bins.part[i], bins.part[j]] += pull[:, i, j]


GRADIENTS = gradients(
    of(PSROI_ALIGN, Gradient(_align, Reads(inputs=(1,)), ignored=(1,), host=True)),
    of(DEFORMABLE_PSROI, Gradient(_deform, reads_all, ignored=(1,), host=True)),
)
