"""Residual nets of 101 and 152 layers, as backbones of detectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from netc.compat.pycaffe.model_libs.blocks import ConvBNLayer, NormFields, ResBody
from netc.compat.pycaffe.net_spec import NetSpec, layers, params

if TYPE_CHECKING:
    from typing_extensions import Unpack


def ResNet101Body(
    net: NetSpec,
    from_layer: str,
    use_pool5: bool = True,
    use_dilation_conv5: bool = False,
    **bn_param: Unpack[NormFields],
) -> NetSpec:
    """Add the residual net of 101 layers (He et al. 2015); give ``net``.

    Args:
        net: the net that it is added to.
        from_layer: the blob of the picture.
        use_pool5: whether the average over all places follows.
        use_dilation_conv5: whether the last stage keeps the size, and its kernels spread instead.
        bn_param: for :func:`ConvBNLayer`.
    """
    return _residual(net, from_layer, 4, 23, use_pool5, use_dilation_conv5, bn_param)


def ResNet152Body(
    net: NetSpec,
    from_layer: str,
    use_pool5: bool = True,
    use_dilation_conv5: bool = False,
    **bn_param: Unpack[NormFields],
) -> NetSpec:
    """Add the residual net of 152 layers; see :func:`ResNet101Body`."""
    return _residual(net, from_layer, 8, 36, use_pool5, use_dilation_conv5, bn_param)


def _residual(
    net: NetSpec, from_layer: str, third: int, fourth: int, pool: bool, dilated: bool,
    bn_param: NormFields,
) -> NetSpec:  # fmt: skip
    ConvBNLayer(
        net, from_layer, "conv1", True, True, 64, 7, 3, 2, bn_prefix="bn_", bn_postfix="",
        scale_prefix="scale_", scale_postfix="", **bn_param,
    )  # fmt: skip
    net.pool1 = layers.Pooling(net.conv1, pool=params.Pooling.MAX, kernel_size=3, stride=2)
    last = "pool1"
    for stage, name in _blocks(third, fourth):
        width, first = 32 << (stage - 1), name[1:] == "a"
        spread = dilated and stage == 5
        ResBody(
            net, last, name, width, width, 4 * width,
            stride=2 if first and stage > 2 and not spread else 1,
            use_branch1=first, dilation=2 if spread else 1, **bn_param,
        )  # fmt: skip
        last = f"res{name}"
    if pool:
        net.pool5 = layers.Pooling(net[last], pool=params.Pooling.AVE, global_pooling=True)
    return net


def _blocks(third: int, fourth: int) -> Iterator[tuple[int, str]]:
    """Stage and name of each block; the second to last of long stages are numbered."""
    for stage, count in ((2, 3), (3, third), (4, fourth), (5, 3)):
        yield stage, f"{stage}a"
        for number in range(1, count):
            yield stage, f"{stage}b{number}" if stage in (3, 4) else f"{stage}{'abc'[number]}"
