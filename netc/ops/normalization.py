"""MVN and Softmax (mvn_layer.cpp, softmax_layer.cpp of BVLC)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Dims, Shape, count, dims, show
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import axis_in
from netc.ops.contents import Contents, Whole
from netc.ops.cost import per_output
from netc.ops.define import (
    POINTWISE,
    WHOLE,
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    TypeReading,
    Window,
    erased,
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


def _first_shape(params: SoftmaxParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, numbers = inputs
    axis = axis_in(data, params.axis, "softmax_param.axis")
    if count(numbers) * data[axis] != count(data):
        raise ShapeError(
            f"how many elements count is needed of each row along axis {axis} of {show(data)}, "
            f"got {show(numbers)}"
        )
    return (data,)


def _softmax_of_first(params: SoftmaxParams, inputs: Arrays, weights: Arrays) -> Arrays:
    """Softmax over the first elements of each row, 0 for the others; NaN where none count."""
    xp, data = namespace(inputs[0]), inputs[0]
    axis = params.axis % data.ndim
    rows = (*data.shape[:axis], 1, *data.shape[axis + 1 :])
    places = xp.arange(data.shape[axis]).reshape(-1, *[1] * (data.ndim - axis - 1))
    with np.errstate(all="ignore"):
        counted = places < inputs[1].reshape(rows)
        most = xp.where(counted | (places == 0), data, -np.inf).max(axis=axis, keepdims=True)
        each = xp.where(counted, xp.exp(data - most), data.dtype.type(0))
        return (each / each.sum(axis=axis, keepdims=True),)


def _numbers(params: SoftmaxParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return None, Whole(1 + inputs[0][params.axis], first=1)


SOFTMAX_OF_FIRST = OpDef(
    name="SoftmaxOfFirst",
    arity=Arity((2, 2), (1, 1)),
    params=_parse_softmax,
    shape=_first_shape,
    cost=per_output(6),
    window=_softmax_window,
    reference=_softmax_of_first,
    contents=_numbers,
    family="loss",
)


def _of_first(layer: Message) -> TypeReading | None:
    """Up-Down-Captioner's second bottom: how many elements of each row count (softmax_layer.cpp of
    peteanderson80/caffe).
    """
    return TypeReading(erased(SOFTMAX_OF_FIRST)) if len(layer.get("bottom")) == 2 else None


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
    reading=_of_first,
)

OPS = (MVN, SOFTMAX)
READINGS = (SOFTMAX_OF_FIRST,)
OTHER_NAMES = {"VoxelSoftmax": SOFTMAX}  # C3D's, of volumes (voxel_wise_softmax_layer.cpp)
