"""Gradients of SubCNN's layers; ROIGenerating's is 0."""

from __future__ import annotations

import numpy as np

from netc.ops.array import AnyArray, Arrays
from netc.ops.detection.region_generating import ROI_GENERATING
from netc.ops.detection.subcategory import (
    FEATURE_EXTRAPOLATING,
    HEATMAP_GENERATING,
    ExtrapolationParams,
    greatest_class,
    stretched,
)
from netc.ops.gradients.define import INPUT, Gradient, Saved, every_bottom, gradients, of


def _extrapolate(params: ExtrapolationParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    shape, top = saved.shapes[0], np.asarray(tops[0])
    made = params.made()
    top = top.reshape(-1, len(made), *shape[1:])
    grads = np.zeros((len(top), len(params.scales), *shape[1:]), top.dtype)
    for at, (scale, factor) in enumerate(made):
        down, across = (stretched(factor, size).astype(top.dtype) for size in shape[2:])
        grads[:, scale] += down.T @ top[:, at] @ across
    return grads.reshape(shape)


def _heatmap(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """To the class of greatest probability; to class 0 where none counts."""
    x = np.asarray(saved.inputs[0])
    grads = np.zeros_like(x)
    np.put_along_axis(grads, greatest_class(x), np.asarray(tops[0]), axis=1)
    return grads


GRADIENTS = gradients(
    of(FEATURE_EXTRAPOLATING, Gradient(_extrapolate, host=True)),
    of(HEATMAP_GENERATING, Gradient(_heatmap, INPUT, host=True)),
    of(ROI_GENERATING, Gradient(ignored=every_bottom)),
)
