"""How forks lay out the trained arrays of a layer, converted to the layout of netc's definitions.

The arrays of normalisation layers are vectors, one value a channel. BVLC Caffe has them as C, forks
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
    """Whether two shapes are equal once axes of size 1 are removed."""
    return _squeezed(shape) == _squeezed(stored)


def _squeezed(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


def arranged_statistics(wanted: int, layer: LayerWeights) -> LayerWeights:
    """A BatchNorm's arrays in the net's order and number; unchanged if the number is right.

    A stored scale and shift that the net lacks are dropped where they are all 1 and all 0, the
    values they are initialised with.

    Args:
        wanted: how many parameters the layer has in the net.
        layer: the layer as stored in the file.
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
    """The layer with other arrays, whose indices are 0, 1, 2 ..."""
    return replace(
        layer,
        arrays=tuple(arrays),
        indices=tuple(range(len(arrays))),
        kinds=tuple(kinds),
        legacy=tuple(legacy),
    )
