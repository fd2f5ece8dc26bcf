"""Gradients of SpatialTransformer, STLoss and LocLoss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netc.ops.array import AnyArray, Arrays
from netc.ops.forks.spatial_transformer import (
    SPATIAL_TRANSFORMER,
    TransformerParams,
    corners,
    free_places,
    grid,
    sampled,
)
from netc.ops.forks.transformer_parts import (
    LOC_LOSS,
    POWER_FILE,
    ST_LOSS,
    LocLossParams,
    MapLossParams,
    beyond,
    map_places,
)
from netc.ops.gradients.define import INPUT, Gradient, Reads, Saved, alias, gradients, of
from netc.ops.gradients.loss import scaled


def _transform(params: TransformerParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    data, theta = (np.asarray(array) for array in saved.inputs)
    shape = tops[0].shape
    top = tops[0].reshape(*shape[:2], -1).astype(np.float64)
    found = corners(params, theta, data.shape, shape)
    if index == 0:
        made = np.zeros((*data.shape[:2], data.shape[2] * data.shape[3]))
        for corner in found:
            weight = corner.down * corner.right * corner.inside
            for image in range(len(data)):
                for channel in range(data.shape[1]):
                    row = top[image, channel] * weight[image]
                    np.add.at(made[image, channel], corner.place[image], row)
        return made.astype(data.dtype).reshape(data.shape)
    slopes = np.zeros((len(data), 2, top.shape[2]))
    for corner in found:
        pull = (top * sampled(data, corner)).sum(axis=1)
        slopes[:, 0] += corner.signs[0] * corner.right * pull * data.shape[2] / 2
        slopes[:, 1] += corner.signs[1] * corner.down * pull * data.shape[3] / 2
    by_theta = np.einsum("nrp,pk->nrk", slopes, grid(*shape[2:])).reshape(len(data), 6)
    result: AnyArray = by_theta[:, free_places(params)].astype(theta.dtype).reshape(theta.shape)
    return result


def _unpassed(params: TransformerParams, bottoms: int) -> Sequence[int]:
    return () if params.passes else (0,)


def _map_loss(params: MapLossParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    theta = saved.inputs[0]
    far = beyond(map_places(params, theta))
    slopes = np.einsum("nrp,pk->nrk", far, grid(params.height, params.width))
    return scaled(slopes, tops[0], theta.dtype.type(far.shape[0] * far.shape[2]), theta)


def _loc_loss(params: LocLossParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    x = saved.inputs[0]
    far = params.threshold * beyond(x.astype(np.float64) / params.threshold)
    return scaled(far, tops[0], x.dtype.type(x.size), x)


GRADIENTS = gradients(
    of(
        SPATIAL_TRANSFORMER,
        Gradient(_transform, Reads(inputs=(0, 1)), ignored=_unpassed, host=True),
    ),
    of(ST_LOSS, Gradient(_map_loss, INPUT, host=True)),
    of(LOC_LOSS, Gradient(_loc_loss, INPUT, host=True)),
    of(POWER_FILE, Gradient(build=alias)),
)
