"""Convolutions with BatchNorm, residual blocks and Inception's towers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypedDict, TypeVar, cast

from netc.compat.pycaffe.errors import also
from netc.compat.pycaffe.net_spec import NetSpec, Top, layers
from netc.diagnostics import Diagnostic, NetcError

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")
Fields = dict[str, object]
FROZEN = {"lr_mult": 0, "decay_mult": 0}
Pair = int | list[int]  # one number for both axes, or height and width


class NormFields(TypedDict, total=False):
    """What backbones and heads pass on to BatchNorm."""

    eps: float
    moving_average_fraction: float
    use_global_stats: bool


class _TowerConv(NormFields):
    """A convolution of a tower, as :func:`ConvBNLayer` takes it."""

    num_output: int
    kernel_size: Pair
    pad: Pair
    stride: Pair


def UnpackVariable(var: T | list[T], num: int) -> list[T]:
    """``num`` values: a list of as many as it is, one value (or a list of one) so many times.

    Raises:
        NetcError: bad-argument, for a list of another length.
    """
    if not isinstance(var, list):
        return [var] * num
    if len(var) not in (1, num):
        raise bad(f"{num} values or one are needed, the list has {len(var)}")
    return list(var) if len(var) == num else var * num


def bad(message: str) -> NetcError:
    """What is raised where the fork has an assertion."""
    return also(NetcError(Diagnostic("bad-argument", message)), AssertionError)


def ConvBNLayer(
    net: NetSpec, from_layer: str, out_layer: str, use_bn: bool, use_relu: bool, num_output: int,
    kernel_size: Pair, pad: Pair, stride: Pair, dilation: int = 1, use_scale: bool = True,
    lr_mult: float = 1, conv_prefix: str = "", conv_postfix: str = "", bn_prefix: str = "",
    bn_postfix: str = "_bn", scale_prefix: str = "", scale_postfix: str = "_scale",
    bias_prefix: str = "", bias_postfix: str = "_bias", **bn_params: Unpack[NormFields],
) -> None:  # fmt: skip
    """Add a convolution; with ``use_bn`` BatchNorm and Scale (or Bias) behind it, both in place.

    The convolution is called by its prefix, ``out_layer`` and postfix, the others by theirs.

    Args:
        net: the net that they are added to.
        from_layer: the blob that the convolution reads.
        out_layer: what the names of all layers have in common.
        use_bn: whether there is BatchNorm; the convolution has no bias then.
        use_relu: whether a ReLU in place follows.
        num_output, kernel_size, pad, stride, dilation: of the convolution.
        use_scale: whether a Scale follows BatchNorm, or else a Bias.
        lr_mult: of all parameters; twice that for a bias.
        bn_params: eps (0.001), moving_average_fraction (0.999) and use_global_stats, with which
            Scale and Bias learn nothing.
    """
    conv = f"{conv_prefix}{out_layer}{conv_postfix}"
    fields = _convolution_params(use_bn, lr_mult) | _window(kernel_size, pad, stride)
    if dilation > 1:
        fields["dilation"] = dilation
    net[conv] = layers.Convolution(net[from_layer], num_output=num_output, **fields)
    if use_bn:
        norm = f"{bn_prefix}{out_layer}{bn_postfix}"
        net[norm] = layers.BatchNorm(net[conv], in_place=True, **_statistics(bn_params))
        rate = 0 if bn_params.get("use_global_stats") else lr_mult
        if use_scale:
            net[f"{scale_prefix}{out_layer}{scale_postfix}"] = _scale(net[norm], rate)
        else:
            net[f"{bias_prefix}{out_layer}{bias_postfix}"] = _bias(net[norm], rate)
    if use_relu:
        net[f"{conv}_relu"] = layers.ReLU(net[conv], in_place=True)


def _convolution_params(use_bn: bool, lr_mult: float) -> Fields:
    weights = {"lr_mult": lr_mult, "decay_mult": 1}
    if use_bn:
        gaussian = {"type": "gaussian", "std": 0.01}
        return {"param": [weights], "weight_filler": gaussian, "bias_term": False}
    return {
        "param": [weights, {"lr_mult": 2 * lr_mult, "decay_mult": 0}],
        "weight_filler": {"type": "xavier"},
        "bias_filler": {"type": "constant", "value": 0},
    }


def _window(kernel_size: Pair, pad: Pair, stride: Pair) -> Fields:
    """One field for both axes where the kernel is square; then the height's numbers count."""
    given = {"kernel": kernel_size, "pad": pad, "stride": stride}
    pairs = {name: UnpackVariable(value, 2) for name, value in given.items()}
    if pairs["kernel"][0] == pairs["kernel"][1]:
        return {
            "kernel_size" if name == "kernel" else name: high for name, (high, _) in pairs.items()
        }
    return {
        f"{name}_{axis}": size
        for name, pair in pairs.items()
        for axis, size in zip("hw", pair, strict=True)
    }


