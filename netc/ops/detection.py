"""Single-shot detection (Liu et al., SSD): PriorBox and DetectionOutput of the fork ``ssd``.

prior_box_layer.cpp, detection_output_layer.cpp and bbox_util.cpp. Boxes are in parts of the
image's width and height.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from netc.ir.types import Shape, count, dims, show
from netc.ops.boxes import nms_keep
from netc.ops.cost import per_input, per_output
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import LARGEST, one_of, required_number
from netc.ops.role import Role
from netc.schema.message import Message

# PriorBox


@dataclass(frozen=True, slots=True)
class PriorBoxParams:
    """The boxes around a cell's centre, and how cells lie in the image.

    Args:
        sizes: width and height of each box in pixels, in the order they are written.
        clip: whether corners are brought into the image.
        variances: four, one for each coordinate.
        image: height and width; None for those of the second bottom.
        step: pixels from cell to cell, down and across; None for image over cells.
        offsets: of each box's centre in its cell, down and across, in steps: a box for each.
    """

    sizes: tuple[tuple[float, float], ...]
    clip: bool
    variances: tuple[float, float, float, float]
    image: tuple[int, int] | None
    step: tuple[float, float] | None
    offsets: tuple[tuple[float, float], ...]


_PRIOR_FIELDS = (
    "min_size", "max_size", "aspect_ratio", "flip", "clip", "variance", "img_size", "img_h",
    "img_w", "step", "step_h", "step_w", "offset", "offset_h", "offset_w",
)  # fmt: skip


def _parse_prior_box(layer: Message, context: LayerContext) -> PriorBoxParams:
    if layer.get("prior_box_param").get("width"):
        return _parse_clustered(layer, context)
    param = reject_unknown_fields(layer.get("prior_box_param"), *_PRIOR_FIELDS)
    image, step = (
        _pair(param, "img_size", "img_h", "img_w"),
        _pair(param, "step", "step_h", "step_w"),
    )
    return PriorBoxParams(
        _prior_sizes(param),
        param.get("clip"),
        _variances(param),
        None if image is None else (int(image[0]), int(image[1])),
        step,
        _offsets(param),
    )


def _offsets(param: Message) -> tuple[tuple[float, float], ...]:
    """Offsets down and across: ``offset``, or pairs of ``offset_h`` and ``offset_w``.

    OpenCV's importer has the pairs, one box for each; with them TextBoxes' priors can be written,
    each of which stands twice in a cell.
    """
    high, wide = param.get("offset_h"), param.get("offset_w")
    if len(high) != len(wide):
        name = "offset_h" if high else "offset_w"
        raise param.error(
            name,
            "value-count",
            f"`offset_h` and `offset_w` go together, and there are {len(high)} and {len(wide)}",
        )
    return tuple(zip(high, wide, strict=True)) or ((param.get("offset"),) * 2,)


def _pair(param: Message, both: str, first: str, second: str) -> tuple[float, float] | None:
    """A value for height and width, given at once or apart."""
    if not param.has(first) and not param.has(second):
        names = (both, both) if param.has(both) else ()
    elif param.has(both):
        raise param.error(
            both,
            "conflicting-fields",
            f"`{both}` and `{first}` or `{second}` are both given",
            f"remove `{both}`",
        )
    else:
        names = (first, second)
    for name in names:
        if not param.get(name) > 0:
            raise bad_value(param, name, "must be greater than 0")
    return (param.get(names[0]), param.get(names[1])) if names else None


def _prior_sizes(param: Message) -> tuple[tuple[float, float], ...]:
    small, large = param.get("min_size"), param.get("max_size")
    if not small:
        raise param.error(
            None, "missing-field", "`min_size` is not given", "add `min_size: N`, in pixels"
        )
    if large and len(large) != len(small):
        raise param.error(
            "max_size",
            "value-count",
            f"`max_size` is given {len(large)} times and `min_size` {len(small)} times",
            "give one `max_size` for each `min_size`, or none",
        )
    ratios, sizes = _ratios(param), []
    for index, size in enumerate(small):
        most = large[index] if large else None
        _check_sizes(param, size, most)
        sizes += _boxes_of(int(size), None if most is None else int(most), ratios)
    return tuple(sizes)


def _check_sizes(param: Message, small: float, large: float | None) -> None:
    for name, value in (("min_size", small), ("max_size", large)):
        if value is not None and not value <= LARGEST:
            raise bad_value(param, name, f"must be at most {LARGEST}")
    if not small > 0:
        raise bad_value(param, "min_size", "must be greater than 0")
    if large is not None and not large > small:
        raise bad_value(param, "max_size", f"must be greater than its `min_size` {small:g}")


def _boxes_of(small: int, large: int | None, ratios: list[float]) -> list[tuple[float, float]]:
    """A size's boxes. Sizes are whole pixels: Caffe keeps them in an int."""
    sizes = [(float(small), float(small))]
    if large is not None:
        side = math.sqrt(small * large)
        sizes.append((side, side))
    return sizes + [(small * math.sqrt(ratio), small / math.sqrt(ratio)) for ratio in ratios]


