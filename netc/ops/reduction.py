"""ArgMax and Reduction (argmax_layer.cpp, reduction_layer.cpp of BVLC)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import axis_in, need_axes
from netc.ops.cost import per_input
from netc.ops.define import (
    POINTWISE,
    WHOLE,
    LayerContext,
    OpDef,
    ShapeError,
    Window,
    copies,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import number, one_of
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class ArgMaxParams:
    """The ``top_k`` greatest elements, of equal ones the last first.

    Args:
        top_k: how many.
        axis: along which axis; None for all elements of each item.
        out_max_val: with an ``axis``, values in place of indices; without, values as a second row.
    """

    top_k: int = 1
    axis: int | None = None
    out_max_val: bool = False


def _parse_argmax(layer: Message, context: LayerContext) -> ArgMaxParams:
    message = reject_unknown_fields(layer.get("argmax_param"), "out_max_val", "top_k", "axis")
    return ArgMaxParams(
        number(message, "top_k", 1), message.optional("axis"), message.get("out_max_val")
    )


def _argmax_shape(params: ArgMaxParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    if params.axis is None:
        need_axes(shape, 1, "ArgMax")
        _check_top_k(params, count(shape[1:]), f"an item of {show(shape)}")
        rows = 2 if params.out_max_val else 1
        return ((shape[0], rows, params.top_k, *(1,) * (len(shape) - 3)),)
    axis = axis_in(shape, params.axis, "argmax_param.axis")
    _check_top_k(params, shape[axis], f"axis {axis} of {show(shape)}")
    return ((*shape[:axis], params.top_k, *shape[axis + 1 :]),)


def _check_top_k(params: ArgMaxParams, elements: int, where: str) -> None:
    if params.top_k > elements:
        raise ShapeError(
            f"`top_k` {params.top_k} is more than the {elements} elements of {where}",
            "argmax_param.top_k",
        )


def _greatest(x: AnyArray, k: int) -> AnyArray:
    """Indices of the k greatest along the last axis; of equal ones the last comes first.

    Caffe sorts pairs of value and index downwards (argmax_layer.cpp).
    """
    backwards = namespace(x).argsort(-x[..., ::-1], axis=-1, kind="stable")
    result: AnyArray = x.shape[-1] - 1 - backwards[..., :k]
    return result


def _argmax(params: ArgMaxParams, inputs: Arrays, weights: Arrays) -> Arrays:
    (x,) = inputs
    if params.axis is None:
        return (_argmax_of_items(params, x),)
    xp = namespace(x)
    last = xp.moveaxis(x, params.axis, -1)
    found = _greatest(last, params.top_k)
    if params.out_max_val:
        found = xp.take_along_axis(last, found, axis=-1)
    return (xp.moveaxis(found, -1, params.axis).astype(x.dtype),)


def _argmax_of_items(params: ArgMaxParams, x: AnyArray) -> AnyArray:
    xp = namespace(x)
    items = x.reshape(x.shape[0], -1)
    found = _greatest(items, params.top_k)
    rows = [found]
    if params.out_max_val:
        rows.append(xp.take_along_axis(items, found, axis=-1))
    shape = _argmax_shape(params, (x.shape,))[0]
    return xp.stack([row.astype(x.dtype) for row in rows], axis=1).reshape(shape)


def _argmax_window(
    params: ArgMaxParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    if params.axis is None:
        return WHOLE
    return POINTWISE if params.axis % len(inputs[0]) < 2 else WHOLE


ARGMAX = OpDef(
    name="ArgMax",
    arity=ONE_TO_ONE,
    params=_parse_argmax,
    shape=_argmax_shape,
    cost=per_input(1),
    window=_argmax_window,
    reference=_argmax,
    memory=copies(4),
    family="reshaping",
    role=Role.RESULT,
)


@dataclass(frozen=True, slots=True)
class ReductionParams:
    """All axes from ``axis`` on become one number, times ``coeff``.

    ``operation`` is SUM, ASUM (of absolute values), SUMSQ (of squares) or MEAN.
    """

    operation: str = "SUM"
    axis: int = 0
    coeff: float = 1.0


_OPERATIONS = ("SUM", "ASUM", "SUMSQ", "MEAN")


def _parse_reduction(layer: Message, context: LayerContext) -> ReductionParams:
    message = reject_unknown_fields(layer.get("reduction_param"), "operation", "axis", "coeff")
    operation = one_of(message, "operation", _OPERATIONS)
    return ReductionParams(operation, message.get("axis"), message.get("coeff"))


def _reduction_shape(params: ReductionParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return (inputs[0][: axis_in(inputs[0], params.axis, "reduction_param.axis")],)


def _reduction(params: ReductionParams, inputs: Arrays, weights: Arrays) -> Arrays:
    (x,) = inputs
    xp = namespace(x)
    kept = x.shape[: params.axis % x.ndim]
    elements = count(x.shape[len(kept) :])
    with np.errstate(all="ignore"):
        function = {"ASUM": xp.abs, "SUMSQ": xp.square}.get(params.operation)
        terms = x if function is None else function(x)
        total = terms.reshape((count(kept), elements)).sum(axis=1).reshape(kept)
        factor = np.float32(params.coeff)
        if params.operation == "MEAN":
            factor = factor / np.float32(elements)
        return (total * factor,)


def _reduction_window(
    params: ReductionParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    return WHOLE if len(inputs[0]) > 2 else POINTWISE


REDUCTION = OpDef(
    name="Reduction",
    arity=ONE_TO_ONE,
    params=_parse_reduction,
    shape=_reduction_shape,
    cost=per_input(1),
    window=_reduction_window,
    reference=_reduction,
    family="reshaping",
)

OPS = (ARGMAX, REDUCTION)
