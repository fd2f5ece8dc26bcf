"""DetectNetTransformation (detectnet_transform_layer.cpp of NVIDIA/caffe): pictures and truth.

DetectNet's data layer gives pictures, and true boxes as a picture of numbers: a header of 16 (how
many boxes there are, 16), then 16 for each box, of which x, y, width and height are the first four
and the class the sixth. In training colours, flips, sizes, turns and crops are drawn, by netc's own
generator; outside of it pictures are resized. The tops are pictures less their mean, and what each
cell of the grid must learn (:mod:`netc.ops.detection.grid_truth`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, NumberedBoxes
from netc.ops.cost import per_output
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.detection.grid_truth import GridTruthParams, TrueBox, covered, parse_truth
from netc.ops.detection.picture_turns import Turn, hue_and_saturation, resized_cubic, turned
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.random import layer_number, uniform
from netc.schema.message import Message

_NUMBERS = 16  # of a box, and of the header
_LARGEST = 255.0
_CHANCES = ("crop_prob", "scale_prob", "flip_prob", "rotation_prob", "hue_rotation_prob",
            "desaturation_prob")  # fmt: skip
_AMOUNTS = ("shift_x", "shift_y", "scale_min", "scale_max", "max_rotate_degree", "hue_rotation",
            "desaturation_max")  # fmt: skip
_DRAWS = 12


@dataclass(frozen=True, slots=True)
class DetectNetParams:
    """The grid, what is drawn (field -> value; None outside of training), and the mean."""

    truth: GridTruthParams
    drawn: tuple[tuple[str, float], ...] | None
    mean: tuple[float, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class _Change:
    """How one picture is changed: degrees of hue, factor of saturation, flip, size, turn, crop."""

    hue: float = 0.0
    saturation: float = 1.0
    flip: bool = False
    size: tuple[int, int] = (0, 0)  # height, width
    degrees: float = 0.0
    offset: tuple[int, int] = (0, 0)  # down, across


def _parse(layer: Message, context: LayerContext) -> DetectNetParams:
    transform = reject_unknown_fields(layer.get("transform_param"), "mean_value")
    mean = transform.get("mean_value")
    if len(mean) not in (0, 1, 3):
        raise transform.error(
            "mean_value", "value-count", f"`mean_value` is given {len(mean)} times, not 1 or 3"
        )
    drawn = _parse_drawn(layer) if context.phase == "TRAIN" else None
    seed = layer_number(layer.get("name"))
    return DetectNetParams(parse_truth(layer), drawn, tuple(mean), seed)


def _parse_drawn(layer: Message) -> tuple[tuple[str, float], ...]:
    p = reject_unknown_fields(layer.get("detectnet_augmentation_param"), *_CHANCES, *_AMOUNTS)
    for name in ("scale_min", "scale_max"):
        if not 0 < p.get(name) < math.inf:
            raise bad_value(p, name, "must be greater than 0")
    return tuple((name, float(p.get(name))) for name in (*_CHANCES, *_AMOUNTS))


def _shape(params: DetectNetParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, labels = inputs[:2]
    if len(data) != 4 or data[1] != 3:
        raise ShapeError(f"pictures must have 3 channels, the first bottom is {show(data)}")
    if not labels or labels[0] != data[0] or count(labels, 1) < _NUMBERS:
        raise ShapeError(
            f"{_NUMBERS} numbers or more are needed for each of {data[0]} pictures, the second "
            f"bottom is {show(labels)}"
        )
    truth = params.truth
    return (*data[:2], truth.height, truth.width), (data[0], truth.maps, *truth.grid)


def _contents(params: DetectNetParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    high, wide = inputs[0][2:]
    return None, NumberedBoxes(_NUMBERS, high, wide, min(params.truth.classes))


@quietly
def _transformed(params: DetectNetParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    data, labels, *keys = inputs
    pictures, rows = np.asarray(data), np.asarray(labels).reshape(len(data), -1)
    chances = uniform(pictures, (len(pictures), _DRAWS), params.seed, keys[0] if keys else None)
    tops = [np.zeros(s, np.float32) for s in _shape(params, [pictures.shape, labels.shape])]
    for at, (picture, row, drawn) in enumerate(zip(pictures, rows, chances, strict=True)):
        change = _change(params, picture.shape[1:], drawn.tolist())
        tops[0][at] = _picture(params, picture, change)
        boxes = [_moved(box, picture.shape[1:], change) for box in _boxes(row, at)]
        tops[1][at] = covered(params.truth, boxes)
    return tuple(tops)


def _change(params: DetectNetParams, size: tuple[int, ...], drawn: list[float]) -> _Change:
    truth, (high, wide) = params.truth, size
    if params.drawn is None:
        return _Change(size=(truth.height, truth.width))
    given = dict(params.drawn)
    hue_at, hue, dull_at, dull, flip_at, scale_at, scale, turn_at, turn, crop_at, x, y = drawn
    if scale_at <= given["scale_prob"]:
        factor = given["scale_min"] + (given["scale_max"] - given["scale_min"]) * scale
        high, wide = max(1, _rounded(high * factor)), max(1, _rounded(wide * factor))
    turns = turn_at <= given["rotation_prob"]
    degrees = (turn - 0.5) * 2 * given["max_rotate_degree"] if turns else 0.0
    before = Turn.of((high, wide), degrees).size if degrees else (high, wide)
    shift = (int(given["shift_y"]), int(given["shift_x"]))
    if crop_at > given["crop_prob"]:
        x, y, shift = 0.5, 0.5, (0, 0)
    room = before[0] - truth.height + shift[0], before[1] - truth.width + shift[1]
    shade = (hue - 0.5) * 2 * given["hue_rotation"] if hue_at <= given["hue_rotation_prob"] else 0.0
    return _Change(
        hue=max(min(shade, 180.0), -180.0),
        saturation=1 - dull * given["desaturation_max"]
        if dull_at <= given["desaturation_prob"]
        else 1.0,
        flip=flip_at <= given["flip_prob"],
        size=(high, wide),
        degrees=degrees,
        offset=(_rounded(y * room[0] - shift[0] // 2), _rounded(x * room[1] - shift[1] // 2)),
    )


def _rounded(value: float) -> int:
    """C's round: halves go away from 0."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def _picture(params: DetectNetParams, picture: AnyArray, change: _Change) -> AnyArray:
    """A picture (3, height, width) of 0 to 255, changed, less its mean and cropped."""
    made = picture.astype(np.float64)
    if change.hue or change.saturation != 1:
        made = hue_and_saturation(made / _LARGEST, change.hue, change.saturation) * _LARGEST
    if params.mean:
        made = made - np.array(params.mean).reshape(-1, 1, 1)
    if change.flip:
        made = made[:, :, ::-1]
    if made.shape[1:] != change.size:
        made = resized_cubic(made, change.size)
    if change.degrees:
        made = turned(made, change.degrees)
    return _cropped(made, change.offset, (params.truth.height, params.truth.width))


