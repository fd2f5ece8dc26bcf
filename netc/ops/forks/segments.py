"""Layers of nets of video segments: BatchReduction, Gather and Scatter of yjxiong/caffe.

batch_reduction_layer.cpp, gather_layer.cpp and scatter_layer.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays
from netc.ops.axes import axis_in
from netc.ops.cost import per_input
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    copies,
    full_extent,
    no_params,
    same_shape,
)
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class BatchReductionParams:
    """Sums or means along ``axis``, of the whole or of pyramid levels of n x n elements each.

    Args:
        axis: the axis.
        levels: n of each level; (1,) for the whole axis.
        mean: the mean, else the sum.
        most: the mean of as many greatest elements; 0 for all of them.
    """

    axis: int
    levels: tuple[int, ...]
    mean: bool
    most: int


def _parse_batch_reduction(layer: Message, context: LayerContext) -> BatchReductionParams:
    p = reject_unknown_fields(layer.get("batch_reduction_param"), "level", "reduction_param")
    r = reject_unknown_fields(p.get("reduction_param"), "operation", "axis", "k")
    kind, levels = r.get("operation"), tuple(p.get("level")) or (1,)
    if kind not in ("SUM", "MEAN", "TOPK"):
        raise bad_value(r, "operation", "must be SUM, MEAN or TOPK")
    if kind == "TOPK" and len(levels) > 1:
        raise bad_value(p, "level", "must be one with `operation: TOPK`")
    most = number(r, "k", 1) if kind == "TOPK" else 0
    return BatchReductionParams(r.get("axis"), levels, kind != "SUM", most)


def reduced_parts(params: BatchReductionParams, shape: Shape) -> tuple[int, list[slice]]:
    """The axis, and the parts of it that the levels are.

    Raises:
        ShapeError: the levels do not fill the axis, or it is shorter than the greatest taken.
    """
    axis = axis_in(shape, params.axis, "batch_reduction_param.reduction_param.axis")
    sizes = [shape[axis]] if params.levels == (1,) else [n * n for n in params.levels]
    if sum(sizes) != shape[axis]:
        raise ShapeError(
            f"levels of {sum(sizes)} elements do not fill axis {axis} of {show(shape)}"
        )
    if params.most > sizes[0]:
        raise ShapeError(f"`k` {params.most} is more than the {sizes[0]} elements of the axis")
    ends = np.cumsum(sizes).tolist()
    return axis, [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def _batch_reduction_shape(
    params: BatchReductionParams, inputs: Sequence[Shape]
) -> tuple[Shape, ...]:
    shape = inputs[0]
    axis, parts = reduced_parts(params, shape)
    kept = () if params.levels == (1,) else (len(parts),)
    return ((*shape[:axis], *kept, *shape[axis + 1 :]),)


def _batch_reduction(
    params: BatchReductionParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    x = np.asarray(inputs[0])
    axis, parts = reduced_parts(params, x.shape)
    (shape,) = _batch_reduction_shape(params, [x.shape])
    made = []
    for place in parts:
        part = x[(slice(None),) * axis + (place,)]
        if params.most:
            part = -np.sort(-part, axis=axis)[(slice(None),) * axis + (slice(params.most),)]
        made.append(part.mean(axis=axis) if params.mean else part.sum(axis=axis))
    return (np.stack(made, axis=axis).astype(x.dtype).reshape(shape),)


BATCH_REDUCTION = OpDef(
    name="BatchReduction",
    arity=ONE_TO_ONE,
    params=_parse_batch_reduction,
    shape=_batch_reduction_shape,
    cost=per_input(1),
    window=full_extent,
    memory=copies(4),
    reference=_batch_reduction,
    family="pooling",
    host=True,
)


def _passed(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return tuple(inputs)


def _of_ranks(name: str) -> OpDef[None]:
    """Gather or Scatter of the batch over MPI ranks; on one it changes nothing."""
    return OpDef(
        name=name,
        arity=Arity((1, None), (1, None), same=True),
        params=no_params,
        shape=same_shape,
        reference=_passed,
        family="other",
    )


GATHER, SCATTER = _of_ranks("Gather"), _of_ranks("Scatter")

OPS = (BATCH_REDUCTION, GATHER, SCATTER)
