"""Rules of layers that treat each element by itself, or elements of several blobs together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netc.export.onnx.writer import LayerExport, Rule
from netc.ir.graph import Array
from netc.ir.types import count
from netc.ops.activation import ClipParams, ELUParams, SwishParams, ThresholdParams
from netc.ops.arithmetic import BaseParams, PowerParams
from netc.ops.axes import aligned
from netc.ops.dropout import DropoutParams, DropPathParams
from netc.ops.elementwise import EltwiseParams
from netc.ops.rectifiers import ReLU6Params, ReLUParams
from netc.ops.scale_bias import OperandParams


def plain(kind: str) -> Rule:
    """The rule of a layer that ONNX has, without parameters."""

    def rule(layer: LayerExport) -> None:
        layer.give(kind, *layer.inputs)

    return rule


def identity(layer: LayerExport) -> None:
    """Every top is the bottom."""
    for top in range(len(layer.outputs)):
        layer.give("Identity", layer.x, top=top)


def _relu(layer: LayerExport) -> None:
    slope = layer.params_as(ReLUParams).negative_slope
    if slope:
        layer.give("LeakyRelu", layer.x, alpha=slope)
    else:
        layer.give("Relu", layer.x)


def _relu6(layer: LayerExport) -> None:
    params = layer.params_as(ReLU6Params)
    slope, most = params.negative_slope, layer.constant("n", params.n)
    if slope:
        layer.give("Min", layer.op("LeakyRelu", layer.x, alpha=slope), most)
    elif params.n >= 0:
        layer.give("Clip", layer.x, layer.constant("zero", 0), most)
    else:
        layer.give("Min", layer.op("Relu", layer.x), most)


def _prelu(layer: LayerExport) -> None:
    (slopes,) = layer.arrays()
    if slopes.ndim:
        slopes = slopes.reshape(-1, *(1,) * (len(layer.shape()) - 2))
    layer.give("PRelu", layer.x, layer.constant("slope", slopes))


def _elu(layer: LayerExport) -> None:
    layer.give("Elu", layer.x, alpha=layer.params_as(ELUParams).alpha)


def _swish(layer: LayerExport) -> None:
    beta = layer.params_as(SwishParams).beta
    inner = layer.x if beta == 1 else layer.op("Mul", layer.x, layer.constant("beta", beta))
    layer.give("Mul", layer.x, layer.op("Sigmoid", inner))


def _clip(layer: LayerExport) -> None:
    """Where the bounds are the wrong way round the lower one wins, which Clip leaves open."""
    params = layer.params_as(ClipParams)
    low, high = (layer.constant(name, getattr(params, name)) for name in ("min", "max"))
    if params.min <= params.max:
        layer.give("Clip", layer.x, low, high)
    else:
        layer.give("Max", layer.op("Min", layer.x, high), low)


def _threshold(layer: LayerExport) -> None:
    from onnx import TensorProto

    bound = layer.constant("threshold", layer.params_as(ThresholdParams).threshold)
    layer.give("Cast", layer.op("Greater", layer.x, bound), to=TensorProto.FLOAT)


def _power(layer: LayerExport) -> None:
    params = layer.params_as(PowerParams)
    power, scale, shift = (np.float32(v) for v in (params.power, params.scale, params.shift))
    if power * scale == 0:
        with np.errstate(all="ignore"):
            _constant_map(layer, np.float32(1) if power == 0 else shift**power)
        return
    _chain(layer, ("Mul", scale, 1), ("Add", shift, 0), ("Pow", power, 1))


def _constant_map(layer: LayerExport, value: np.float32) -> None:
    """Of the bottom's shape, whatever the bottom holds: infinities too."""
    from onnx import numpy_helper

    shape = layer.op("Shape", layer.x)
    layer.give("ConstantOfShape", shape, value=numpy_helper.from_array(np.full(1, value)))


def _chain(layer: LayerExport, *steps: tuple[str, np.float32, float]) -> None:
    """The bottom through each step that is none of its operation's neutral elements."""
    taken = [(kind, value) for kind, value, neutral in steps if value != neutral]
    current = layer.x
    for kind, value in taken[:-1]:
        current = layer.op(kind, current, layer.constant(kind.lower(), value))
    if taken:
        kind, value = taken[-1]
        layer.give(kind, current, layer.constant(kind.lower(), value))
    else:
        layer.give("Identity", current)


def _log_of(base: float) -> np.float32:
    return np.float32(1) if base == -1 else np.log(np.float32(base))


