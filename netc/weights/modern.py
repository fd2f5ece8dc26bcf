"""Today's shape of a blob that was stored as num, channels, height and width."""

from __future__ import annotations

from netc.ir.types import Shape
from netc.weights.model import LayerWeights

# layer type -> axes of each of its blobs; the old formats padded all to four with leading ones
_AXES = {
    "Convolution": (4, 1),
    "Deconvolution": (4, 1),
    "InnerProduct": (2, 1),
    "BatchNorm": (1, 1, 1),
    "PReLU": (1,),
    "Embed": (2, 1),
}


def modern_shape(type: str, index: int, shape: Shape) -> Shape | None:
    """The shape without the leading ones that the old formats added.

    Returns:
        None where the layer's type does not tell the number of axes, or where an axis that would
        go is not 1: the blob is then best kept as it was stored.
    """
    axes = _AXES.get(type, ())
    if index >= len(axes):
        return None
    spare = len(shape) - axes[index]
    return shape[spare:] if spare >= 0 and all(n == 1 for n in shape[:spare]) else None


def modernised(layer: LayerWeights) -> LayerWeights:
    """The layer with today's shapes, where they are known; itself if nothing was stored so."""
    if not any(layer.legacy):
        return layer
    arrays, legacy = [], []
    for index, array, old in zip(layer.indices, layer.arrays, layer.legacy, strict=True):
        shape = modern_shape(layer.type, index, array.shape) if old else None
        arrays.append(array if shape is None else array.reshape(shape))
        legacy.append(old and shape is None)
    return LayerWeights(
        layer.name, tuple(arrays), layer.type, layer.indices, tuple(legacy), layer.kinds
    )
