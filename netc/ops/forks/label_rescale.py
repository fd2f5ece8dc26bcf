"""LabelSpecificRescale of NormFace: the score of each example's label times a factor, the others
times another (label_specific_rescale.cpp of happynear/caffe-windows).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.contents import label_of_example
from netc.ops.cost import per_output
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.ops.labels import class_labels
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class RescaleParams:
    """Factors of scores.

    Args:
        positive: of the label's; where ``power`` is set its magnitude to this power instead.
        negative: of the others.
        above_zero: the label's changes where it is above 0 alone (`for_ip`).
        shifted: 1 - ``positive`` is added to the label's (`bias_fix`).
        power: see ``positive``.
        tops: 2 gives ``positive`` too, (1,).
    """

    positive: float
    negative: float
    above_zero: bool
    shifted: bool
    power: bool
    tops: int


def _parse(layer: Message, context: LayerContext) -> RescaleParams:
    """Without `rescale_test` the TEST phase changes nothing."""
    message = reject_unknown_fields(
        layer.get("label_specific_rescale_param"),
        *("positive_weight", "negative_weight", "rescale_test", "for_ip", "bias_fix"),
        *("power_on_positive", "positive_lower_bound", "negative_upper_bound", "do_backward"),
    )
    plain = context.phase == "TEST" and not message.get("rescale_test")
    return RescaleParams(
        1.0 if plain else message.get("positive_weight"),
        1.0 if plain else message.get("negative_weight"),
        message.get("for_ip"),
        message.get("bias_fix"),
        message.get("power_on_positive"),
        context.tops,
    )


def _shape(params: RescaleParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    if not data or count(label) < data[0]:
        raise ShapeError(
            f"a label is needed for each example of {show(data)}, the label is {show(label)}"
        )
    return (data, (1,))[: params.tops]


def rescaled(params: RescaleParams, inputs: Arrays, data: AnyArray) -> tuple[AnyArray, AnyArray]:
    """The scores and their derivatives, both (examples, classes)."""
    xp, kind = namespace(data), data.dtype.type
    rows = data.reshape(data.shape[0], -1)
    index, _ = class_labels(inputs[1].reshape(-1)[: len(rows)], rows.shape[1])
    own = xp.arange(rows.shape[1]) == index[:, None]
    changed = own & (rows > 0) if params.above_zero else own
    factor, slope = kind(params.positive), kind(params.positive)
    if params.positive == 1:
        new = rows
    elif params.power:
        new = xp.sign(rows) * abs(rows) ** factor
        slope = factor * abs(rows) ** (factor - 1)
    else:
        new = rows * factor + (1 - factor if params.shifted else kind(0))
    others = kind(params.negative)
    values = xp.where(changed, new, xp.where(own, rows, rows * others))
    slopes = xp.where(changed, slope, xp.where(own, kind(1), others))
    return values, slopes


@quietly
def _rescale(params: RescaleParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    xp, data = namespace(inputs[0]), inputs[0]
    values, _ = rescaled(params, inputs, data)
    return (values.reshape(data.shape), xp.full(1, params.positive, data.dtype))[: params.tops]


LABEL_SPECIFIC_RESCALE = OpDef(
    name="LabelSpecificRescale",
    arity=Arity((2, 2), (1, 2)),
    params=_parse,
    shape=_shape,
    cost=per_output(2),
    window=full_extent,
    memory=copies(4),
    reference=_rescale,
    contents=label_of_example,
    family="loss",
)

OPS = (LABEL_SPECIFIC_RESCALE,)
