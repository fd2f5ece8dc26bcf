"""InfogainLoss: a cross entropy weighted by a matrix H of classes (infogain_loss_layer.cpp).

H, classes x classes, is the third bottom or is read from a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.ir.types import Shape, count
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.axes import axis_in
from netc.ops.contents import label_along
from netc.ops.cost import per_input
from netc.ops.cross_entropy import split_at
from netc.ops.define import Arity, BlobFile, LayerContext, OpDef, ShapeError, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.ops.labels import (
    check_batch,
    check_label_count,
    class_labels,
    divisor,
    loss_param,
    parse_ignore_label,
    parse_normalization,
)
from netc.ops.loss import LOG_THRESHOLD, scalar
from netc.ops.normalization import softmax
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class InfogainLossParams:
    """Parameters of InfogainLoss.

    Args:
        axis: of the scores, the one that holds the classes of the labels.
        softmax_axis: the axis of the softmax, a field of its own in Caffe; both are 1 by default.
        source: path of H's file, as it is written; None where H is the third bottom.
        ignore_label: predictions with this label do not count; None counts all.
        normalization: FULL, VALID, BATCH_SIZE or NONE, see :func:`netc.ops.labels.divisor`.
        tops: 2 gives the probabilities too.
        matrix: H once the file has been read.
    """

    axis: int
    softmax_axis: int
    source: str | None
    ignore_label: int | None
    normalization: str
    tops: int
    matrix: Array | None = field(default=None, compare=False, repr=False)


def _parse_infogain(layer: Message, context: LayerContext) -> InfogainLossParams:
    param, loss = (
        reject_unknown_fields(layer.get("infogain_loss_param"), "source", "axis"),
        loss_param(layer),
    )
    if context.bottoms < 3 and not param.has("source"):
        raise param.error(
            None,
            "missing-field",
            "an InfogainLoss of 2 bottoms needs `source`, the file of its matrix",
            'add `infogain_loss_param { source: "H.binaryproto" }` or a third bottom',
        )
    if loss.has("normalize"):
        raise loss.error(
            "normalize",
            "unsupported-value",
            "InfogainLoss does not take the old `normalize`",
            "use `normalization: VALID` for true, `normalization: BATCH_SIZE` for false",
        )
    return InfogainLossParams(
        param.get("axis"),
        reject_unknown_fields(layer.get("softmax_param"), "axis").get("axis"),
        param.get("source") if context.bottoms < 3 else None,
        parse_ignore_label(loss),
        parse_normalization(loss),
        max(1, context.tops),
    )


def _infogain_shape(params: InfogainLossParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs[:2]
    check_batch(data, label)
    axis_in(data, params.softmax_axis, "softmax_param.axis")
    axis = axis_in(data, params.axis, "infogain_loss_param.axis")
    check_label_count(data, label, axis)
    if len(inputs) > 2:
        fault = _matrix_fault(count(inputs[2]), data[axis])
        if fault:
            raise ShapeError(fault)
    return ((), data)[: params.tops]


def _matrix_fault(size: int, classes: int) -> str | None:
    if size == classes * classes:
        return None
    return (
        f"the infogain matrix must have {classes * classes} elements, {classes} by {classes} for "
        f"{classes} classes, it has {size}"
    )


@quietly
def _infogain(params: InfogainLossParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    data, label = inputs[:2]
    xp = namespace(data)
    outer, classes, inner = split_at(data.shape, params.axis % data.ndim)
    matrix = infogain_matrix(params, inputs, classes)
    index, kept = class_labels(label.reshape(outer, inner), classes, params.ignore_label)
    prob = softmax(data, params.softmax_axis % data.ndim)
    logs = xp.log(xp.maximum(prob, LOG_THRESHOLD)).reshape(outer, classes, inner)
    gains = xp.einsum("oic,oci->oi", matrix[index], logs)
    loss = -xp.where(kept, gains, 0).sum(dtype=np.float64)
    by = divisor(params.normalization, outer, inner, kept.sum())
    return (scalar(loss / by, data), prob)[: params.tops]


def infogain_matrix(params: InfogainLossParams, inputs: Arrays, classes: int) -> AnyArray:
    """The matrix H, float32 (classes, classes).

    Raises:
        NetcError: infogain-matrix, where the file of the matrix has not been read.
    """
    if params.source is None:
        return inputs[2].reshape(classes, classes)
    if params.matrix is None:
        message = f"the infogain matrix `{params.source}` has not been read"
        raise NetcError(Diagnostic("infogain-matrix", message))
    return namespace(inputs[0]).asarray(params.matrix).reshape(classes, classes)


def _infogain_file(params: InfogainLossParams) -> str | None:
    return params.source


def _matrix_shape(params: InfogainLossParams, inputs: Sequence[Shape]) -> Shape:
    return (inputs[0][params.axis],) * 2


def _with_matrix(
    params: InfogainLossParams, inputs: Sequence[Shape], path: str, blob: Array
) -> InfogainLossParams:
    fault = _matrix_fault(blob.size, inputs[0][params.axis])
    if fault:
        raise ShapeError(f"`{path}`: {fault}", code="infogain-matrix")
    return replace(params, source=path, matrix=blob)


INFOGAIN_LOSS = OpDef(
    name="InfogainLoss",
    arity=Arity((2, 3), (1, 2), optional_top=True),
    params=_parse_infogain,
    shape=_infogain_shape,
    cost=per_input(7),
    window=full_extent,
    reference=_infogain,
    loss=True,
    contents=label_along,
    blob_file=BlobFile(_infogain_file, _with_matrix, example=_matrix_shape),
    family="loss",
)

OPS = (INFOGAIN_LOSS,)
