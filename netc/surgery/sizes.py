"""Infers the size of a net's images from the weights of its first inner product.

An inner product of 800 values behind layers that make 50 x 4 x 4 of 28 x 28 pixels was trained on
28 x 28. Pooling rounds, so that often several sizes fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netc.analysis.source_layers import source_op
from netc.frontend import build
from netc.ir.types import count
from netc.lower.before import layers_before
from netc.ops.catalog import has_role
from netc.ops.role import Role
from netc.schema.message import Message
from netc.surgery.build import message_of, with_layers
from netc.weights.model import Weights

MAX_SIDE = 2048  # pixels a side that are tried

# Sizes that images of training sets and crops are commonly of.
COMMON = (8, 16, 28, 32, 48, 64, 96, 112, 128, 224, 227, 256, 299, 300, 512)


def square_sizes(
    net: Message, blob: str, channels: int, layers: Sequence[Message], weights: Weights
) -> range:
    """The sides in pixels of square images for which the first inner product fits its weights.

    Args:
        net: the NetParameter, for the type of its layers.
        blob: the blob of the images.
        channels: the images' channels.
        layers: the layers that are left of the net.
        weights: trained arrays.
    """
    product = next((x for x in layers if _values(x, weights)), None)
    if product is None:
        return range(0)
    wanted = _values(product, weights)
    part = layers_before(with_layers(net, layers), product.get("bottom")[:1]).get("layer")
    sources = [x for x in part if source_op(x) is not None]
    if any(set(x.get("top")) - {blob, "label"} for x in sources):
        return range(0)
    body = [x for x in part if source_op(x) is None]

    def values(side: int) -> int:
        shape_of = {"shape": {"dim": [1, channels, side, side]}}
        fed = {"name": "input", "type": "Input", "top": [blob], "input_param": shape_of}
        made = build(with_layers(net, (message_of(product.type, fed), *body)))
        shape = made.graph.values.get(product.get("bottom")[0])
        return count(shape.shape[1:]) if shape is not None and shape.shape else 0

    first = _first(lambda side: values(side) >= wanted)
    return (
        range(first, _first(lambda side: values(side) > wanted)) if first <= MAX_SIDE else range(0)
    )


def _values(layer: Message, weights: Weights) -> int:
    """How many values an inner product's weights take; 0 for other layers."""
    if not has_role(layer.get("type"), Role.INNER_PRODUCT) or layer.get("inner_product_param").get(
        "transpose"
    ):
        return 0
    arrays = weights.get(layer.get("name"), ())
    return int(arrays[0].shape[-1]) if arrays and arrays[0].ndim >= 2 else 0


def _first(holds: Callable[[int], bool]) -> int:
    """The smallest side of 1 to MAX for which it holds, as it does for all larger ones."""
    low, high = 1, MAX_SIDE + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
