"""A rule for each op: the module or expression of PyTorch that gives the same numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from netc.export.torch.expressions import Rule, function, number
from netc.export.torch.more_rules import MORE_RULES
from netc.export.torch.writer import TorchLayer
from netc.ir.types import Shape, count
from netc.ops.activation import ELUParams, SwishParams
from netc.ops.arithmetic import BaseParams, PowerParams
from netc.ops.batch_norm import BatchNormParams
from netc.ops.catalog import CATALOG
from netc.ops.convolution_params import ConvolutionParams
from netc.ops.cropping import CropParams
from netc.ops.dropout import DropoutParams
from netc.ops.elementwise import EltwiseParams
from netc.ops.forks.normalize import NormalizeParams
from netc.ops.forks.permutation import PermuteParams, ShuffleChannelParams
from netc.ops.forks.resizing import InterpParams
from netc.ops.joining import ConcatParams, SliceParams
from netc.ops.linear import InnerProductParams
from netc.ops.lrn import LRNParams
from netc.ops.normalization import SoftmaxParams
from netc.ops.pooling import PoolingParams
from netc.ops.rectifiers import ReLU6Params, ReLUParams
from netc.ops.scale_bias import OperandParams
from netc.ops.window import Axis, Window


def _sizes(values: tuple[int, ...]) -> str:
    """One number where all axes have the same, else a tuple."""
    return str(values[0]) if len(set(values)) == 1 else str(values)


# Products


def _convolution(layer: TorchLayer) -> None:
    params, shape = layer.node.params_as(ConvolutionParams), layer.shape()
    deconvolution = layer.node.op == "Deconvolution"
    if params.axis not in (1, 1 - len(shape)) or not 3 <= len(shape) <= 5:
        raise layer.refused("its channels are not axis 1 of three to five axes")
    axes = params.window.axes(shape[2:])
    group = layer.arrays[0].shape[1]
    group = params.num_output // group if deconvolution else shape[1] // group
    arguments = [f"{shape[1]}, {params.num_output}, {_sizes(tuple(a.kernel for a in axes))}"]
    for name, values, usual in (
        ("stride", tuple(a.stride for a in axes), 1),
        ("padding", tuple(a.pad for a in axes), 0),
        ("dilation", tuple(a.dilation for a in axes), 1),
        ("groups", (group,), 1),
    ):
        if set(values) != {usual}:
            arguments.append(f"{name}={_sizes(values)}")
    kind = f"{'ConvTranspose' if deconvolution else 'Conv'}{len(axes)}d"
    layer.give(*(f"{_product(layer, kind, arguments)}({x})" for x in layer.inputs))


def _product(layer: TorchLayer, kind: str, arguments: list[str]) -> str:
    weight, *bias = layer.arrays
    arguments = arguments if bias else [*arguments, "bias=False"]
    arrays = {"weight": weight, **({"bias": bias[0].reshape(-1)} if bias else {})}
    return layer.module(f"nn.{kind}({', '.join(arguments)})", **arrays)


def _inner_product(layer: TorchLayer) -> None:
    params, shape = layer.node.params_as(InnerProductParams), layer.shape()
    axis = params.axis % len(shape)
    weight, *bias = layer.arrays
    weight = weight.T if params.transpose else weight
    arguments = (
        f"nn.Linear({count(shape[axis:])}, {params.num_output}{'' if bias else ', bias=False'})"
    )
    arrays = {"weight": weight, **({"bias": bias[0].reshape(-1)} if bias else {})}
    module = layer.module(arguments, **arrays)
    x = layer.inputs[0]
    layer.give(f"{module}({x if axis == len(shape) - 1 else f'torch.flatten({x}, {axis})'})")


# Pooling


def _pooling(layer: TorchLayer) -> None:
    params, shape = layer.node.params_as(PoolingParams), layer.shape()
    if params.method not in ("MAX", "AVE") or len(layer.node.outputs) > 1 or len(shape) != 4:
        raise layer.refused("it draws at random, gives a mask, or pools no images")
    x = layer.inputs[0]
    if params.window.whole:
        how = "amax" if params.method == "MAX" else "mean"
        layer.give(f"{x}.{how}((2, 3), keepdim=True)")
        return
    axes = params.window.axes(shape[2:])
    made = tuple(_pooled(axis, params.ceil) for axis in axes)
    if made != layer.made()[2:] or any(2 * axis.pad > axis.kernel for axis in axes):
        raise layer.refused("PyTorch's windows of this kernel, stride and padding are others")
    window = Window.of(axes)
    arguments = f"{_sizes(window.kernel)}, stride={_sizes(window.stride)}"
    arguments += f", padding={_sizes(window.pad)}" if any(window.pad) else ""
    arguments += ", ceil_mode=True" if params.ceil else ""
    how = "MaxPool2d" if params.method == "MAX" else "AvgPool2d"
    layer.give(f"{layer.module(f'nn.{how}({arguments})')}({x})")


def _pooled(axis: Axis, ceil: bool) -> int:
    """How many windows PyTorch has: the last one begins inside the image or its first padding."""
    room = (axis.size + 2 * axis.pad - axis.kernel) / axis.stride
    number = (math.ceil(room) if ceil else math.floor(room)) + 1
    beyond = (number - 1) * axis.stride >= axis.size + axis.pad
    return number - 1 if ceil and beyond else number


# Functions of one element


def _relu(layer: TorchLayer) -> None:
    slope = layer.node.params_as(ReLUParams).negative_slope
    x = layer.inputs[0]
    layer.give(f"F.leaky_relu({x}, {number(slope)})" if slope else f"F.relu({x})")


def _relu6(layer: TorchLayer) -> None:
    params = layer.node.params_as(ReLU6Params)
    if params.negative_slope:
        raise layer.refused("it has a slope below 0")
    layer.give(f"torch.clamp({layer.inputs[0]}, 0.0, {number(params.n)})")


def _prelu(layer: TorchLayer) -> None:
    slopes = layer.arrays[0].reshape(-1)
    layer.give(f"{layer.module(f'nn.PReLU({slopes.size})', weight=slopes)}({layer.inputs[0]})")


def _elu(layer: TorchLayer) -> None:
    layer.give(f"F.elu({layer.inputs[0]}, {number(layer.node.params_as(ELUParams).alpha)})")


def _power(layer: TorchLayer) -> None:
    params = layer.node.params_as(PowerParams)
    text = layer.inputs[0]
    text = f"{text} * {number(params.scale)}" if params.scale != 1 else text
    text = f"{text} + {number(params.shift)}" if params.shift else text
    layer.give(text if params.power == 1 else f"torch.pow({text}, {number(params.power)})")


def _exp(layer: TorchLayer) -> None:
    params = layer.node.params_as(BaseParams)
    factor = params.scale * (1.0 if params.base == -1 else math.log(params.base))
    shift = params.shift * (1.0 if params.base == -1 else math.log(params.base))
    layer.give(f"torch.exp({layer.inputs[0]} * {number(factor)} + {number(shift)})")


def _log(layer: TorchLayer) -> None:
    params = layer.node.params_as(BaseParams)
    base = 1.0 if params.base == -1 else 1 / math.log(params.base)
    inner = f"{layer.inputs[0]} * {number(params.scale)} + {number(params.shift)}"
    layer.give(f"torch.log({inner}) * {number(base)}")


def _dropout(layer: TorchLayer) -> None:
    ratio = number(layer.node.params_as(DropoutParams).ratio)
    layer.give(f"{layer.module(f'nn.Dropout({ratio})')}({layer.inputs[0]})")


def _swish(layer: TorchLayer) -> None:
    x = layer.inputs[0]
    layer.give(f"{x} * torch.sigmoid({number(layer.node.params_as(SwishParams).beta)} * {x})")


# Normalisation


def _lrn(layer: TorchLayer) -> None:
    params, x = layer.node.params_as(LRNParams), layer.inputs[0]
    size, alpha, beta = params.local_size, number(params.alpha), number(params.beta)
    if params.across:
        layer.give(f"F.local_response_norm({x}, {size}, {alpha}, {beta}, {number(params.k)})")
        return
    squares = f"F.avg_pool2d({x} * {x}, {size}, stride=1, padding={size // 2})"
    layer.give(f"{x} / (1.0 + {alpha} * {squares}) ** {beta}")


def _batch_norm(layer: TorchLayer) -> None:
    params, shape = layer.node.params_as(BatchNormParams), layer.shape()
    if not params.use_global_stats:
        raise layer.refused("it normalises by the batch's own statistics")
    mean, variance, factor, *affine = (array.reshape(-1) for array in layer.arrays)
    scale = 0.0 if factor[0] == 0 else 1 / factor[0]
    kind = {2: 1, 3: 1, 4: 2, 5: 3}.get(len(shape))
    if kind is None:
        raise layer.refused(f"it has {len(shape)} axes")
    arguments = f"nn.BatchNorm{kind}d({shape[1]}, eps={number(params.eps)}"
    arguments += "" if affine else ", affine=False"
    arrays = {"running_mean": mean * scale, "running_var": variance * scale}
    arrays |= dict(zip(("weight", "bias"), affine, strict=False))
    layer.give(f"{layer.module(arguments + ')', **arrays)}({layer.inputs[0]})")


def _normalize(layer: TorchLayer) -> None:
    params, x = layer.node.params_as(NormalizeParams), layer.inputs[0]
    axes = tuple(range(1, len(layer.shape()))) if params.across_spatial else (1,)
    squares = f"({x} * {x}).sum({axes}, keepdim=True) + {number(params.eps)}"
    text = f"{x} / torch.sqrt({squares})"
    if params.scaled:
        layer.need("Factor")
        weight = layer.arrays[0].reshape(-1)
        view = (1, weight.size) + (1,) * (len(layer.shape()) - 2)
        module = layer.module(f"Factor({view}, bias=False)", weight=weight.reshape(view))
        text = f"{module}({text})"
    layer.give(text)


def affine(layer: TorchLayer) -> None:
    """The rule of layers that are a scale and a shift per channel with their own arrays.

    Raises:
        NetcError: not-torch, where the layer is not of this form.
    """
    rule = CATALOG[layer.node.op].affine
    if rule is None or len(layer.node.inputs) != 1:
        raise layer.refused("there is no rule for it")
    shape = layer.shape()
    map = rule(layer.node.params, [shape], layer.arrays) if len(shape) > 1 else None
    if map is None:
        raise layer.refused("it is not one factor and one summand a channel")
    layer.need("Factor")
    view = (1, shape[1]) + (1,) * (len(shape) - 2)
    weight, bias = (np.reshape(part, view) for part in (map.scale, map.shift))
    layer.give(f"{layer.module(f'Factor({view})', weight=weight, bias=bias)}({layer.inputs[0]})")


def _factor(layer: TorchLayer) -> None:
    """Scale and Bias: by trained arrays, or by a second input."""
    params, node, shape = layer.node.params_as(OperandParams), layer.node, layer.shape()
    adds = node.op == "Bias"
    axis = params.axis % len(shape)
    if len(node.inputs) > 1:
        other = layer.shape(1)
        view = (1,) * axis + other + (1,) * (len(shape) - axis - len(other))
        text = f"{layer.inputs[0]} {'+' if adds else '*'} {layer.inputs[1]}.reshape{view}"
        if node.parameters:
            raise layer.refused("it takes its factors from another layer and has a bias")
        layer.give(text)
        return
    first, *rest = layer.arrays
    view = (1,) * axis + first.shape + (1,) * (len(shape) - axis - first.ndim)
    layer.need("Factor")
    arrays = {"bias": first} if adds else {"weight": first, **({"bias": rest[0]} if rest else {})}
    arguments = f"Factor({view}, weight={not adds}, bias={adds or bool(rest)})"
    module = layer.module(
        arguments, **{name: array.reshape(view) for name, array in arrays.items()}
    )
    layer.give(f"{module}({layer.inputs[0]})")


# Several inputs or outputs


def _eltwise(layer: TorchLayer) -> None:
    params, inputs = layer.node.params_as(EltwiseParams), layer.inputs
    if params.operation == "SUM":
        factors = params.coeff or (1.0,) * len(inputs)
        parts = [
            x if c == 1 else f"{number(c)} * {x}" for c, x in zip(factors, inputs, strict=True)
        ]
        layer.give(" + ".join(parts))
    elif params.operation == "PROD":
        layer.give(" * ".join(inputs))
    else:
        text = inputs[0]
        for other in inputs[1:]:
            text = f"torch.maximum({text}, {other})"
        layer.give(text)


def _concat(layer: TorchLayer) -> None:
    axis = layer.node.params_as(ConcatParams).axis
    layer.give(f"torch.cat(({', '.join(layer.inputs)},), {axis})")


def _slice(layer: TorchLayer) -> None:
    axis = layer.node.params_as(SliceParams).axis % len(layer.shape())
    start, parts = 0, []
    for at in range(len(layer.node.outputs)):
        size = layer.made(at)[axis]
        parts.append(f"{layer.inputs[0]}.narrow({axis}, {start}, {size})")
        start += size
    layer.give(*parts)


def _same(layer: TorchLayer) -> None:
    layer.give(*(layer.inputs[0] for _ in layer.node.outputs))


def _crop(layer: TorchLayer) -> None:
    params, shape, made = layer.node.params_as(CropParams), layer.shape(), layer.made()
    axis = params.axis % len(shape)
    number = len(shape) - axis
    offsets = params.offset or (0,)
    offsets = offsets * number if len(offsets) == 1 else offsets
    text = layer.inputs[0]
    for at, offset in zip(range(axis, len(shape)), offsets, strict=True):
        text += f".narrow({at}, {offset}, {made[at]})"
    layer.give(text)


# Shapes


def _reshape(layer: TorchLayer) -> None:
    """Flatten and Reshape; the first size is the batch's where both begin with it."""
    layer.give(
        f"{layer.inputs[0]}.reshape({_new_shape(layer.inputs[0], layer.shape(), layer.made())})"
    )


