"""DetectionOutputExtended: SSD's boxes with the cell and the anchor that each comes from.

detection_output_extended_layer.cpp of opencv/training_toolbox_caffe. There are two classes, of
which the second is given. The top is (1, 1, boxes, 10): image, class, score, box, anchor, column
and row.
"""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input
from netc.ops.define import Arity, OpDef, ShapeError, copies, full_extent
from netc.ops.detection.boxes import nms_keep
from netc.ops.detection.detection_output import (
    DetectionOutputParams,
    check_detections,
    decoded_boxes,
    parse_detections,
)
from netc.ops.role import Role

_NUMBERS = 10  # image, class, score, box, anchor, column and row
_GIVEN = 1  # the class


def _shape(params: DetectionOutputParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    if params.classes != 2:
        raise ShapeError(
            f"DetectionOutputExtended has 2 classes, and `num_classes` is {params.classes}",
            "detection_output_param.num_classes",
        )
    location = inputs[0]
    if len(location) != 4 or location[3] % 4:
        raise ShapeError(
            f"the locations must be images x rows x columns x (4 * anchors): {show(location)}"
        )
    number = check_detections(params, inputs)
    limit = number if params.top < 0 else min(number, params.top)
    limit = max(1, limit if params.keep < 0 else min(limit, params.keep))
    return ((1, 1, location[0] * limit, _NUMBERS),)


@quietly
def _output(params: DetectionOutputParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    location, confidence, priors = (np.asarray(array) for array in inputs[:3])
    images, _, columns, numbers = location.shape
    priors = priors.reshape(-1)[: 2 * priors.shape[2]].reshape(2, -1, 4)
    number, each = priors.shape[1], 1 if params.share_location else params.classes
    coded = location.reshape(images, number, each, 4)
    boxes = decoded_boxes(params.code_type, params.variance_in_target, coded, priors[:, :, None])
    boxes, scores = boxes[:, :, each - 1], confidence.reshape(images, number, 2)[:, :, _GIVEN]
    found = []
    for image in range(images):
        best = _best(params, scores[image], boxes[image])
        cell, anchor = np.divmod(best, numbers // 4 // each)
        named = [np.full(len(best), image), np.full(len(best), _GIVEN), scores[image][best]]
        made = [*named, *boxes[image][best].T, anchor, cell % columns, cell // columns]
        found.append(np.stack(made, axis=1))
    rows = np.concatenate(found).astype(np.float32)
    if not len(rows):  # a row for each image, -1 behind its number
        rows = np.full((images, _NUMBERS), -1, np.float32)
        rows[:, 0] = np.arange(images)
    return (rows.reshape(1, 1, -1, _NUMBERS),)


def _best(params: DetectionOutputParams, scores: AnyArray, boxes: AnyArray) -> AnyArray:
    """Which priors give a box, the best first."""
    order = np.argsort(-scores, kind="stable")
    if params.confidence is not None:
        order = order[scores[order] > np.float32(params.confidence)]
    order = order[: params.top] if params.top > -1 else order
    best = order[nms_keep(boxes[order], params.overlap, eta=params.eta)]
    return best[: params.keep] if params.keep > -1 else best


DETECTION_OUTPUT_EXTENDED = OpDef(
    name="DetectionOutputExtended",
    arity=Arity((3, 3), (1, 1)),
    params=parse_detections,
    shape=_shape,
    cost=per_input(10),
    window=full_extent,
    reference=_output,
    memory=copies(8),
    dynamic=True,
    family="loss",
    role=Role.RESULT,
    host=True,
)

OPS = (DETECTION_OUTPUT_EXTENDED,)