def _statistics(bn_params: NormFields) -> Fields:
    """The fields of BatchNorm; use_global_stats is the phase's matter where it is not true."""
    fields: Fields = {"param": [FROZEN] * 3, "eps": bn_params.get("eps", 0.001)}
    if bn_params.get("use_global_stats"):
        return fields | {"use_global_stats": True}
    fraction = bn_params.get("moving_average_fraction", 0.999)
    return fields | {"moving_average_fraction": fraction}


def _scale(blob: Top, rate: float) -> object:
    return layers.Scale(
        blob, in_place=True, bias_term=True, param=[{"lr_mult": rate, "decay_mult": 0}] * 2,
        filler={"type": "constant", "value": 1.0}, bias_filler={"type": "constant", "value": 0.0},
    )  # fmt: skip


def _bias(blob: Top, rate: float) -> object:
    return layers.Bias(
        blob, in_place=True, param=[{"lr_mult": rate, "decay_mult": 0}],
        filler={"type": "constant", "value": 0.0},
    )  # fmt: skip


def same_pad(kernel_size: int, dilation: int) -> int:
    """The padding that keeps a map's size at stride 1."""
    return (kernel_size - 1) * dilation // 2


def ResBody(
    net: NetSpec, from_layer: str, block_name: str, out2a: int, out2b: int, out2c: int,
    stride: int, use_branch1: bool, dilation: int = 1, **bn_param: Unpack[NormFields],
) -> None:  # fmt: skip
    """Add a bottleneck block of a residual net: ``res<block_name>``, with a ReLU in place.

    Args:
        net: the net that it is added to.
        from_layer: the blob that it reads.
        block_name: such as ``2a``.
        out2a, out2b, out2c: outputs of the 1x1, 3x3 and 1x1 convolutions.
        stride: of the first convolution, and of the shortcut's.
        use_branch1: whether the shortcut has a convolution.
        dilation: of the 3x3 convolution.
        bn_param: for :func:`ConvBNLayer`.
    """
    prefix = f"res{block_name}_"

    def branch(name: str, bottom: str, relu: bool, num_output: int, size: int, step: int) -> str:
        spread = dilation if size > 1 else 1
        ConvBNLayer(
            net, bottom, name, True, relu, num_output, size, same_pad(size, spread), step,
            dilation=spread, conv_prefix=prefix, bn_prefix=f"bn{block_name}_", bn_postfix="",
            scale_prefix=f"scale{block_name}_", scale_postfix="", **bn_param,
        )  # fmt: skip
        return f"{prefix}{name}"

    shortcut = from_layer
    if use_branch1:
        shortcut = branch("branch1", from_layer, False, out2c, 1, stride)
    first = branch("branch2a", from_layer, True, out2a, 1, stride)
    second = branch("branch2b", first, True, out2b, 3, 1)
    third = branch("branch2c", second, False, out2c, 1, 1)
    block = f"res{block_name}"
    net[block] = layers.Eltwise(net[shortcut], net[third])
    net[f"{block}_relu"] = layers.ReLU(net[block], in_place=True)


def InceptionTower(
    net: NetSpec,
    from_layer: str,
    tower_name: str,
    layer_params: Iterable[Mapping[str, object]],
    **bn_param: Unpack[NormFields],
) -> Top:
    """Add layers one behind the other; give the last one's blob.

    Each is named ``tower_name/name``. One with "pool" in that name is a Pooling with the fields
    given, any other a convolution with BatchNorm, Bias and ReLU.

    Args:
        net: the net that they are added to.
        from_layer: the blob that the first one reads.
        tower_name: the first part of their names.
        layer_params: ``name`` and the arguments of each.
        bn_param: for :func:`ConvBNLayer`.
    """
    for given in layer_params:
        fields = dict(given)
        name = f"{tower_name}/{fields.pop('name')}"
        if "pool" in name:
            net[name] = layers.Pooling(net[from_layer], **fields)
        else:
            arguments = cast("_TowerConv", fields | bn_param)
            ConvBNLayer(net, from_layer, name, True, True, use_scale=False, **arguments)
        from_layer = name
    last: Top = net[from_layer]
    return last