def _new_shape(x: str, old: Shape, new: Shape) -> str:
    if old and new and old[0] == new[0]:
        return ", ".join([f"{x}.shape[0]", *map(str, new[1:])])
    return ", ".join(map(str, new))


def _permute(layer: TorchLayer) -> None:
    order = list(layer.node.params_as(PermuteParams).order)
    order += [axis for axis in range(len(layer.shape())) if axis not in order]
    layer.give(f"{layer.inputs[0]}.permute({', '.join(map(str, order))})")


def _softmax(layer: TorchLayer) -> None:
    layer.give(f"F.softmax({layer.inputs[0]}, {layer.node.params_as(SoftmaxParams).axis})")


def _interp(layer: TorchLayer) -> None:
    if any(layer.node.params_as(InterpParams).crop):
        raise layer.refused("it crops or pads before it resizes")
    size = layer.made()[2:]
    layer.give(f'F.interpolate({layer.inputs[0]}, {size}, mode="bilinear", align_corners=True)')


def _shuffle(layer: TorchLayer) -> None:
    group = layer.node.params_as(ShuffleChannelParams).group
    layer.give(f"F.channel_shuffle({layer.inputs[0]}, {group})")


def _nothing(layer: TorchLayer) -> None:
    """A layer without outputs."""


RULES: Mapping[str, Rule] = {
    **MORE_RULES,
    "AbsVal": function("torch.abs({})"),
    "BNLL": function("F.softplus({})"),
    "BatchNorm": _batch_norm,
    "Bias": _factor,
    "Concat": _concat,
    "Convolution": _convolution,
    "Crop": _crop,
    "Deconvolution": _convolution,
    "Dropout": _dropout,
    "ELU": _elu,
    "Eltwise": _eltwise,
    "Exp": _exp,
    "Flatten": _reshape,
    "InnerProduct": _inner_product,
    "Interp": _interp,
    "LRN": _lrn,
    "Log": _log,
    "Normalize": _normalize,
    "PReLU": _prelu,
    "Permute": _permute,
    "Pooling": _pooling,
    "Power": _power,
    "ReLU": _relu,
    "ReLU6": _relu6,
    "Reshape": _reshape,
    "Scale": _factor,
    "ShuffleChannel": _shuffle,
    "Sigmoid": function("torch.sigmoid({})"),
    "Silence": _nothing,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _same,
    "Swish": _swish,
    "TanH": function("torch.tanh({})"),
}
