"""Inception v3, as the backbone of a detector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from netc.compat.pycaffe.model_libs.blocks import ConvBNLayer, Fields, InceptionTower, NormFields
from netc.compat.pycaffe.net_spec import NetSpec, layers, params

if TYPE_CHECKING:
    from typing_extensions import Unpack

Tower = tuple[str, Sequence[Fields]]  # what follows the block's name in the tower's, its layers


def InceptionV3Body(
    net: NetSpec, from_layer: str, output_pred: bool = False, **bn_param: Unpack[NormFields]
) -> NetSpec:
    """Add Inception v3 (Szegedy et al. 2015) with the names of TensorFlow's model; give ``net``.

    Args:
        net: the net that it is added to.
        from_layer: the blob of the picture.
        output_pred: whether the average and the 1008 classes follow.
        bn_param: for :func:`ConvBNLayer`.
    """
    last = _stem(net, from_layer, bn_param)
    for number, outputs in enumerate((32, 64, 64)):
        last = _join(net, last, _name(number), _five(outputs), bn_param)
    last = _join(net, last, _name(3), _SMALLER, bn_param)
    for number, outputs in ((4, 128), (5, 160), (6, 160), (7, 192)):
        last = _join(net, last, _name(number), _seven(outputs), bn_param)
    last = _join(net, last, _name(8), _SMALLEST, bn_param)
    for number, pool in ((9, params.Pooling.AVE), (10, params.Pooling.MAX)):
        last = _spread(net, last, _name(number), pool, bn_param)
    if output_pred:
        net.pool_3 = layers.Pooling(
            net[last], pool=params.Pooling.AVE, kernel_size=8, pad=0, stride=1
        )
        net.softmax = layers.InnerProduct(net.pool_3, num_output=1008)
        net.softmax_prob = layers.Softmax(net.softmax)
    return net


def _name(number: int) -> str:
    return f"mixed_{number}" if number else "mixed"


def _stem(net: NetSpec, last: str, bn_param: NormFields) -> str:
    """What is in front of the first block; of the numbers, 0 outputs stand for pooling."""
    names = ("conv", "conv_1", "conv_2", "pool", "conv_3", "conv_4", "pool_1")
    sizes = (
        (32, 3, 0, 2), (32, 3, 0, 1), (64, 3, 1, 1), (0, 3, 0, 2), (80, 1, 0, 1), (192, 3, 0, 1),
        (0, 3, 0, 2),
    )  # fmt: skip
    for name, (outputs, size, pad, stride) in zip(names, sizes, strict=True):
        if outputs:
            ConvBNLayer(
                net, last, name, True, True, outputs, size, pad, stride, use_scale=False, **bn_param
            )
        else:
            net[name] = layers.Pooling(
                net[last], pool=params.Pooling.MAX, kernel_size=size, stride=stride, pad=pad
            )
        last = name
    return last


def _join(
    net: NetSpec, last: str, block: str, towers: Iterable[Tower], bn_param: NormFields
) -> str:
    """Towers side by side, and their channels in one blob."""
    tops = [InceptionTower(net, last, block + name, made, **bn_param) for name, made in towers]
    net[f"{block}/join"] = layers.Concat(*tops, axis=1)
    return f"{block}/join"


def _conv(number: int, outputs: int, high: int = 1, wide: int = 0, stride: int = 1) -> Fields:
    """A convolution that keeps the size, but at stride 2; the kernel is square without ``wide``."""
    name = f"conv_{number}" if number else "conv"
    if not wide:
        pad = high // 2 if stride == 1 else 0
        window: Fields = {"kernel_size": high, "pad": pad, "stride": stride}
    else:
        window = {"kernel_size": [high, wide], "pad": [high // 2, wide // 2], "stride": [1, 1]}
    return {"name": name, "num_output": outputs, **window}


def _pool(pool: int, pad: int, stride: int) -> Fields:
    return {"name": "pool", "pool": pool, "kernel_size": 3, "pad": pad, "stride": stride}


def _averaged(outputs: int, pool: int) -> Tower:
    return "/tower_2", [_pool(pool, 1, 1), _conv(0, outputs)]


def _five(outputs: int) -> Sequence[Tower]:
    """1x1, 5x5 and two 3x3 kernels."""
    return (
        ("", [_conv(0, 64)]),
        ("/tower", [_conv(0, 48), _conv(1, 64, 5)]),
        ("/tower_1", [_conv(0, 64), _conv(1, 96, 3), _conv(2, 96, 3)]),
        _averaged(outputs, params.Pooling.AVE),
    )


def _seven(outputs: int) -> Sequence[Tower]:
    """1x1, and 7x7 kernels taken apart into rows and columns."""
    twice = [_conv(1, outputs, 7, 1), _conv(2, outputs, 1, 7), _conv(3, outputs, 7, 1)]
    return (
        ("", [_conv(0, 192)]),
        ("/tower", [_conv(0, outputs), _conv(1, outputs, 1, 7), _conv(2, 192, 7, 1)]),
        ("/tower_1", [_conv(0, outputs), *twice, _conv(4, 192, 1, 7)]),
        _averaged(192, params.Pooling.AVE),
    )


_SMALLER: Sequence[Tower] = (
    ("", [_conv(0, 384, 3, stride=2)]),
    ("/tower", [_conv(0, 64), _conv(1, 96, 3), _conv(2, 96, 3, stride=2)]),
    ("", [_pool(params.Pooling.MAX, 0, 2)]),
)
_SMALLEST: Sequence[Tower] = (
    ("/tower", [_conv(0, 192), _conv(1, 320, 3, stride=2)]),
    (
        "/tower_1",
        [_conv(0, 192), _conv(1, 192, 1, 7), _conv(2, 192, 7, 1), _conv(3, 192, 3, stride=2)],
    ),
    ("", [_pool(params.Pooling.MAX, 0, 2)]),
)


def _spread(net: NetSpec, last: str, block: str, pool: int, bn_param: NormFields) -> str:
    """A block whose towers end in a row and a column side by side."""
    one = InceptionTower(net, last, block, [_conv(0, 320)], **bn_param)
    towers = (("/tower", [_conv(0, 384)]), ("/tower_1", [_conv(0, 448), _conv(1, 384, 3)]))
    joined = []
    for name, made in towers:
        InceptionTower(net, last, block + name, made, **bn_param)
        end = f"{block}{name}/{made[-1]['name']}"
        halves = [_conv(0, 384, 1, 3), _conv(1, 384, 3, 1)]
        mixed = f"{block}{name}/mixed"
        sides = [InceptionTower(net, end, mixed, [half], **bn_param) for half in halves]
        net[mixed] = layers.Concat(*sides, axis=1)
        joined.append(net[mixed])
    name, averaged = _averaged(192, pool)
    pooled = InceptionTower(net, last, block + name, averaged, **bn_param)
    net[f"{block}/join"] = layers.Concat(one, *joined, pooled, axis=1)
    return f"{block}/join"
