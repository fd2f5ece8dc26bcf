"""The nets of Zeiler & Fergus and of VGG (16 layers), as backbones of detectors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from netc.compat.pycaffe.model_libs.blocks import FROZEN, Fields, bad, same_pad
from netc.compat.pycaffe.net_spec import NetSpec, layers, params

_FILLERS: Mapping[str, object] = {
    "weight_filler": {"type": "xavier"},
    "bias_filler": {"type": "constant", "value": 0},
}
_LEARNED = [{"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 2, "decay_mult": 0}]
_VGG_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # outputs, convolutions


def ZFNetBody(
    net: NetSpec, from_layer: str, need_fc: bool = True, fully_conv: bool = False,
    reduced: bool = False, dilated: bool = False, dropout: bool = True, need_fc8: bool = False,
    freeze_layers: Iterable[str] = (),
) -> NetSpec:  # fmt: skip
    """Add the net of Zeiler & Fergus (2013); give ``net``.

    Args:
        net: the net that it is added to.
        from_layer: the blob of the picture.
        need_fc: whether pool5, fc6 and fc7 are part of it.
        fully_conv: whether those two are convolutions.
        reduced: whether they have 1024 outputs then and fc6 a 3x3 kernel, or 4096 and 6x6.
        dilated: whether pool5 keeps the size, and fc6's kernel spreads instead.
        dropout: whether Dropout follows each of the two.
        need_fc8: whether the 1000 classes follow.
        freeze_layers: names of layers that do not learn.

    Raises:
        NetcError: bad-argument, where ``net`` has no ``from_layer``.
    """
    _check(net, from_layer)
    last = from_layer
    for number, num_output, pad, size in ((1, 96, 3, 7), (2, 256, 2, 5)):
        last = _conv_relu(net, f"conv{number}", last, num_output, size, pad=pad, stride=2)
        net[f"norm{number}"] = layers.LRN(
            net[last], local_size=3, alpha=0.00005, beta=0.75,
            norm_region=params.LRN.WITHIN_CHANNEL, engine=params.LRN.CAFFE,
        )  # fmt: skip
        last = _max_pool(net, f"pool{number}", f"norm{number}", 3, 2, pad=1)
    for number, num_output in ((3, 384), (4, 384), (5, 256)):
        last = _conv_relu(net, f"conv{number}", last, num_output, 3, pad=1)
    if need_fc:
        last = _max_pool(net, "pool5", last, 3, 1 if dilated else 2, pad=1)
        _head(net, last, fully_conv, reduced, dropout, _zf_window(reduced, dilated))
    if need_fc8:
        _classes(net, fully_conv)
    _freeze(net, freeze_layers)
    return net


def _zf_window(reduced: bool, dilated: bool) -> dict[str, int]:
    """The window of fc6 as a convolution."""
    if reduced:
        spread = 5 if dilated else 2
        return {"kernel_size": 3, "pad": spread, "dilation": spread}
    return {"kernel_size": 6, **({"pad": 5, "dilation": 2} if dilated else {"pad": 2})}


def VGGNetBody(
    net: NetSpec, from_layer: str, need_fc: bool = True, fully_conv: bool = False,
    reduced: bool = False, dilated: bool = False, nopool: bool = False, dropout: bool = True,
    freeze_layers: Iterable[str] = (), dilate_pool4: bool = False,
) -> NetSpec:  # fmt: skip
    """Add VGG's net of 16 layers; give ``net``.

    Args:
        net: the net that it is added to.
        from_layer: the blob of the picture.
        need_fc: whether pool5, fc6 and fc7 are part of it.
        fully_conv: whether those two are convolutions.
        reduced: whether they have 1024 outputs then and fc6 a 3x3 kernel, or 4096 and 7x7.
        dilated: whether pool5 keeps the size, and fc6's kernel spreads twice as far instead.
        nopool: whether 3x3 convolutions of stride 2 take the place of pooling.
        dropout: whether Dropout follows each of the two.
        freeze_layers: names of layers that do not learn.
        dilate_pool4: whether pool4 keeps the size, and what follows spreads instead.

    Raises:
        NetcError: bad-argument, where ``net`` has no ``from_layer``.
    """
    _check(net, from_layer)
    last = from_layer
    dilation = 2 if dilate_pool4 and not nopool else 1
    for stage, (num_output, count) in enumerate(_VGG_STAGES, 1):
        fields = {"pad": 1}
        if stage == 5:
            fields = {"pad": same_pad(3, dilation), "dilation": dilation}
        for number in range(1, count + 1):
            last = _conv_relu(net, f"conv{stage}_{number}", last, num_output, 3, **fields)
        if stage < 5 or need_fc:
            keeps = (stage == 4 and dilation == 2) or (stage == 5 and dilated)
            last = _halve(net, stage, last, nopool, keeps)
    if need_fc:
        window = _vgg_window(reduced, dilated, dilation)
        _head(net, last, fully_conv, reduced, dropout, window)
    _freeze(net, freeze_layers)
    return net


def _halve(net: NetSpec, stage: int, last: str, nopool: bool, keeps: bool) -> str:
    """Pooling behind a stage, or a convolution in its place; ``keeps``: of stride 1."""
    num_output, count = _VGG_STAGES[stage - 1]
    if not nopool:
        size = {"size": 3, "stride": 1, "pad": 1} if keeps else {"size": 2, "stride": 2}
        return _max_pool(net, f"pool{stage}", last, **size)
    stride = 1 if keeps else 2
    name = f"conv{stage}_{count + 1}"
    net[name] = layers.Convolution(
        net[last], num_output=num_output, kernel_size=3, pad=1, stride=stride, **_fields()
    )
    return name


def _vgg_window(reduced: bool, dilated: bool, dilation: int) -> dict[str, int]:
    """The window of fc6 as a convolution."""
    size = 3 if reduced else 7
    dilation *= (3 if reduced else 1) * (2 if dilated else 1)
    return {"kernel_size": size, "pad": same_pad(size, dilation), "dilation": dilation}


def _head(
    net: NetSpec, last: str, fully_conv: bool, reduced: bool, dropout: bool, window: dict[str, int]
) -> None:
    """fc6 and fc7, as convolutions of a window and of 1x1, or as inner products."""
    for number in (6, 7):
        name, relu = f"fc{number}", f"relu{number}"
        if fully_conv:
            size = window if number == 6 else {"kernel_size": 1}
            num_output = 1024 if reduced else 4096
            made = layers.Convolution(net[last], num_output=num_output, **size, **_fields())
        else:
            made = layers.InnerProduct(net[last], num_output=4096)
        net[name] = made
        net[relu] = layers.ReLU(net[name], in_place=True)
        if dropout:
            net[f"drop{number}"] = layers.Dropout(net[relu], dropout_ratio=0.5, in_place=True)
        last = relu


def _classes(net: NetSpec, fully_conv: bool) -> None:
    last = net[net.keys()[-1]]
    if fully_conv:
        net.fc8 = layers.Convolution(last, num_output=1000, kernel_size=1, **_fields())
    else:
        net.fc8 = layers.InnerProduct(last, num_output=1000)
    net.prob = layers.Softmax(net.fc8)


def _check(net: NetSpec, from_layer: str) -> None:
    if from_layer not in net.keys():
        raise bad(f"the net has no blob `{from_layer}` yet")


def _fields() -> Fields:
    return {"param": _LEARNED, **_FILLERS}


def _conv_relu(
    net: NetSpec, name: str, bottom: str, num_output: int, size: int, **fields: int
) -> str:
    """A convolution and its ReLU, whose name is given."""
    relu = re.sub("^[a-z]+", "relu", name)
    net[name] = layers.Convolution(
        net[bottom], num_output=num_output, kernel_size=size, **fields, **_fields()
    )
    net[relu] = layers.ReLU(net[name], in_place=True)
    return relu


def _max_pool(net: NetSpec, name: str, bottom: str, size: int, stride: int, **pad: int) -> str:
    net[name] = layers.Pooling(
        net[bottom], pool=params.Pooling.MAX, kernel_size=size, stride=stride, **pad
    )
    return name


def _freeze(net: NetSpec, names: Iterable[str]) -> None:
    for name in names:
        if name in net.keys():
            net.update(name, {"param": [FROZEN] * 2, **_FILLERS})
