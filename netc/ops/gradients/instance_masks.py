"""Gradients of ROIWarping, MaskPooling and MaskResize (Dai et al. 2016, MNC).

caffe-mnc's gradient by ROIWarping's map looks for a region's cells in a window that is estimated;
here each cell's gradient goes back to exactly the elements it was made of. The regions get none, as
ROIPooling's: MNC's gradient by their corners is not computed.
"""

from __future__ import annotations

import numpy as np

from netc.ops.array import AnyArray, Arrays
from netc.ops.detection.instance_masks import (
    MASK_POOLING,
    MASK_RESIZE,
    ROI_WARPING,
    MaskResizeParams,
    WarpingParams,
    region_image,
    resized_shares,
    warped_shares,
)
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of


def _warping(params: WarpingParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    shape, regions = saved.shapes[0], np.asarray(saved.inputs[1])
    grads = np.zeros(shape, tops[0].dtype)
    for own, region in zip(tops[0], regions.reshape(len(regions), 5), strict=True):
        down, across = warped_shares(params, region, shape[2:])
        grads[region_image(region, shape[0])] += down.T @ own @ across
    return grads


def _pooling(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """By the map the top's times the mask, by the mask their sum over channels times the map."""
    if index == 0:
        return tops[0] * saved.inputs[1]
    result: AnyArray = (tops[0] * saved.inputs[0]).sum(axis=1, keepdims=True)
    return result


def _reads_other(params: None, index: int, bottoms: int) -> Reads:
    return Reads(inputs=(1 - index,))


def _resize(params: MaskResizeParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    down, across = resized_shares(params, saved.shapes[0])
    result: AnyArray = (down.T @ tops[0] @ across).astype(tops[0].dtype)
    return result


GRADIENTS = gradients(
    of(ROI_WARPING, Gradient(_warping, Reads(inputs=(1,)), ignored=(1,), host=True)),
    of(MASK_POOLING, Gradient(_pooling, _reads_other)),
    of(MASK_RESIZE, Gradient(_resize, host=True)),
)