def _exp(layer: LayerExport) -> None:
    """base ** (shift + scale * x) as base ** shift * exp(log(base) * scale * x)."""
    params = layer.params_as(BaseParams)
    base, shift = np.float32(params.base), np.float32(params.shift)
    inner = _log_of(params.base) * np.float32(params.scale)
    outer = np.exp(shift) if params.base == -1 else base**shift
    scaled = layer.x if inner == 1 else layer.op("Mul", layer.x, layer.constant("inner", inner))
    if shift == 0:
        layer.give("Exp", scaled)
    else:
        layer.give("Mul", layer.op("Exp", scaled), layer.constant("outer", outer))


def _log(layer: LayerExport) -> None:
    params = layer.params_as(BaseParams)
    scale, shift = np.float32(params.scale), np.float32(params.shift)
    factor = np.float32(1) / _log_of(params.base)
    current = layer.x
    if scale != 1:
        current = layer.op("Mul", current, layer.constant("scale", scale))
    if shift != 0:
        current = layer.op("Add", current, layer.constant("shift", shift))
    if factor == 1:
        layer.give("Log", current)
    else:
        layer.give("Mul", layer.op("Log", current), layer.constant("factor", factor))


def _dropout(layer: LayerExport) -> None:
    params = layer.params_as(DropPathParams, DropoutParams)
    if params.sample:
        train = layer.writer.graph.phase == "TRAIN"
        help = ("export phase TEST, in which it drops nothing",) if train else ()
        raise layer.refuse("it drops at random", *help)
    if params.scale == 1:
        identity(layer)
    else:
        layer.give("Mul", layer.x, layer.constant("scale", params.scale))


def _eltwise(layer: LayerExport) -> None:
    params, inputs = layer.params_as(EltwiseParams), list(layer.inputs)
    if params.operation == "MAX":
        layer.give("Max", *inputs)
        return
    for index, factor in enumerate(params.coeff):
        if factor != 1:
            inputs[index] = layer.op("Mul", inputs[index], layer.constant("coeff", factor))
    kind = "Mul" if params.operation == "PROD" else "Add"
    current = inputs[0]
    for other in inputs[1:-1]:
        current = layer.op(kind, current, other)
    if len(inputs) > 1:
        layer.give(kind, current, inputs[-1])
    else:
        layer.give("Identity", current)


def _operand(layer: LayerExport, array: Array, what: str) -> str:
    """An array that broadcasts over the bottom from the layer's axis on."""
    axes = len(layer.shape())
    start = layer.params_as(OperandParams).axis % axes if array.ndim else 0
    return layer.constant(what, aligned(array, start, axes))


def _bottom_operand(layer: LayerExport) -> str:
    """The second bottom with axes of 1 around it, so that it broadcasts over the first."""
    axes, own = len(layer.shape(0)), len(layer.shape(1))
    start = layer.params_as(OperandParams).axis % axes if own else 0
    added = [axis for axis in range(axes) if not start <= axis < start + own]
    if not added:
        return layer.inputs[1]
    return layer.op("Unsqueeze", layer.inputs[1], layer.whole("axes", added))


def _scale(layer: LayerExport) -> None:
    arrays = layer.arrays()
    own = len(layer.inputs) == 1
    factor = _operand(layer, arrays[0], "factor") if own else _bottom_operand(layer)
    bias = arrays[1 if own else 0 :]
    if bias:
        scaled = layer.op("Mul", layer.x, factor)
        layer.give("Add", scaled, _operand(layer, bias[0], "bias"))
    else:
        layer.give("Mul", layer.x, factor)


def _bias(layer: LayerExport) -> None:
    arrays = layer.arrays()
    summand = _operand(layer, arrays[0], "bias") if arrays else _bottom_operand(layer)
    layer.give("Add", layer.x, summand)


def _axpy(layer: LayerExport) -> None:
    factor, x, y = layer.inputs
    shape = layer.shape(1)
    if len(layer.shape(0)) != len(shape):
        factor = layer.reshape(factor, [0, shape[1], *(1,) * (len(shape) - 2)])
    elif count(layer.shape(0), 2) != 1:
        raise layer.refuse("its factors are not one a channel")
    layer.give("Add", layer.op("Mul", factor, x), y)


RULES: Mapping[str, Rule] = {
    "AbsVal": plain("Abs"),
    "Axpy": _axpy,
    "BNLL": plain("Softplus"),
    "Bias": _bias,
    "Clip": _clip,
    "DropPath": _dropout,
    "Dropout": _dropout,
    "ELU": _elu,
    "Eltwise": _eltwise,
    "Exp": _exp,
    "Log": _log,
    "PReLU": _prelu,
    "Power": _power,
    "ReLU": _relu,
    "ReLU6": _relu6,
    "Scale": _scale,
    "Sigmoid": plain("Sigmoid"),
    "Split": identity,
    "Swish": _swish,
    "TanH": plain("Tanh"),
    "Threshold": _threshold,
}
