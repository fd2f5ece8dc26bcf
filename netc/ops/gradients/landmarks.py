"""Gradients of SubRegion, NormalizePlaces and LabelSpecificRescale of happynear/caffe-windows."""

from __future__ import annotations

import numpy as np

from netc.ir.types import count
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.forks.label_rescale import LABEL_SPECIFIC_RESCALE, RescaleParams, rescaled
from netc.ops.forks.landmarks import SUB_REGION, SubRegionParams, sub_region_places
from netc.ops.forks.normalize_places import NORMALIZE_PLACES, NormalizePlacesParams, norms
from netc.ops.gradients.define import INPUT, Gradient, Reads, Saved, gradients, of


def _sub_region(params: SubRegionParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """Each element of a cut goes back to its place (subregion_layer.cu; the fork's code for CPUs
    writes into the top's gradient)."""
    shape, points = saved.shapes[0], np.asarray(saved.inputs[1])
    items, channels = shape[:2]
    places = sub_region_places(params, shape, points)
    number = places.shape[1]
    cuts = np.asarray(tops[0])
    if params.joined:
        cuts = cuts.reshape(items, number, channels, -1).transpose(0, 2, 1, 3)
    else:
        cuts = cuts.reshape(number, items, channels, -1).transpose(1, 2, 0, 3)
    flat = np.zeros((items, channels, count(shape, 2) + 1), cuts.dtype)
    for item in range(items):
        for channel in range(channels):
            np.add.at(
                flat[item, channel], places[item].reshape(-1), cuts[item, channel].reshape(-1)
            )
    return flat[:, :, :-1].reshape(shape)


@quietly
def _normalize(params: NormalizePlacesParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """(dy - s sum(dy y)) / norm, where s is y (L2) or the bottom's sign (L1); the norms' gradient
    times s besides."""
    x = saved.inputs[0]
    norm = norms(params, x)
    y = x / norm
    way = y if params.squares else namespace(x).sign(x)
    result: AnyArray = namespace(x).zeros_like(x)
    if tops[0] is not None:
        result = (tops[0] - way * (tops[0] * y).sum(axis=1, keepdims=True)) / norm
    if params.norm_learns and len(tops) > 1 and tops[1] is not None:
        result = result + way * tops[1].reshape(norm.shape)
    return result


def _drops(params: NormalizePlacesParams) -> bool:
    return params.tops == 2 and not params.norm_learns


def _normalize_inexact(graph: object, node: object) -> str | None:
    params = node.params_as(NormalizePlacesParams)  # type: ignore[attr-defined]
    return "without `bp_norm` the fork drops the norms' gradient" if _drops(params) else None


@quietly
def _rescale(params: RescaleParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    slope: AnyArray = rescaled(params, saved.inputs, saved.inputs[0])[1]
    made: AnyArray = (tops[0].reshape(slope.shape) * slope).reshape(saved.inputs[0].shape)
    return made


GRADIENTS = gradients(
    of(
        SUB_REGION,
        Gradient(_sub_region, Reads(inputs=(1,)), stops=(2,), ignored=(1,), tops=(0,), host=True),
    ),
    of(NORMALIZE_PLACES, Gradient(_normalize, INPUT, inexact=_normalize_inexact)),
    of(LABEL_SPECIFIC_RESCALE, Gradient(_rescale, Reads(inputs=(0, 1)), stops=(1,), tops=(0,))),
)
