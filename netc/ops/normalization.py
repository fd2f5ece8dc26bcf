"""MVN and Softmax (mvn_layer.cpp, softmax_layer.cpp of BVLC)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Dims, Shape, dims, show
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import axis_in
from netc.ops.cost import per_output
from netc.ops.define import (
    POINTWISE,
    WHOLE,
    LayerContext,
    OpDef,
    ShapeError,
    Window,
)
from netc.ops.fields import fork_field, reject_unknown_fields
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class MVNParams:
    """Mean-variance normalisation of each channel of each item.

    Args:
        normalize_variance: whether to divide by the deviation too.
        across_channels: over all channels of an item together.
        eps: added to the deviation.
        eps_inside: ``eps`` is added to the variance instead (Synopsys's `add_eps_before_sqrt`).
    """

    normalize_variance: bool = True
    across_channels: bool = False
    eps: float = 1e-9
    eps_inside: bool = False


def mvn_deviation(params: MVNParams, variance: AnyArray) -> AnyArray:
    """What MVN divides by, in the shape of ``variance``; ``eps`` as :class:`MVNParams` says."""
    root, eps = namespace(variance).sqrt, variance.dtype.type(params.eps)
    return root(variance + eps) if params.eps_inside else root(variance) + eps


def _parse_mvn(layer: Message, context: LayerContext) -> MVNParams:
    names = ("normalize_variance", "across_channels", "eps", "add_eps_before_sqrt")
    message = reject_unknown_fields(layer.get("mvn_param"), *names)
    return MVNParams(
        message.get("normalize_variance"),
        message.get("across_channels"),
        message.get("eps"),
        fork_field(message, "add_eps_before_sqrt", False),
    )


def _mvn_shape(params: MVNParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """Always four axes: MVN reads and writes num, channels, height, width (mvn_layer.cpp)."""
    if len(inputs[0]) > len(Dims._fields):
        raise ShapeError(
            f"MVN takes at most 4 axes, and the bottom {show(inputs[0])} has {len(inputs[0])}",
            help=("join axes with a Reshape layer first",),
        )
    return (tuple(dims(inputs[0])),)


def _mvn_window(params: MVNParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
    return WHOLE


def _mvn(params: MVNParams, inputs: Arrays, weights: Arrays) -> Arrays:
    (x,) = inputs
    x = x.reshape(tuple(dims(x.shape)))
    axes = (1, 2, 3) if params.across_channels else (2, 3)
    with np.errstate(all="ignore"):
        centred = x - x.mean(axis=axes, keepdims=True)
        if not params.normalize_variance:
            return (centred,)
        variance = (centred * centred).mean(axis=axes, keepdims=True)
        return (centred / mvn_deviation(params, variance),)


MVN = OpDef(
    name="MVN",
    arity=ONE_TO_ONE,
    params=_parse_mvn,
    shape=_mvn_shape,
    cost=per_output(5),
    window=_mvn_window,
    reference=_mvn,
    in_place=True,
    family="normalization",
)


@dataclass(frozen=True, slots=True)
class SoftmaxParams:
    """``axis`` holds the classes; negative counts from the end."""

    axis: int = 1


def _parse_softmax(layer: Message, context: LayerContext) -> SoftmaxParams:
    return SoftmaxParams(reject_unknown_fields(layer.get("softmax_param"), "axis").get("axis"))


def _softmax_shape(params: SoftmaxParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    axis_in(inputs[0], params.axis, "softmax_param.axis")
    return (inputs[0],)


def _softmax_window(
    params: SoftmaxParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    return POINTWISE if params.axis % len(inputs[0]) < 2 else WHOLE


def softmax(x: AnyArray, axis: int) -> AnyArray:
    """exp(x - max) over its sum along an axis, in the shape of x (softmax_layer.cpp)."""
    if not x.size:
        return x
    shifted = namespace(x).exp(x - x.max(axis=axis, keepdims=True))
    result: AnyArray = shifted / shifted.sum(axis=axis, keepdims=True)
    return result


def _softmax(params: SoftmaxParams, inputs: Arrays, weights: Arrays) -> Arrays:
    with np.errstate(all="ignore"):
        return (softmax(inputs[0], params.axis),)


SOFTMAX = OpDef(
    name="Softmax",
    arity=ONE_TO_ONE,
    params=_parse_softmax,
    shape=_softmax_shape,
    cost=per_output(5),
    window=_softmax_window,
    reference=_softmax,
    in_place=True,
    family="loss",
    role=Role.SOFTMAX | Role.SIGNED_SCORES | Role.NON_NEGATIVE,
)

OPS = (MVN, SOFTMAX)
OTHER_NAMES = {"VoxelSoftmax": SOFTMAX}  # C3D's, of volumes (voxel_wise_softmax_layer.cpp)
