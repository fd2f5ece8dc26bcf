"""PriorBox of SSD (prior_box_layer.cpp) and its forks, and PriorBoxClustered.

Boxes are x_min, y_min, x_max, y_max in parts of the image's width and height. The top is
(1, 2, 4 * priors): the boxes, and their variances.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from netc.ir.types import Shape, dims, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.cost import per_output
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import bad_value, fork_field, reject_unknown_fields
from netc.ops.numbers import LARGEST, check_number
from netc.schema.message import Message


class Dense(NamedTuple):
    """Boxes of one size, ``density`` by ``density`` of them in a cell.

    ``size`` is in pixels, ``ratios`` are width over height. ``form`` is the field that gives the
    size, by which the forks place the boxes differently (``_places``).
    """

    size: float
    density: int
    ratios: tuple[float, ...]
    form: str


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
        dense: instead of ``sizes``, those that stand several times in a cell.
    """

    sizes: tuple[tuple[float, float], ...]
    clip: bool
    variances: tuple[float, float, float, float]
    image: tuple[int, int] | None
    step: tuple[float, float] | None
    offsets: tuple[tuple[float, float], ...]
    dense: tuple[Dense, ...] = ()

    @property
    def boxes(self) -> int:
        """How many boxes a cell has."""
        dense = sum(len(each.ratios) * each.density**2 for each in self.dense)
        return dense or len(self.sizes) * len(self.offsets)


_PRIOR_FIELDS = (
    "min_size", "max_size", "aspect_ratio", "flip", "clip", "variance", "img_size", "img_h",
    "img_w", "step", "step_h", "step_w", "offset", "offset_h", "offset_w", "fixed_size",
    "fixed_ratio", "density", "denser_prior_boxes",
)  # fmt: skip


def _parse_prior_box(layer: Message, context: LayerContext) -> PriorBoxParams:
    if layer.get("prior_box_param").get("width"):
        return _parse_clustered(layer, context)
    param = reject_unknown_fields(layer.get("prior_box_param"), *_PRIOR_FIELDS)
    image, step = (
        _pair(param, "img_size", "img_h", "img_w"),
        _pair(param, "step", "step_h", "step_w"),
    )
    dense = _dense_sizes(param)
    return PriorBoxParams(
        () if dense else _prior_sizes(param),
        param.get("clip"),
        _variances(param),
        None if image is None else (int(image[0]), int(image[1])),
        step,
        ((param.get("offset"),) * 2,) if dense else _offsets(param),
        dense,
    )


def _dense_sizes(param: Message) -> tuple[Dense, ...]:
    """Sizes with a `density` each: `fixed_size`, or `min_size` where they are FaceBoxes'."""
    fixed, densities = param.get("fixed_size"), param.get("density")
    if not fixed and not densities:
        return ()
    name = "fixed_size" if fixed else "min_size"
    given = [each for each in _OF_PLAIN_SIZES if param.has(each) and (fixed or each != "min_size")]
    given += ["aspect_ratio"] if param.has("aspect_ratio") and not fixed else []
    if given:
        raise param.error(
            given[0],
            "conflicting-fields",
            f"`{given[0]}` has no meaning beside `{'fixed_size' if fixed else 'density'}`",
            f"remove `{given[0]}`",
        )
    sizes = param.get(name)
    if len(sizes) != len(densities):
        raise param.error(
            "density" if densities else name,
            "value-count",
            f"each `{name}` has a `density`, and there are {len(sizes)} and {len(densities)}",
        )
    for index, (size, density) in enumerate(zip(sizes, densities, strict=True)):
        if not 1 <= size <= LARGEST:
            raise bad_value(param, name, f"must be at least 1 and at most {LARGEST}")
        check_number(param, "density", density, 1, index)
    ratios, form = _dense_ratios(param, name)
    return tuple(Dense(s, d, ratios, form) for s, d in zip(sizes, densities, strict=True))


_OF_PLAIN_SIZES = ("max_size", "min_size", "offset_h", "offset_w")


def _dense_ratios(param: Message, name: str) -> tuple[tuple[float, ...], str]:
    fixed = param.get("fixed_ratio")
    if not fixed:
        return ((1.0,) if name == "min_size" else (1.0, *_ratios(param))), name
    for ratio in fixed:
        if not 1 / LARGEST <= ratio <= LARGEST:
            raise bad_value(param, "fixed_ratio", f"must lie between 1/{LARGEST} and {LARGEST}")
    return fixed, "fixed_ratio"


