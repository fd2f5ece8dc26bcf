"""FaceAttriEvaluate of yuqj1991/caffe_train: how near predicted faces' points and attributes are.

faceEvaluateLayer.cpp there, with `facetype: FACEATTRIBUTE`; of the other types it makes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import one_of
from netc.ops.role import Role
from netc.schema.message import Message

_POINTS, _NUMBERS, _GIVEN = 5, 17, 10


def _parse(layer: Message, context: LayerContext) -> None:
    """Numbers of points, genders and glasses are written, and the layer has its own."""
    p = reject_unknown_fields(
        layer.get("face_evaluate_param"),
        *("facetype", "facepoints", "num_gender", "num_glasses", "num_headpose"),
    )
    if not p.has("facetype"):
        raise layer.error("type", "missing-field", "`face_evaluate_param.facetype` must be written")
    one_of(p, "facetype", ("FACEATTRIBUTE",))
    usual = (("facepoints", _POINTS), ("num_gender", 2), ("num_glasses", 2))
    for name, number in usual:
        if p.has(name) and p.get(name) != number:
            rule = f"the layer has {number}, whatever `{name}` says"
            raise p.error(name, "unsupported-value", rule)


def _shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    face, label = inputs
    if len(face) < 2 or count(face, 1) != face[1] or face[1] < _NUMBERS:
        raise ShapeError(
            f"a face has {_NUMBERS} numbers: 5 x, 5 y, 3 angles and scores of 2 genders and of "
            f"glasses; the first bottom is {show(face)}"
        )
    if count(label) != face[0] * _NUMBERS:
        raise ShapeError(
            f"{_NUMBERS} numbers for each of {face[0]} faces are needed: 5 x, 5 y, 3 angles, "
            f"gender, glasses, width and height; the second bottom is {show(label)}"
        )
    return ((1, 1, face[0], _GIVEN),)


@quietly
def _evaluate(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Rows: 5 distances over the image's diagonal, gender, glasses, 3 cosines.

    From the first face on whose gender is right, it counts as right, as there; likewise glasses.
    """
    face, true = (np.asarray(x).reshape(len(inputs[0]), -1) for x in inputs)
    true = true.astype(np.float64)
    made = np.zeros((len(face), _GIVEN))
    size, apart = true[:, 15:], face[:, :10] - true[:, :10]
    x, y = size[:, :1] * apart[:, :_POINTS], size[:, 1:] * apart[:, _POINTS:]
    made[:, :_POINTS] = np.sqrt(x * x + y * y) / np.sqrt((size * size).sum(axis=1, keepdims=True))
    for at in range(2):
        scores = np.maximum(face[:, 13 + 2 * at : 15 + 2 * at], 0)
        right = np.trunc(true[:, 13 + at]) == scores.argmax(axis=1)
        made[:, _POINTS + at] = np.maximum.accumulate(right)
    made[:, 7:] = np.cos((face[:, 10:13] - true[:, 10:13]) / 180 * np.pi)
    return (made[None, None].astype(inputs[0].dtype),)


OPS = (
    OpDef(
        name="FaceAttriEvaluate",
        arity=Arity((2, 2), (1, 1)),
        params=_parse,
        shape=_shape,
        cost=per_input(6),
        window=full_extent,
        reference=_evaluate,
        memory=copies(6),
        family="loss",
        role=Role.RESULT,
        host=True,
    ),
)
