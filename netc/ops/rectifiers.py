"""ReLU, bounded ReLUs, and PReLU with trained slopes.

relu_layer.cpp and prelu_layer.cpp of BVLC; ReLU6 of the MobileNet forks; ``maximum``, ``minimum``
and ``relu6`` of synopsys-caffe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from netc.ir.types import Shape
from netc.numeric import np
from netc.ops.activation import EPILOGUE_ACTIVATION, ONE_TO_ONE, activation, elementwise
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import need_axes, per_channel
from netc.ops.cost import per_output
from netc.ops.define import (
    Arity,
    Cost,
    LayerContext,
    OpDef,
    TypeReading,
    WeightSpec,
    erased,
    same_shape,
)
from netc.ops.fields import fork_field, reject_unknown_fields
from netc.ops.filler import Filler, parse_filler
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class ReLUParams:
    """max(x, 0) + ``negative_slope`` * min(x, 0) (relu_layer.cpp)."""

    negative_slope: float = 0.0


def _parse_relu(layer: Message, context: LayerContext) -> ReLUParams:
    message = reject_unknown_fields(layer.get("relu_param"), "negative_slope", "fuse")
    return ReLUParams(message.get("negative_slope"))


def _relu(params: ReLUParams, x: AnyArray) -> AnyArray:
    xp = namespace(x)
    return xp.maximum(x, 0) + params.negative_slope * xp.minimum(x, 0)


def _relu_cost(params: ReLUParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    return per_output(2 if params.negative_slope else 1)(params, inputs, outputs)


_READ_AS = (
    "top",
    "with a second top it is DeconvNet's, whose second top is 1 where the bottom is above 0; "
    "BVLC's takes exactly 1",
    ("take the second `top` away if it was not meant",),
)


def _bounded_reading(layer: Message) -> TypeReading | None:
    """Synopsys's bounds of a ReLU: a ReLU6 of another bound, or one with a least value too."""
    param = layer.get("relu_param")
    if len(layer.get("top")) == 2:
        return TypeReading(erased(RELU_MASK), _READ_AS)
    least = fork_field(param, "minimum", 0.0)
    if least == 0 and _greatest(param) == math.inf:
        return None
    return TypeReading(
        erased(BOUNDED_RELU) if least else erased(replace(RELU6, params=_parse_bounded))
    )


def _greatest(param: Message) -> float:
    """The least of `maximum`, where it is above 0, and 6 for `relu6`."""
    most = fork_field(param, "maximum", 0.0)
    return min(
        most if most > 0 else math.inf, 6.0 if fork_field(param, "relu6", False) else math.inf
    )


