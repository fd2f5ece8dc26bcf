"""DetectionOutput of TextBoxes++ (Liao et al. 2018): boxes, and the corners of the text in them.

detection_output_layer.cpp and bbox_util.cpp of MhLiao/TextBoxes_plusplus. A prior has 12 locations,
those of a box and of four corners, or 9, those of a box, of two corners and of a height
(`use_polygon: false`). Which boxes are given follows from the boxes alone, as in SSD. The top is
(1, 1, boxes, 15 or 12): image, class, score, box, and the corners' x and y, with the height last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netc.ir.types import Shape, count
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.define import ShapeError
from netc.ops.detection.detection_output import (
    DETECTION_OUTPUT,
    DetectionOutputParams,
    best_rows,
    check_detections,
    coded_boxes,
    decoded_boxes,
    max_boxes,
)

_OF_CORNERS = (0, 1, 2, 1, 2, 3, 0, 3)  # which number of a prior each corner is counted from


def _numbers(params: DetectionOutputParams, inputs: Sequence[Shape]) -> int:
    sets = 1 if params.share_location else params.classes
    return count(inputs[0], 1) * 4 // (inputs[2][2] * sets)


def _shape(params: DetectionOutputParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    numbers = _numbers(params, inputs)
    if params.code_type != "CENTER_SIZE" or params.variance_in_target:
        raise ShapeError(
            "corners are decoded with `code_type: CENTER_SIZE` and scaled by the variances alone",
            "detection_output_param.code_type",
        )
    number = check_detections(params, inputs, numbers)
    return ((1, 1, inputs[0][0] * max_boxes(params, number), numbers + 3),)


@quietly
def _output(params: DetectionOutputParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    numbers = _numbers(params, [array.shape for array in inputs])
    coded, priors = coded_boxes(params, inputs, numbers)
    boxes = decoded_boxes(params.code_type, False, coded[..., :4], priors)
    decode = _corners if numbers == 12 else _middles
    return (
        best_rows(
            params,
            np.asarray(inputs[1]),
            np.concatenate([boxes, decode(coded[..., 4:], priors)], axis=-1),
        ),
    )


def _corners(coded: AnyArray, priors: AnyArray) -> AnyArray:
    """Four corners, each from that of the prior."""
    box, variance = priors
    size = box[..., 2:] - box[..., :2]
    scaled: AnyArray = np.tile(variance[..., :2] * size, 4)
    result: AnyArray = coded * scaled + box[..., list(_OF_CORNERS)]
    return result


def _middles(coded: AnyArray, priors: AnyArray) -> AnyArray:
    """Two corners from the prior's centre, and a height from its own."""
    box, variance = priors
    size, centre = box[..., 2:] - box[..., :2], (box[..., :2] + box[..., 2:]) / 2
    corners = coded[..., :4] * np.tile(variance[..., :2] * size, 2) + np.tile(centre, 2)
    height = np.exp(coded[..., 4:] * variance[..., 3:]) * size[..., 1:]
    return np.concatenate([corners, height], axis=-1)


DETECTION_OUTPUT_CORNERS = replace(
    DETECTION_OUTPUT,
    name="DetectionOutputCorners",
    shape=_shape,
    reference=_output,
    reading=None,
    by_shape=None,
)

READINGS = (DETECTION_OUTPUT_CORNERS,)
