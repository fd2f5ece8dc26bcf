"""How forks lay out the trained arrays of one layer, brought to how netc's definition has them.

The arrays of normalising layers are vectors, one value a channel. BVLC Caffe keeps them as C, forks
as 1xC, 1xCx1x1 or Cx1x1. BatchNorm of NVIDIA's Caffe has its scale and shift with it: versions from
0.15 on as mean, variance, factor, scale, shift; before that as scale, shift, mean, variance
(batch_norm_layer.cpp of its branches).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from netc.ir.graph import Array
from netc.ir.types import Shape
from netc.weights.model import LayerWeights

_STATISTICS, _SCALED, _SCALE_FIRST = 3, 5, 4


def vectors_equal(shape: Shape, stored: Shape) -> bool:
    """Whether two shapes differ by axes of 1 alone."""
    return _squeezed(shape) == _squeezed(stored)


def _squeezed(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


def arranged_statistics(wanted: int, layer: LayerWeights) -> LayerWeights:
    """A BatchNorm's arrays in the order and number that a net has them; as they are if they fit.

    Args:
        wanted: how many parameters the layer has in the net.
        layer: what the file has.

    A scale and a shift that the net does not have are left out where they are 1 and 0, which is
    what they are filled with.
    """
    arrays = layer.arrays
    if len(arrays) == wanted or layer.indices != tuple(range(len(arrays))):
        return layer
    if len(arrays) == _SCALE_FIRST:
        scale, shift, mean, variance = arrays
        arrays = (mean, variance, np.ones(1, np.float32), scale, shift)
    if wanted == _STATISTICS and len(arrays) == _SCALED and _changes_nothing(arrays[3:]):
        arrays = arrays[:_STATISTICS]
    if len(arrays) != wanted:
        return layer
    number = len(arrays)
    kinds = (*layer.kinds, *("float32",) * number)[:number] if layer.kinds else ()
    legacy = (False,) * number
    return replace_arrays(layer, arrays, kinds, legacy)


def _changes_nothing(own: Sequence[Array]) -> bool:
    scale, shift = own
    return bool((scale == 1).all() and (shift == 0).all())


def replace_arrays(
    layer: LayerWeights, arrays: Sequence[Array], kinds: Sequence[str], legacy: Sequence[bool]
) -> LayerWeights:
    """The layer with other arrays, numbered in order."""
    return replace(
        layer,
        arrays=tuple(arrays),
        indices=tuple(range(len(arrays))),
        kinds=tuple(kinds),
        legacy=tuple(legacy),
    )
