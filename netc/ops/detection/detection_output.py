"""DetectionOutput of SSD (Liu et al., ECCV 2016): boxes from predictions and priors.

detection_output_layer.cpp and bbox_util.cpp of weiliu89/caffe@ssd. Boxes are x_min, y_min, x_max,
y_max in parts of the image's width and height. The top is (1, 1, boxes, 7), rows of image, class,
score and box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    Stand,
    TypeReading,
    copies,
    erased,
    full_extent,
)
from netc.ops.detection.boxes import nms_keep
from netc.ops.detection.region_output import REGION_OUTPUT
from netc.ops.fields import bad_value, fork_field, reject_unknown_fields
from netc.ops.numbers import one_of, required_number
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class DetectionOutputParams:
    """How predictions become boxes, and which of them are given.

    Args:
        classes: how many, the background counted.
        share_location: one box for all classes of a prior, else one for each.
        background: the class that is never given.
        code_type: CORNER, CENTER_SIZE or CORNER_SIZE.
        variance_in_target: whether the predictions are scaled by the variances already.
        keep: most boxes of an image; -1 for all.
        confidence: a box must score more; None for no limit.
        overlap: largest intersection over union allowed between two boxes of a class.
        eta: multiplies ``overlap``, while it is above 0.5, after each box that is kept.
        top: most boxes of a class that go into non-maximum suppression; -1 for all.
        pixels: width and height of the image whose pixels priors are in, rows of 5 then, image and
            box, as a Proposal makes them; None for SSD's, which have variances. OpenVINO's
            (detection_output.hpp of openvinotoolkit/openvino).
    """

    classes: int
    share_location: bool
    background: int
    code_type: str
    variance_in_target: bool
    keep: int
    confidence: float | None
    overlap: float
    eta: float
    top: int
    pixels: tuple[int, int] | None = None


_OUTPUT_FIELDS = (
    "num_classes", "share_location", "background_label_id", "nms_param", "code_type",
    "variance_encoded_in_target", "keep_top_k", "confidence_threshold",
    # files and windows that Caffe shows the boxes in:
    "save_output_param", "visualize", "visualize_threshold", "save_file",
    "use_polygon",  # which the number of locations tells
)  # fmt: skip
CODES = ("CORNER", "CENTER_SIZE", "CORNER_SIZE")


def parse_detections(layer: Message, context: LayerContext) -> DetectionOutputParams:
    """The fields of SSD's ``detection_output_param``.

    Raises:
        NetcError: unsupported-field, unsupported-value, missing-field or out-of-range, at the
            field.
    """
    return _parsed(reject_unknown_fields(layer.get("detection_output_param"), *_OUTPUT_FIELDS))


def _parsed(param: Message) -> DetectionOutputParams:
    nms = reject_unknown_fields(param.get("nms_param"), "nms_threshold", "top_k", "eta")
    if not nms.get("nms_threshold") >= 0:
        raise bad_value(nms, "nms_threshold", "must be at least 0")
    if not 0 < nms.get("eta") <= 1:
        raise bad_value(nms, "eta", "must be greater than 0 and at most 1")
    return DetectionOutputParams(
        required_number(param, "num_classes"),
        param.get("share_location"),
        param.get("background_label_id"),
        one_of(param, "code_type", CODES),
        param.get("variance_encoded_in_target"),
        param.get("keep_top_k"),
        param.optional("confidence_threshold"),
        nms.get("nms_threshold"),
        nms.get("eta"),
        nms.get("top_k") if nms.has("top_k") else -1,
    )


_IN_PIXELS = ("normalized", "input_width", "input_height")


def _parse_pixels(layer: Message, context: LayerContext) -> DetectionOutputParams:
    """With `normalized: false`: the fields, and the image's size in pixels."""
    given = layer.get("detection_output_param")
    param = reject_unknown_fields(given, *_OUTPUT_FIELDS, *_IN_PIXELS)
    if not param.get("variance_encoded_in_target") or param.get("code_type") == "CORNER_SIZE":
        raise param.error(
            "unsupported-value",
            "priors in pixels have no variances, and OpenVINO decodes `CORNER` and `CENTER_SIZE`",
            "write `variance_encoded_in_target: true` and one of these `code_type`",
        )
    pixels = required_number(param, "input_width"), required_number(param, "input_height")
    return replace(_parsed(param), pixels=pixels)


