"""SoftmaxWithCrossEntropyLoss: scores taught by other scores (Hinton et al. 2015, distillation).

softmax_cross_entropy_loss_layer.cpp of lxx1991/caffe_mpi, which MRCNN's scene nets were trained by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.axes import axis_in
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.ops.normalization import softmax
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class SoftTargetParams:
    """Classes lie along ``axis``; ``every`` divides by all predictions, else by the items."""

    axis: int
    every: bool
    tops: int


def _parse(layer: Message, context: LayerContext) -> SoftTargetParams:
    softmax_param = reject_unknown_fields(layer.get("softmax_param"), "axis")
    loss = reject_unknown_fields(layer.get("loss_param"), "normalize")
    every = loss.get("normalize") if loss.has("normalize") else True
    return SoftTargetParams(softmax_param.get("axis"), every, context.tops)


def _shape(params: SoftTargetParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    axis_in(inputs[0], params.axis, "softmax_param.axis")
    if inputs[0] != inputs[1]:
        raise ShapeError(f"both bottoms must be alike: {show(inputs[0])} and {show(inputs[1])}")
    return ((), inputs[0])[: params.tops]


def predictions(params: SoftTargetParams, shape: Shape) -> int:
    """What the loss is divided by, at least 1."""
    axis = params.axis % len(shape)
    return max(1, count(shape, 0, axis) * (count(shape, axis + 1) if params.every else 1))


def _loss(params: SoftTargetParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """-sum q log p over predictions, of the softmaxes p and q; then p."""
    data, target = (np.asarray(array) for array in inputs)
    p, q = softmax(data, params.axis), softmax(target, params.axis)
    logs = np.log(np.maximum(p.astype(np.float64), np.finfo(np.float32).tiny))
    total = -(q * logs).sum() / predictions(params, data.shape)
    return (np.asarray(total, data.dtype), p)[: params.tops]


SOFT_TARGETS = OpDef(
    name="SoftmaxWithCrossEntropyLoss",
    arity=Arity((2, 2), (1, 2), optional_top=True),
    params=_parse,
    shape=_shape,
    cost=per_input(10),
    window=full_extent,
    memory=copies(10),
    reference=_loss,
    loss=True,
    family="loss",
    host=True,
)

OPS = (SOFT_TARGETS,)