def _places(
    dense: Dense, step: tuple[float, float]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where the boxes of a cell begin, and how far apart they are, from its centre; (down, across).

    `fixed_ratio`: evenly over the mean step, in whole pixels. `fixed_size` alone: over the box
    itself, in whole pixels. Both as density_prior_box of Baidu's Caffe, which Anakin, Paddle and
    OpenVINO carried on. `min_size`: FaceBoxes' prior_box_layer.cpp, over the step, and the first
    of two in the cell's corner.
    """
    if dense.form == "min_size":
        distance = (step[0] / dense.density, step[1] / dense.density)
        return tuple(-(dense.density // 2) * each for each in distance), distance  # type: ignore[return-value]
    whole = int((step[0] + step[1]) * 0.5) if dense.form == "fixed_ratio" else int(dense.size)
    shift = int((whole if dense.form == "fixed_ratio" else dense.size) / dense.density)
    first = shift / 2 - whole // 2
    return (first, first), (shift, shift)


def _dense_boxes(params: PriorBoxParams, step: tuple[float, float]) -> AnyArray:
    """The corners of a cell's boxes from its centre in pixels, of shape (boxes, 4)."""
    made = []
    for dense in params.dense:
        first, distance = _places(dense, step)
        number = np.arange(dense.density)
        down, across = np.meshgrid(
            first[0] + number * distance[0], first[1] + number * distance[1], indexing="ij"
        )
        places = np.stack([across, down], axis=-1).reshape(-1, 2)
        for index, ratio in enumerate(dense.ratios):
            half = _dense_half(dense, ratio, index)
            made.append(np.concatenate([places - half, places + half], axis=-1))
    return np.concatenate(made)


def _dense_half(dense: Dense, ratio: float, index: int) -> AnyArray:
    """Half of a box's width and height. FaceBoxes counts its border; a square is whole pixels."""
    if dense.form == "min_size":
        return np.full(2, (int(dense.size) - 1) / 2)
    if dense.form == "fixed_size" and index == 0:
        return np.full(2, int(dense.size) / 2)
    root = math.sqrt(ratio)
    return np.array([dense.size * root, dense.size / root]) / 2


def _offsets(param: Message) -> tuple[tuple[float, float], ...]:
    """Offsets down and across: ``offset``, or pairs of ``offset_h`` and ``offset_w``.

    OpenCV's importer has the pairs, one box for each; with them TextBoxes' priors can be written,
    each of which stands twice in a cell. So does what ``denser_prior_boxes`` of TextBoxes++ says:
    a second box lies at the cell's lower edge (prior_box_layer.cpp).
    """
    high, wide = param.get("offset_h"), param.get("offset_w")
    if len(high) != len(wide):
        name = "offset_h" if high else "offset_w"
        raise param.error(
            name,
            "value-count",
            f"`offset_h` and `offset_w` go together, and there are {len(high)} and {len(wide)}",
        )
    if fork_field(param, "denser_prior_boxes", False) and not high:
        return (param.get("offset"),) * 2, (1.0, param.get("offset"))
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
        largest = large[index] if large else None
        _check_sizes(param, size, largest)
        sizes += _boxes_of(int(size), None if largest is None else int(largest), ratios)
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
    found, ordered = [1.0], [1.0]
    for ratio in param.get("aspect_ratio"):
        if not ratio > 0:
            raise bad_value(param, "aspect_ratio", "must be greater than 0")
        if not 1 / LARGEST <= ratio <= LARGEST:
            raise bad_value(param, "aspect_ratio", f"must lie between 1/{LARGEST} and {LARGEST}")
        place = bisect_left(ordered, ratio)  # one that is as good as equal lies beside it
        if all(abs(ratio - other) >= 1e-6 for other in ordered[max(0, place - 1) : place + 1]):
            for new in (ratio, 1 / ratio) if param.get("flip") else (ratio,):
                found.append(new)
                insort(ordered, new)
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
    return ((1, 2, cells * params.boxes * 4),)


def _prior_boxes(params: PriorBoxParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    rows, columns = dims(inputs[0].shape)[2:]
    image = params.image or dims(inputs[1].shape)[2:]
    step = params.step or (image[0] / rows, image[1] / columns)
    down, across = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    cells = np.stack([across, down], axis=-1)[:, :, None, None, :]
    centres = (cells + np.array(params.offsets)[:, ::-1]) * (step[1], step[0])
    if params.dense:
        boxes = np.tile(centres[:, :, 0], 2) + _dense_boxes(params, step)
    else:
        half = (np.array(params.sizes) / 2)[:, None]
        boxes = np.concatenate([centres - half, centres + half], axis=-1)
    boxes /= (image[1], image[0]) * 2
    if (
        params.dense and params.dense[0].form != "min_size"
    ):  # as written there, whatever `clip` says
        boxes[..., :2] = boxes[..., :2].clip(0, None)
        boxes[..., 2:] = boxes[..., 2:].clip(None, 1)
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

OPS = (PRIOR_BOX, PRIOR_BOX_CLUSTERED)
