"""PredictBox of MTCNN's nets in caffe-windows: boxes where a map of scores says a face.

predict_box_layer.cpp of happynear/caffe-windows. The bottoms are probabilities (num, 2, h, w), and
possibly changes of the boxes (num, 4, h, w) and a map: of 2 channels the greatest scores around a
place, of 3 where a place lies in a stitched pyramid and its scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.axes import need_four_axes
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import number
from netc.schema.message import Message

_CELL = 12  # pixels that the smallest net of MTCNN sees
_NEAR = 1e-5  # a score so little below the greatest around it is the greatest


@dataclass(frozen=True, slots=True)
class PredictBoxParams:
    """Boxes of ``field`` pixels lie ``stride`` apart; scores above ``least`` count.

    With ``grown`` changes of width and height are logarithms, else those of the four sides.
    """

    stride: int
    field: int
    least: float
    grown: bool
    tops: int


def _parse(layer: Message, context: LayerContext) -> PredictBoxParams:
    names = ("stride", "receptive_field", "positive_thresh", "bbreg_exp", "nms", "output_vector")
    p = reject_unknown_fields(layer.get("predict_box_param"), *names)  # the last two do nothing
    return PredictBoxParams(
        number(p, "stride", 1),
        number(p, "receptive_field", 1),
        p.get("positive_thresh"),
        p.get("bbreg_exp"),
        context.tops,
    )


def _shape(params: PredictBoxParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """The second top has a row for each box; its shape is a bound."""
    need_four_axes(inputs[0], "PredictBox")
    num, _, high, wide = inputs[0]
    wanted = ((2,), (4,), (2, 3))
    for shape, most in zip(inputs, wanted, strict=False):
        if len(shape) != 4 or shape[1] not in most or shape != (num, shape[1], high, wide):
            raise ShapeError(
                f"maps of {' or '.join(map(str, most))} channels and {high}x{wide} places are "
                f"wanted, the bottom is {show(shape)}"
            )
    rows = high * wide if num == 1 else 1
    return ((num, 5, high, wide), (num, rows, 5))[: params.tops]


def _boxes(params: PredictBoxParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """x, y, width, height and score of each place, 0 where there is no face; then a row for each.

    Rows go from left to right, then down; of several images, or none, there is one row of zeros.
    """
    scores = np.asarray(inputs[0])
    num, _, high, wide = scores.shape
    more = np.asarray(inputs[2]) if len(inputs) > 2 else None
    stitched = more is not None and more.shape[1] == 3
    score = scores[:, 1]
    there = score > params.least
    left, top, size = np.zeros_like(score), np.zeros_like(score), np.full_like(score, params.field)
    if more is not None and stitched:
        left, top, size = more[:, 0], more[:, 1], more[:, 2]
        there &= size != 0
    elif more is not None:
        there &= score > more[:, 1] - _NEAR
    rows, columns = np.mgrid[:high, :wide].astype(scores.dtype) * params.stride
    box = [(columns - left) / _CELL * size, (rows - top) / _CELL * size, size, size]
    if len(inputs) > 1:
        box = _changed(params, box, np.asarray(inputs[1]), size)
    made = np.where(there[:, None], np.stack([*box, score], axis=1), 0).astype(scores.dtype)
    if params.tops == 1:
        return (made,)
    places = np.argwhere(there[0].T) if num == 1 else np.zeros((0, 2), np.int64)
    found = made[0][:, places[:, 1], places[:, 0]].T[None]
    return made, found if len(places) else np.zeros((num, 1, 5), scores.dtype)


def _changed(
    params: PredictBoxParams, box: list[AnyArray], by: AnyArray, size: AnyArray
) -> list[AnyArray]:
    x, y, width, height = box
    if params.grown:
        with np.errstate(all="ignore"):
            grown = [width * np.exp(by[:, 2]), height * np.exp(by[:, 3])]
        return [x + by[:, 0] * size, y + by[:, 1] * size, *grown]
    return [
        x + by[:, 1] * size,
        y + by[:, 0] * size,
        width + (by[:, 3] - by[:, 1]) * size,
        height + (by[:, 2] - by[:, 0]) * size,
    ]


PREDICT_BOX = OpDef(
    name="PredictBox",
    arity=Arity((1, 3), (1, 2)),
    params=_parse,
    shape=_shape,
    cost=per_input(6),
    window=full_extent,
    memory=copies(12),
    reference=_boxes,
    dynamic=True,
    family="other",
    host=True,
)

OPS = (PREDICT_BOX,)
