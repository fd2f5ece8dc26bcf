"""Accuracies of forks, and a margin: EltwiseAccuracy, LabelsequenceAccuracy, AccuracyRegression.

eltwise_accuracy_layer.cpp of HyeonwooNoh/caffe (DeconvNet), labelsequence_accuracy_layer.cpp of
yalecyu/crnn.caffe, label_specific_add_layer.cpp of opencv/training_toolbox_caffe,
accuracy_regression_layer.cpp of BVLC's pull request 1378.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, dims, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.contents import label_along
from netc.ops.cost import per_input, per_output
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.labels import check_batch, check_label_count, class_labels, parse_ignore_label
from netc.ops.numbers import number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class EltwiseAccuracyParams:
    """Share of places whose best class is the label's; scores are along ``axis``.

    Places with ``ignore_label`` are left out; None leaves none out. The top is (1, 1, 1, 1).
    """

    ignore_label: int | None
    axis: int = 1


def _parse_eltwise(layer: Message, context: LayerContext) -> EltwiseAccuracyParams:
    reject_unknown_fields(layer.get("accuracy_param"))
    return EltwiseAccuracyParams(
        parse_ignore_label(
            reject_unknown_fields(layer.get("eltwise_accuracy_param"), "ignore_label")
        )
    )


def _eltwise_shape(params: EltwiseAccuracyParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    if len(data) != 4 or len(label) != 4 or label[1] != 1:
        raise ShapeError(
            f"both bottoms must have 4 axes and the label one channel: {show(data)} and "
            f"{show(label)}"
        )
    check_batch(data, label)
    check_label_count(data, label, params.axis)
    return ((1, 1, 1, 1),)


@quietly
def _eltwise(
    params: EltwiseAccuracyParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    """The share of places whose greatest score, of equal the last, is the label's."""
    data, label = inputs
    xp, classes = namespace(data), data.shape[1]
    scores = data.reshape(data.shape[0], classes, -1)
    index, kept = class_labels(label.reshape(data.shape[0], 1, -1), classes, params.ignore_label)
    best = classes - 1 - scores[:, ::-1].argmax(axis=1)[:, None]
    right = (kept & (best == index)).sum(dtype=xp.float32)
    return ((right / kept.sum(dtype=xp.float32)).astype(data.dtype).reshape(1, 1, 1, 1),)


ELTWISE_ACCURACY = OpDef(
    name="EltwiseAccuracy",
    arity=Arity((2, 2), (1, 1)),
    params=_parse_eltwise,
    shape=_eltwise_shape,
    cost=per_input(2),
    window=full_extent,
    memory=copies(4),
    reference=_eltwise,
    contents=label_along,
    family="loss",
)


@dataclass(frozen=True, slots=True)
class SequenceAccuracyParams:
    """Share of sequences that are right once repeats and ``blank`` symbols are removed; top ()."""

    blank: int


def _parse_sequence(layer: Message, context: LayerContext) -> SequenceAccuracyParams:
    param = reject_unknown_fields(layer.get("labelsequence_accuracy_param"), "blank_label")
    return SequenceAccuracyParams(param.get("blank_label"))


