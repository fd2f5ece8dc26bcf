"""The current shape of a blob stored with legacy num, channels, height and width."""

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
    """The shape without the leading axes of 1 that the legacy format added.

    Args:
        type: the layer's type, which determines the number of axes.
        index: which of the layer's arrays: 0 for the weights, 1 for the bias.
        shape: the stored shape, of four axes.

    Returns:
        None where the type does not determine the number of axes, or where an axis to remove is
        not 1; the blob should then keep its stored shape.
    """
    axes = _AXES.get(type, ())
    if index >= len(axes):
        return None
    spare = len(shape) - axes[index]
    return shape[spare:] if spare >= 0 and all(n == 1 for n in shape[:spare]) else None


def modernised(layer: LayerWeights) -> LayerWeights:
    """The layer with current shapes where they are known; itself if no array is legacy."""
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