def _relu_mask(params: ReLUParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    x = inputs[0]
    return _relu(params, x), (x > 0).astype(x.dtype)


def _twice(params: ReLUParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return (inputs[0], inputs[0])


RELU_MASK = OpDef(
    name="ReLUMask",
    arity=Arity((1, 1), (2, 2)),
    params=_parse_relu,
    shape=_twice,
    cost=per_output(2),
    reference=_relu_mask,
    in_place=True,
    family="activation",
)
"""Its second top is 1 where the bottom is above 0, else 0 (relu_layer.cpp of HyeonwooNoh/caffe)."""

RELU = OpDef(
    name="ReLU",
    reading=_bounded_reading,
    arity=ONE_TO_ONE,
    params=_parse_relu,
    shape=same_shape,
    cost=_relu_cost,
    reference=elementwise(_relu),
    in_place=True,
    family="activation",
    role=EPILOGUE_ACTIVATION | Role.RECTIFIER,
)


@dataclass(frozen=True, slots=True)
class ReLU6Params:
    """A ReLU whose result is at most ``n``."""

    negative_slope: float = 0.0
    n: float = 6.0


def _parse_relu6(layer: Message, context: LayerContext) -> ReLU6Params:
    """ReLU6 of the MobileNet forks; ``n`` is a field of some."""
    message = reject_unknown_fields(layer.get("relu6_param"), "negative_slope", "n")
    return ReLU6Params(message.get("negative_slope"), fork_field(message, "n", 6.0))


def _relu6(params: ReLU6Params, x: AnyArray) -> AnyArray:
    xp = namespace(x)
    y = xp.maximum(x, 0) + params.negative_slope * xp.minimum(x, 0)
    return xp.minimum(y, np.float32(params.n))


RELU6 = activation(
    "ReLU6",
    _relu6,
    2,
    _parse_relu6,
    role=Role.FUNCTION
    | Role.NONLINEARITY
    | Role.NON_NEGATIVE
    | Role.EPILOGUE
    | Role.FINISHING
    | Role.CLIPPED,
)


@dataclass(frozen=True, slots=True)
class BoundedReLUParams:
    """A ReLU whose result is at most ``n`` and at least ``least``."""

    negative_slope: float
    n: float
    least: float


_BOUNDS = ("negative_slope", "fuse", "relu6", "maximum", "minimum")


def _parse_bounded(layer: Message, context: LayerContext) -> ReLU6Params:
    param = reject_unknown_fields(layer.get("relu_param"), *_BOUNDS)
    return ReLU6Params(param.get("negative_slope"), _greatest(param))


def _parse_bounded_below(layer: Message, context: LayerContext) -> BoundedReLUParams:
    param = reject_unknown_fields(layer.get("relu_param"), *_BOUNDS)
    return BoundedReLUParams(param.get("negative_slope"), _greatest(param), param.get("minimum"))


def _bounded_relu(params: BoundedReLUParams, x: AnyArray) -> AnyArray:
    xp = namespace(x)
    y = _relu6(ReLU6Params(params.negative_slope, params.n), x)
    return xp.maximum(y, np.float32(params.least))


BOUNDED_RELU = activation("BoundedReLU", _bounded_relu, 3, _parse_bounded_below)
READINGS = (
    RELU_MASK,
    BOUNDED_RELU,
)


_QUARTER = Filler(value=0.25)


@dataclass(frozen=True, slots=True)
class PReLUParams:
    """max(x, 0) + slope * min(x, 0) with a trained slope (He et al. 2015, arXiv:1502.01852).

    One for each channel, (channels,), or with ``channel_shared`` one for all, ().
    """

    channel_shared: bool = False
    filler: Filler = _QUARTER


def _parse_prelu(layer: Message, context: LayerContext) -> PReLUParams:
    message = reject_unknown_fields(layer.get("prelu_param"), "filler", "channel_shared")
    shared = message.get("channel_shared")
    if not message.has("filler"):
        return PReLUParams(shared)
    return PReLUParams(shared, parse_filler(message.get("filler")))


def _prelu_shape(params: PReLUParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    need_axes(inputs[0], 2, "PReLU")
    return (inputs[0],)


def _prelu_weights(params: PReLUParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    shape = () if params.channel_shared else (inputs[0][1],)
    return (WeightSpec(shape, params.filler),)


def _prelu(params: PReLUParams, inputs: Arrays, weights: Arrays) -> Arrays:
    """max(x, 0) + slope * min(x, 0) (prelu_layer.cpp)."""
    (x,), (slope,) = inputs, weights
    xp = namespace(x)
    with np.errstate(all="ignore"):
        return (xp.maximum(x, 0) + per_channel(slope, x.ndim) * xp.minimum(x, 0),)


PRELU = OpDef(
    name="PReLU",
    arity=ONE_TO_ONE,
    params=_parse_prelu,
    shape=_prelu_shape,
    weights=_prelu_weights,
    cost=per_output(2),
    reference=_prelu,
    in_place=True,
    family="activation",
    role=EPILOGUE_ACTIVATION | Role.CHANNEL_VECTORS,
)

OPS = (RELU, RELU6, PRELU)
