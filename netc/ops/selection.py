"""Layers that pick items or sum them up: BatchReindex, Filter, ArgMax, Reduction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, count, show
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import axis_in, need_axes
from netc.ops.contents import flag_last, item_second
from netc.ops.cost import per_input
from netc.ops.define import (
    POINTWISE,
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    Window,
    copies,
    no_params,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import number, one_of
from netc.ops.role import Role
from netc.schema.message import Message

_WHOLE = Window(whole=True)


def _reindex_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, indices = inputs
    need_axes(data, 1, "BatchReindex")
    if len(indices) != 1:
        raise ShapeError(
            f"the indices must have 1 axis, and bottom 1 is {show(indices)}",
            help=("flatten bottom 1 with a Reshape layer: `shape { dim: -1 }`",),
        )
    return ((indices[0], *data[1:]),)


def _reindex(params: None, inputs: Arrays, weights: Arrays) -> Arrays:
    """Item ``indices[i]`` of the batch as item i; fractions are cut off (batch_reindex_layer.cpp).

    Raises:
        NetcError: index-out-of-range.
    """
    data, indices = inputs
    items = data.shape[0]
    wrong = ~((indices >= 0) & (indices < items))
    if wrong.any():
        raise NetcError(
            Diagnostic(
                "index-out-of-range",
                f"index {float(indices[wrong][0]):g} is no item of the batch, the {items} items "
                f"are 0 to {items - 1}",
                help=("each value of bottom 1 must name an item of bottom 0",),
            )
        )
    return (data[indices.astype(np.int64)],)


BATCH_REINDEX = OpDef(
    name="BatchReindex",
    arity=Arity(bottoms=(2, 2), tops=(1, 1)),
    shape=_reindex_shape,
    reference=_reindex,
    params=no_params,
    contents=item_second,
    family="reshaping",
)


def _parse_filter(layer: Message, context: LayerContext) -> None:
    if context.tops != context.bottoms - 1:
        raise layer.error(
            "top" if layer.has("top") else "type",
            "top-count",
            f"Filter makes one top of each bottom but the last, the selector: {context.bottoms} "
            f"bottoms need {context.bottoms - 1} tops, and there are {context.tops}",
        )


def _filter_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """The shapes when every item is selected: how many are is known only from the data."""
    *blobs, selector = inputs
    need_axes(selector, 1, "Filter's selector")
    if count(selector[1:]) != 1:
        raise ShapeError(
            f"the selector's axes after the first must be 1, and the last bottom is "
            f"{show(selector)}"
        )
    for index, shape in enumerate(blobs):
        if shape[:1] != selector[:1]:
            raise ShapeError(
                f"the selector has {selector[0]} items, and bottom {index} is {show(shape)}",
                help=("every bottom needs as many items as the selector",),
            )
    return tuple(blobs)


def _filter(params: None, inputs: Arrays, weights: Arrays) -> Arrays:
    """The items whose selector is not 0, in order; fewer than the shape rule says, maybe none."""
    *blobs, selector = inputs
    chosen = namespace(selector).flatnonzero(selector)
    return tuple(blob[chosen] for blob in blobs)


FILTER = OpDef(
    dynamic=True,
    name="Filter",
    arity=Arity(bottoms=(2, None), tops=(1, None)),
    params=_parse_filter,
    shape=_filter_shape,
    reference=_filter,
    contents=flag_last,
    family="reshaping",
    host=True,
)


@dataclass(frozen=True, slots=True)
class ArgMaxParams:
    """The ``top_k`` greatest along ``axis``, or of each item's elements where it is None.

    ``out_max_val`` gives values in place of indices, without an axis beside them.
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
    return x.shape[-1] - 1 - backwards[..., :k]


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
        return _WHOLE
    return POINTWISE if params.axis % len(inputs[0]) < 2 else _WHOLE


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
    """All axes from ``axis`` on become one value, times ``coeff``.

    ``operation`` is SUM, ASUM (of absolutes), SUMSQ (of squares) or MEAN.
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
        terms = {"ASUM": xp.abs, "SUMSQ": xp.square}.get(params.operation, lambda v: v)(x)
        total = terms.reshape((count(kept), elements)).sum(axis=1).reshape(kept)
        factor = np.float32(params.coeff)
        if params.operation == "MEAN":
            factor = factor / np.float32(elements)
        return (total * factor,)


def _reduction_window(
    params: ReductionParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    return _WHOLE if len(inputs[0]) > 2 else POINTWISE


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

OPS = (BATCH_REINDEX, FILTER, ARGMAX, REDUCTION)
