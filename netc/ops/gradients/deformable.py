"""Gradients of DeformableConvolution by the bottom, the offsets, the weights and the bias."""

from __future__ import annotations

import numpy as np

from netc.ops.array import AnyArray, Arrays
from netc.ops.convolution_params import convolution_axes
from netc.ops.forks.deformable import (
    DEFORMABLE_CONVOLUTION,
    DeformableParams,
    deformed_columns,
    samples,
    taken,
)
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of


def _top(params: DeformableParams, top: AnyArray) -> AnyArray:
    """An image's gradient, (group, outputs of a group, places)."""
    own = params.convolution
    return top.reshape(own.group, own.num_output // own.group, -1)


def _bottom(params: DeformableParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    data, offset = (np.asarray(array) for array in saved.inputs)
    own = params.convolution
    matrix = np.asarray(saved.weights[0]).reshape(own.group, own.num_output // own.group, -1)
    made = np.zeros(saved.inputs[index].shape, np.float64)
    for at in range(len(data)):
        columns = matrix.transpose(0, 2, 1) @ _top(params, tops[0][at])
        columns = columns.reshape(params.groups, data.shape[1] // params.groups, -1)
        for sample in samples(params, data.shape, offset[at]):
            if index == 0:
                _spread(params, columns, sample.place, sample.down * sample.right, made[at])
            else:
                pull = (columns * taken(params, data[at], sample)).sum(axis=1)
                slopes = (sample.by_row * sample.right, sample.down * sample.by_column)
                places = offset.shape[2] * offset.shape[3]
                rows = ((pull * a).reshape(params.groups, -1, places) for a in slopes)
                made[at] += np.stack(list(rows), axis=2).reshape(offset.shape[1:])
    return made.astype(data.dtype)


def _spread(
    params: DeformableParams, columns: AnyArray, place: AnyArray, weight: AnyArray, out: AnyArray
) -> None:
    """Add weighted columns to the elements that they were taken from."""
    flat = out.reshape(params.groups, columns.shape[1], -1)
    for group in range(params.groups):
        for channel, row in enumerate(columns[group] * weight[group]):
            np.add.at(flat[group, channel], place[group], row)


def _weight(params: DeformableParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    top = tops[0]
    if index == 1:
        result: AnyArray = top.sum(axis=(0, 2, 3))
        return result
    data, offset = (np.asarray(array) for array in saved.inputs)
    total: AnyArray = np.zeros(())
    for at in range(len(data)):
        columns = deformed_columns(params, data[at], offset[at])
        total = total + _top(params, top[at]) @ columns.transpose(0, 2, 1)
    own = params.convolution
    kernel = (axis.kernel for axis in convolution_axes(own, data.shape))
    return total.astype(data.dtype).reshape(own.num_output, data.shape[1] // own.group, *kernel)


GRADIENTS = gradients(
    of(
        DEFORMABLE_CONVOLUTION,
        Gradient(
            _bottom,
            Reads(inputs=(0, 1), weights=(0,)),
            _weight,
            Reads(inputs=(0, 1)),
            host=True,
        ),
    ),
)