_MORE: Mapping[float, tuple[str, ...]] = {
    2: (
        "these are twice as many, as for TextBoxes' priors, each of which stands twice in its "
        "cell: write `offset_h: 0.5 offset_w: 0.5 offset_h: 1 offset_w: 0.5` in each "
        "`prior_box_param`",
    ),
    7: (
        "these are seven times as many, as for FaceBoxes' priors of 32, 64 and 128 pixels: write "
        "`density: 4 density: 2 density: 1` beside the three `min_size`",
    ),
}


def _output_shape(params: DetectionOutputParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """The shape when every box that may be kept is: how many are is known only from the data."""
    number = check_detections(params, inputs)
    return ((1, 1, inputs[0][0] * max_boxes(params, number), 7),)


def check_detections(
    params: DetectionOutputParams, inputs: Sequence[Shape], numbers: int = 4
) -> int:
    """The number of priors, where locations and confidences fit them.

    Args:
        params: the layer's parameters.
        inputs: shapes of locations and confidences, (num, ...), and of the priors (1, 2, 4 *
            priors), or (1, 1, 5 * priors) in pixels.
        numbers: of a location.

    Raises:
        ShapeError: they do not fit.
    """
    location, confidence, priors = inputs[:3]
    maps, each = (2, 4) if params.pixels is None else (1, 5)
    if len(priors) < 3 or priors[1] != maps or priors[2] % each or not priors[2]:
        raise ShapeError(
            f"the third bottom must be 1x{maps}x({each} * priors), it is {show(priors)}"
        )
    if location[:1] != confidence[:1]:
        raise ShapeError(
            f"locations and confidences must be of as many images: {show(location)} and "
            f"{show(confidence)}"
        )
    number = priors[2] // each
    boxes = 1 if params.share_location else params.classes
    for what, shape, each in (
        ("locations", location, numbers * boxes),
        ("confidences", confidence, params.classes),
    ):
        if count(shape, 1) != number * each:
            raise ShapeError(
                f"{number} priors with {each} {what} each need {number * each} of them, the bottom "
                f"is {show(shape)}",
                "detection_output_param.num_classes",
                _MORE.get(count(shape, 1) / (number * each), ()),
            )
    return number


def max_boxes(params: DetectionOutputParams, priors: int) -> int:
    """The most boxes of one image; 1 where nothing is found."""
    given = params.classes - (0 <= params.background < params.classes)
    limit = given * (priors if params.top < 0 else min(priors, params.top))
    return max(1, limit if params.keep < 0 else min(limit, params.keep))


@quietly
def _output(params: DetectionOutputParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    coded, priors = coded_boxes(params, inputs, 4)
    boxes = decoded_boxes(params.code_type, params.variance_in_target, coded, priors)
    return (best_rows(params, np.asarray(inputs[1]), boxes),)


def coded_boxes(
    params: DetectionOutputParams, inputs: Arrays, each: int
) -> tuple[AnyArray, AnyArray]:
    """Locations (images, priors, 1 or classes, ``each``), and the priors (2, priors, 1, 4)."""
    location, priors = np.asarray(inputs[0]), _priors(params, np.asarray(inputs[2]))
    sets = 1 if params.share_location else params.classes
    return location.reshape(len(location), priors.shape[1], sets, each), priors


def _priors(params: DetectionOutputParams, priors: AnyArray) -> AnyArray:
    """Boxes in parts of the image, and their variances: (2, priors, 1, 4)."""
    if params.pixels is None:
        return priors.reshape(-1)[: 2 * priors.shape[2]].reshape(2, -1, 1, 4)
    sizes = np.tile(np.array(params.pixels, priors.dtype), 2)
    boxes = priors.reshape(-1)[: priors.shape[2]].reshape(-1, 1, 5)[..., 1:] / sizes
    return np.stack([boxes, np.ones_like(boxes)])


def best_rows(params: DetectionOutputParams, confidence: AnyArray, boxes: AnyArray) -> AnyArray:
    """The top: rows of image, class, score and box, (1, 1, boxes, 3 + numbers of a box).

    Args:
        params: the layer's.
        confidence: scores of all classes for each prior, (images, ...).
        boxes: (images, priors, 1 or classes, numbers); the first four are the box.
    """
    images, number, _, width = boxes.shape
    scores = confidence.reshape(images, number, params.classes)
    boxes = np.broadcast_to(boxes, (images, number, params.classes, width))
    found = [_of_image(params, i, scores[i], boxes[i]) for i in range(images)]
    rows = np.concatenate(found) if found else np.zeros((0, 3 + width), np.float32)
    if not len(rows):
        # Where nothing is found Caffe gives a row for each image, -1 behind its number.
        rows = np.full((images, 3 + width), -1, dtype=np.float32)
        rows[:, 0] = np.arange(images)
    return rows.reshape(1, 1, -1, 3 + width)


def decoded_boxes(
    code_type: str, variance_in_target: bool, coded: AnyArray, priors: AnyArray
) -> AnyArray:
    """Boxes from predictions (..., priors, 4 or classes, 4) and priors (2, priors, ..., 4).

    Args:
        code_type: CORNER, CENTER_SIZE or CORNER_SIZE.
        variance_in_target: whether the predictions are scaled by the variances already.
        coded: the predictions, offsets from the priors.
        priors: boxes, and their variances.
    """
    prior, variance = priors
    if not variance_in_target:
        coded = coded * variance
    if code_type == "CORNER":
        result: AnyArray = prior + coded
        return result
    size = prior[..., 2:] - prior[..., :2]
    if code_type == "CORNER_SIZE":
        result = prior + coded * np.concatenate([size, size], axis=-1)
        return result
    centre = coded[..., :2] * size + (prior[..., :2] + prior[..., 2:]) / 2
    half = np.exp(coded[..., 2:]) * size / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def _of_image(
    params: DetectionOutputParams, image: int, scores: AnyArray, boxes: AnyArray
) -> AnyArray:
    """Rows of image, class, score and box; by class, then the best first."""
    rows = [
        _of_class(params, (image, label), scores[:, label], own)
        for label, own in enumerate(boxes.swapaxes(0, 1))
        if label != params.background
    ]
    found = np.concatenate(rows) if rows else np.zeros((0, 3 + boxes.shape[-1]), np.float32)
    if params.keep > -1 and len(found) > params.keep:
        best = np.argsort(-found[:, 2], kind="stable")[: params.keep]
        found = found[np.sort(best)]
    return found


def _of_class(
    params: DetectionOutputParams, place: tuple[int, int], scores: AnyArray, boxes: AnyArray
) -> AnyArray:
    order = np.argsort(-scores, kind="stable")
    if params.confidence is not None:
        order = order[scores[order] > np.float32(params.confidence)]
    if params.top > -1:
        order = order[: params.top]
    best = order[nms_keep(boxes[order, :4], params.overlap, eta=params.eta)]
    named = np.broadcast_to(np.array(place, np.float32), (len(best), 2))
    return np.concatenate([named, scores[best, None], boxes[best]], axis=1, dtype=np.float32)


def _with_corners(params: DetectionOutputParams, inputs: Sequence[Shape]) -> Stand | None:
    """TextBoxes++'s layer, where a prior has more than the four locations of a box."""
    if len(inputs) < 3 or len(inputs[2]) < 3 or not inputs[2][2]:
        return None
    sets = 1 if params.share_location else params.classes
    each = count(inputs[0], 1) / (inputs[2][2] / 4 * sets)
    return Stand("DetectionOutputCorners", params) if each in (9, 12) else None


def _of_regions(layer: Message) -> TypeReading | None:
    """One bottom is YOLOv2's map (gklz1982/caffe-yolov2), and SSD's layer has three; priors that
    are not `normalized` are OpenVINO's.
    """
    if not fork_field(layer.get("detection_output_param"), "normalized", True):
        return TypeReading(erased(DETECTION_OUTPUT_PIXELS))
    return TypeReading(erased(REGION_OUTPUT)) if len(layer.get("bottom")) == 1 else None


DETECTION_OUTPUT = OpDef(
    name="DetectionOutput",
    arity=Arity((3, 4), (1, 1)),  # the fourth is an image that Caffe can draw the boxes on
    params=parse_detections,
    shape=_output_shape,
    cost=per_input(10),
    window=full_extent,
    reference=_output,
    memory=copies(8),
    reads=3,
    dynamic=True,
    family="loss",
    role=Role.RESULT | Role.DETECTIONS | Role.BOX_ROWS,
    host=True,
    reading=_of_regions,
    by_shape=_with_corners,
)

DETECTION_OUTPUT_PIXELS = replace(
    DETECTION_OUTPUT,
    name="DetectionOutputPixels",
    params=_parse_pixels,
    reading=None,
    by_shape=None,
)

OPS = (DETECTION_OUTPUT,)
READINGS = (DETECTION_OUTPUT_PIXELS,)