def _ratios(param: Message) -> list[float]:
    """Width to height of the boxes that are no squares, each followed by its flipped one."""
    found = [1.0]
    for ratio in param.get("aspect_ratio"):
        if not ratio > 0:
            raise bad_value(param, "aspect_ratio", "must be greater than 0")
        if not 1 / LARGEST <= ratio <= LARGEST:
            raise bad_value(param, "aspect_ratio", f"must lie between 1/{LARGEST} and {LARGEST}")
        if all(abs(ratio - other) >= 1e-6 for other in found):
            found += [ratio, 1 / ratio] if param.get("flip") else [ratio]
    return [ratio for ratio in found if abs(ratio - 1) >= 1e-6]


def _variances(param: Message) -> tuple[float, float, float, float]:
    given: tuple[float, ...] = param.get("variance") or (0.1,)
    if len(given) not in (1, 4):
        raise param.error(
            "variance",
            "value-count",
            f"`variance` is given {len(given)} times",
            "give it once or 4 times, for x_min, y_min, x_max and y_max",
        )
    if not all(value > 0 for value in given):
        raise bad_value(param, "variance", "must be greater than 0")
    return given[0], given[1 % len(given)], given[2 % len(given)], given[-1]


def _prior_shape(params: PriorBoxParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    for shape in inputs:
        if len(shape) > 4:
            raise ShapeError(f"the bottoms must have at most 4 axes, one is {show(shape)}")
    cells = dims(inputs[0]).height * dims(inputs[0]).width
    if cells == 0:
        raise ShapeError(f"the first bottom must have cells, it is {show(inputs[0])}")
    return ((1, 2, cells * len(params.sizes) * len(params.offsets) * 4),)


def _prior_boxes(
    params: PriorBoxParams, inputs: Sequence[Any], weights: Sequence[Any]
) -> tuple[Any, ...]:
    rows, columns = dims(inputs[0].shape)[2:]
    image = params.image or dims(inputs[1].shape)[2:]
    step = params.step or (image[0] / rows, image[1] / columns)
    down, across = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    cells = np.stack([across, down], axis=-1)[:, :, None, None, :]
    centres = (cells + np.array(params.offsets)[:, ::-1]) * (step[1], step[0])
    half = (np.array(params.sizes) / 2)[:, None]
    boxes = np.concatenate([centres - half, centres + half], axis=-1)
    boxes /= (image[1], image[0]) * 2
    if params.clip:
        boxes = boxes.clip(0, 1)
    variances = np.broadcast_to(np.array(params.variances), boxes.shape)
    return (np.stack([boxes, variances]).reshape(1, 2, -1).astype(np.float32),)


PRIOR_BOX = OpDef(
    name="PriorBox",
    arity=Arity((2, 2), (1, 1)),
    params=_parse_prior_box,
    shape=_prior_shape,
    cost=per_output(2),
    window=full_extent,
    reference=_prior_boxes,
    memory=copies(5),
    reads=0,
    family="loss",
    host=True,
)


def _parse_clustered(layer: Message, context: LayerContext) -> PriorBoxParams:
    """PriorBoxClustered of opencv/training_toolbox_caffe: widths and heights are written."""
    names = ("width", "height", "clip", "variance", "img_size", "img_h", "img_w", "step", "step_h",
             "step_w", "offset", "offset_h", "offset_w", "flip")  # fmt: skip
    param = reject_unknown_fields(layer.get("prior_box_param"), *names)
    wide, high = param.get("width"), param.get("height")
    if not wide or len(wide) != len(high):
        raise param.error(
            "width" if wide else None,
            "value-count",
            f"each box has a `width` and a `height`, and there are {len(wide)} and {len(high)}",
        )
    image, step = (
        _pair(param, "img_size", "img_h", "img_w"),
        _pair(param, "step", "step_h", "step_w"),
    )
    return PriorBoxParams(
        tuple(zip(wide, high, strict=True)),
        param.get("clip"),
        _variances(param),
        None if image is None else (int(image[0]), int(image[1])),
        step,
        _offsets(param),
    )


PRIOR_BOX_CLUSTERED = replace(PRIOR_BOX, name="PriorBoxClustered", params=_parse_clustered)


# DetectionOutput


@dataclass(frozen=True, slots=True)
class DetectionOutputParams:
    """How predictions become boxes, and which of them are given.

    Args:
        classes: the background counted.
        share_location: one box for all classes of a prior, else one for each.
        background: the class that is never given.
        code_type: CORNER, CENTER_SIZE or CORNER_SIZE.
        variance_in_target: whether the predictions are scaled by the variances already.
        keep: most boxes of an image; -1 for all.
        confidence: boxes must score more; None for all.
        overlap: allowed between two boxes of a class.
        eta: multiplies ``overlap`` above 0.5 after each box.
        top: most boxes of a class that are looked at; -1 for all.
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


_OUTPUT_FIELDS = (
    "num_classes", "share_location", "background_label_id", "nms_param", "code_type",
    "variance_encoded_in_target", "keep_top_k", "confidence_threshold",
    # files and windows that Caffe shows the boxes in:
    "save_output_param", "visualize", "visualize_threshold", "save_file",
)  # fmt: skip
CODES = ("CORNER", "CENTER_SIZE", "CORNER_SIZE")


def _parse_output(layer: Message, context: LayerContext) -> DetectionOutputParams:
    param = reject_unknown_fields(layer.get("detection_output_param"), *_OUTPUT_FIELDS)
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


_TWICE = (
    "these are twice as many, as for TextBoxes' priors, each of which stands twice in its cell: "
    "write `offset_h: 0.5 offset_w: 0.5 offset_h: 1 offset_w: 0.5` in each `prior_box_param`",
)


def _output_shape(params: DetectionOutputParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """The shape when every box that may be kept is: how many are is known only from the data."""
    location, confidence, priors = inputs[:3]
    if len(priors) < 3 or priors[1] != 2 or priors[2] % 4 or not priors[2]:
        raise ShapeError(f"the third bottom must be 1x2x(4 * priors), it is {show(priors)}")
    if location[:1] != confidence[:1]:
        raise ShapeError(
            f"locations and confidences must be of as many images: {show(location)} and "
            f"{show(confidence)}"
        )
    number = priors[2] // 4
    boxes = 1 if params.share_location else params.classes
    for what, shape, each in (
        ("locations", location, 4 * boxes),
        ("confidences", confidence, params.classes),
    ):
        if count(shape, 1) != number * each:
            raise ShapeError(
                f"{number} priors with {each} {what} each need {number * each} of them, the bottom "
                f"is {show(shape)}",
                "detection_output_param.num_classes",
                _TWICE if count(shape, 1) == 2 * number * each else (),
            )
    return ((1, 1, location[0] * _most_boxes(params, number), 7),)


def _most_boxes(params: DetectionOutputParams, priors: int) -> int:
    """Of one image; 1 where nothing is found."""
    given = params.classes - (0 <= params.background < params.classes)
    most = given * (priors if params.top < 0 else min(priors, params.top))
    return max(1, most if params.keep < 0 else min(most, params.keep))


@np.errstate(all="ignore")
def _output(
    params: DetectionOutputParams, inputs: Sequence[Any], weights: Sequence[Any]
) -> tuple[Any, ...]:
    location, confidence, priors = (np.asarray(array) for array in inputs[:3])
    images = location.shape[0]
    priors = priors.reshape(-1)[: 2 * priors.shape[2]].reshape(2, -1, 4)
    scores = confidence.reshape(images, priors.shape[1], params.classes)
    number, each = priors.shape[1], 1 if params.share_location else params.classes
    coded = location.reshape(images, number, each, 4)
    boxes = decoded_boxes(params.code_type, params.variance_in_target, coded, priors[:, :, None])
    boxes = np.broadcast_to(boxes, (images, number, params.classes, 4))
    found = [_of_image(params, i, scores[i], boxes[i]) for i in range(images)]
    rows = np.concatenate(found) if found else np.zeros((0, 7), np.float32)
    if not len(rows):
        # Where nothing is found Caffe gives a row for each image, -1 behind its number.
        rows = np.full((images, 7), -1, dtype=np.float32)
        rows[:, 0] = np.arange(images)
    return (rows.reshape(1, 1, -1, 7),)


def decoded_boxes(code_type: str, variance_in_target: bool, coded: Any, priors: Any) -> Any:
    """Boxes from predictions (..., priors, 4 or classes, 4) and priors (2, priors, ..., 4).

    Args:
        code_type: CORNER, CENTER_SIZE or CORNER_SIZE.
        variance_in_target: whether the predictions are scaled by the variances already.
        coded: predictions.
        priors: boxes and their variances.
    """
    prior, variance = priors
    if not variance_in_target:
        coded = coded * variance
    if code_type == "CORNER":
        return prior + coded
    size = prior[..., 2:] - prior[..., :2]
    if code_type == "CORNER_SIZE":
        return prior + coded * np.concatenate([size, size], axis=-1)
    centre = coded[..., :2] * size + (prior[..., :2] + prior[..., 2:]) / 2
    half = np.exp(coded[..., 2:]) * size / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def _of_image(params: DetectionOutputParams, image: int, scores: Any, boxes: Any) -> Any:
    """Rows of image, class, score and box; by class, then the best first."""
    rows = [
        _of_class(params, (image, label), scores[:, label], own)
        for label, own in enumerate(boxes.swapaxes(0, 1))
        if label != params.background
    ]
    found = np.concatenate(rows) if rows else np.zeros((0, 7), np.float32)
    if params.keep > -1 and len(found) > params.keep:
        best = np.argsort(-found[:, 2], kind="stable")[: params.keep]
        found = found[np.sort(best)]
    return found


def _of_class(
    params: DetectionOutputParams, place: tuple[int, int], scores: Any, boxes: Any
) -> Any:
    order = np.argsort(-scores, kind="stable")
    if params.confidence is not None:
        order = order[scores[order] > np.float32(params.confidence)]
    if params.top > -1:
        order = order[: params.top]
    best = order[nms_keep(boxes[order], params.overlap, eta=params.eta)]
    named = np.broadcast_to(np.array(place, np.float32), (len(best), 2))
    return np.concatenate([named, scores[best, None], boxes[best]], axis=1, dtype=np.float32)


DETECTION_OUTPUT = OpDef(
    name="DetectionOutput",
    arity=Arity((3, 4), (1, 1)),  # the fourth is an image that Caffe can draw the boxes on
    params=_parse_output,
    shape=_output_shape,
    cost=per_input(10),
    window=full_extent,
    reference=_output,
    memory=copies(8),
    reads=3,
    dynamic=True,
    family="loss",
    role=Role.RESULT | Role.DETECTIONS,
    host=True,
)

OPS = (PRIOR_BOX, PRIOR_BOX_CLUSTERED, DETECTION_OUTPUT)