def _cropped(picture: AnyArray, offset: tuple[int, int], size: tuple[int, int]) -> AnyArray:
    """A part of a picture; 0 where it lies outside of it."""
    made = np.zeros((len(picture), *size), picture.dtype)
    spans = []
    for start, wanted, there in zip(offset, size, picture.shape[1:], strict=True):
        low, high = max(start, 0), min(start + wanted, there)
        spans.append((slice(low, max(low, high)), slice(low - start, max(low, high) - start)))
    (down, to_down), (across, to_across) = spans
    made[:, to_down, to_across] = picture[:, down, across]
    return made


def _boxes(row: AnyArray, image: int) -> list[TrueBox]:
    """The true boxes of a picture's numbers.

    Raises:
        NetcError: label-out-of-range, for a header that does not fit them.
    """
    number, each = row[:2].tolist()
    most = len(row) // _NUMBERS - 1
    if each != _NUMBERS or not (0 <= number <= most and number == int(number)):
        raise NetcError(
            Diagnostic(
                "label-out-of-range",
                f"the boxes of image {image} begin with {number:g} and {each:g}; they must begin "
                f"with their number, {most} at most, and {_NUMBERS}",
                help=("DIGITS writes such labels for object detection",),
            )
        )
    table = row[_NUMBERS : _NUMBERS * (1 + int(number))].reshape(-1, _NUMBERS)
    return [
        TrueBox(x, y, wide, high, int(kind)) for x, y, wide, high, _, kind, *_ in table.tolist()
    ]


def _moved(box: TrueBox, size: tuple[int, ...], change: _Change) -> TrueBox:
    """A box as its picture was changed; a turned one keeps its size."""
    x, y, wide, high = box[:4]
    if change.flip:
        x = size[1] - x - wide - 1
    down, across = change.size[0] / size[0], change.size[1] / size[1]
    x, y, wide, high = x * across, y * down, wide * across, high * down
    if change.degrees:
        middle_y, middle_x = Turn.of(change.size, change.degrees).place(y + high / 2, x + wide / 2)
        x, y = middle_x - wide / 2, middle_y - high / 2
    return TrueBox(x - change.offset[1], y - change.offset[0], wide, high, box.kind)


DETECTNET_TRANSFORMATION = OpDef(
    name="DetectNetTransformation",
    arity=Arity((2, 2), (2, 2)),
    params=_parse,
    shape=_shape,
    cost=per_output(30),
    window=full_extent,
    memory=copies(8),
    reference=_transformed,
    contents=_contents,
    draws=lambda params: params.drawn is not None,
    family="data",
    host=True,
)

OPS = (DETECTNET_TRANSFORMATION,)