def _sequence_shape(params: SequenceAccuracyParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    if len(data) < 3 or count(data, 3) != 1 or len(label) < 2 or count(label, 2) != 1:
        raise ShapeError(
            "the bottoms must be examples x steps x symbols and examples x labels: they are "
            f"{show(data)} and {show(label)}"
        )
    check_batch(data, label)
    return ((),)


def _sequence(
    params: SequenceAccuracyParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    """The share of sequences that, without repeats and blanks, are the label's without blanks."""
    data, label = (np.asarray(array) for array in inputs)
    best = data.reshape(data.shape[:3]).argmax(axis=2)
    labels = np.trunc(label.reshape(label.shape[:2]))
    hits = 0
    for said, wanted in zip(best, labels, strict=True):
        before = np.concatenate([[params.blank], said[:-1]])
        said = said[(said != before) & (said != params.blank)]
        hits += np.array_equal(said, wanted[wanted != params.blank])
    return (np.array(hits / max(1, len(best)), data.dtype),)


LABELSEQUENCE_ACCURACY = OpDef(
    name="LabelsequenceAccuracy",
    arity=Arity((2, 2), (1, 1)),
    params=_parse_sequence,
    shape=_sequence_shape,
    cost=per_input(2),
    window=full_extent,
    memory=copies(4),
    reference=_sequence,
    family="loss",
    host=True,
)


@dataclass(frozen=True, slots=True)
class LabelSpecificAddParams:
    """``bias`` is subtracted from the score of an example's label where that is greater.

    It is 0 in the TEST phase.
    """

    bias: float


def _parse_add(layer: Message, context: LayerContext) -> LabelSpecificAddParams:
    """``transform_test`` is read in the TRAIN phase alone, where it changes nothing."""
    param = reject_unknown_fields(layer.get("label_specific_add_param"), "bias", "transform_test")
    bias = abs(param.get("bias"))
    if not np.isfinite(bias):
        raise bad_value(param, "bias", "must be finite")
    return LabelSpecificAddParams(bias if context.phase == "TRAIN" else 0.0)


def _add_shape(params: LabelSpecificAddParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    if not data or count(label) < data[0]:
        raise ShapeError(
            f"a label is needed for each example of {show(data)}, the label is {show(label)}"
        )
    return (data,)


def _add(params: LabelSpecificAddParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    data, label = inputs
    xp, bias = namespace(data), data.dtype.type(params.bias)
    rows = data.reshape(data.shape[0], -1)
    index, _ = class_labels(label.reshape(-1)[: len(rows)], rows.shape[1])
    own = xp.arange(rows.shape[1]) == index[:, None]
    return (xp.where(own & (rows > bias), rows - bias, rows).reshape(data.shape),)


LABEL_SPECIFIC_ADD = OpDef(
    name="LabelSpecificAdd",
    arity=Arity((2, 2), (1, 1)),
    params=_parse_add,
    shape=_add_shape,
    cost=per_output(2),
    window=full_extent,
    memory=copies(3),
    reference=_add,
    in_place=True,
    family="loss",
)


def _parse_regression(layer: Message, context: LayerContext) -> int:
    """How many scores there must be at least: ``top_k`` is checked, and else does nothing."""
    return number(reject_unknown_fields(layer.get("accuracy_param"), "top_k"), "top_k", 1)


def _regression_shape(params: int, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    check_batch(data, label)
    if len(data) > 4 or len(label) > 4 or dims(data) != dims(label):
        raise ShapeError(f"both bottoms must be alike, they are {show(data)} and {show(label)}")
    if params > count(data, 1):
        raise ShapeError(
            f"`top_k` {params} is more than the {count(data, 1)} numbers of an item of {show(data)}"
        )
    return ((1, 1, 1, 1),)


@quietly
def _regression(params: int, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Half the sum of absolute differences, for an item: where two numbers are a point's."""
    data, label = inputs
    xp = namespace(data)
    total = xp.abs(data.reshape(-1) - label.reshape(-1)).sum(dtype=np.float64)
    return (xp.asarray(total / len(data) / 2).astype(data.dtype).reshape(1, 1, 1, 1),)


ACCURACY_REGRESSION = OpDef(
    name="AccuracyRegression",
    arity=Arity((2, 2), (1, 1)),
    params=_parse_regression,
    shape=_regression_shape,
    cost=per_input(2),
    window=full_extent,
    memory=copies(4),
    reference=_regression,
    family="loss",
)

OPS = (ELTWISE_ACCURACY, LABELSEQUENCE_ACCURACY, LABEL_SPECIFIC_ADD, ACCURACY_REGRESSION)
