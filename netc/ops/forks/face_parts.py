"""JAANet's layers (Shao et al. 2018): Division, Combination and AUMaskBasedLand.

division_layer.cpp, combination_layer.cpp and au_mask_based_land_layer.cpp of ZhiwenShao/JAANet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import need_four_axes
from netc.ops.cost import per_output
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    copies,
    full_extent,
)
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class PartsParams:
    """Where the parts of a map begin, in rows and columns; their size in ``height``, ``width``.

    Combination takes the size from its bottoms and has 0 for both.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    height: int = 0
    width: int = 0


def _places(message: Message, parts: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    found = []
    for name in ("ycoord", "xcoord"):
        values = tuple(message.get(name))
        if len(values) != parts:
            raise bad_value(message, name, f"must be given {parts} times, it is {len(values)}")
        found.append(values)
    return found[0], found[1]


def _parse_division(layer: Message, context: LayerContext) -> PartsParams:
    p = reject_unknown_fields(layer.get("division_param"), "width", "height", "xcoord", "ycoord")
    size = required_number(p, "height"), required_number(p, "width")
    return PartsParams(*_places(p, context.tops), *size)


def _division_shape(params: PartsParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    need_four_axes(shape, "Division")
    for row, column in zip(params.rows, params.columns, strict=True):
        if row + params.height > shape[2] or column + params.width > shape[3]:
            raise ShapeError(
                f"the part at row {row} and column {column} is {params.height}x{params.width} and "
                f"leaves the bottom {show(shape)}"
            )
    return ((*shape[:2], params.height, params.width),) * len(params.rows)


def part(params: PartsParams, index: int, height: int, width: int) -> tuple[slice, ...]:
    """The index of a part of a map."""
    row, column = params.rows[index], params.columns[index]
    return (slice(None), slice(None), slice(row, row + height), slice(column, column + width))


def _divide(params: PartsParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    parts = range(len(params.rows))
    return tuple(inputs[0][part(params, i, params.height, params.width)].copy() for i in parts)


DIVISION = OpDef(
    name="Division",
    arity=Arity((1, 1), (1, None)),
    params=_parse_division,
    shape=_division_shape,
    window=full_extent,
    reference=_divide,
    family="reshaping",
)


def _parse_combination(layer: Message, context: LayerContext) -> PartsParams:
    p = reject_unknown_fields(layer.get("combination_param"), "xcoord", "ycoord")
    return PartsParams(*_places(p, context.bottoms))


def _combination_shape(params: PartsParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """The last part ends in the lower right corner."""
    for shape in inputs:
        need_four_axes(shape, "Combination")
        if shape[:2] != inputs[0][:2]:
            raise ShapeError(f"parts of one map are wanted: {show(inputs[0])} and {show(shape)}")
    height, width = params.rows[-1] + inputs[-1][2], params.columns[-1] + inputs[-1][3]
    for index, shape in enumerate(inputs):
        if params.rows[index] + shape[2] > height or params.columns[index] + shape[3] > width:
            raise ShapeError(
                f"bottom {index} leaves the map of {height}x{width} that the last ends"
            )
    return ((*inputs[0][:2], height, width),)


def _combine(params: PartsParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Later parts lie over earlier ones; where there is none it is 0."""
    (shape,) = _combination_shape(params, [x.shape for x in inputs])
    top = namespace(inputs[0]).zeros(shape, inputs[0].dtype)
    for index, x in enumerate(inputs):
        top[part(params, index, *x.shape[2:])] = x
    return (top,)


COMBINATION = OpDef(
    name="Combination",
    arity=Arity((1, None), (1, 1)),
    params=_parse_combination,
    shape=_combination_shape,
    window=full_extent,
    reference=_combine,
    family="joining",
)


@dataclass(frozen=True, slots=True)
class MaskParams:
    """AUMaskBasedLand: maps of ``size`` pixels around twelve muscles' places.

    ``half`` of a box in the image's pixels, the image's own size, factor, slope and least value.
    """

    image: int
    half: float
    factor: float
    manhattan: bool
    slope: float
    least: float

    @property
    def size(self) -> int:
        """Height and width of the maps, rounded half away from 0."""
        return int(np.floor(self.image * np.float32(self.factor) + 0.5))


def _parse_mask(layer: Message, context: LayerContext) -> MaskParams:
    names = ("img_size", "spatial_ratio", "spatial_scale", "fill_type", "fill_coeff", "fill_value")
    p = reject_unknown_fields(layer.get("au_mask_based_land_param"), *names)
    size, kind = required_number(p, "img_size"), p.get("fill_type")
    half = (size - 1) / 2 * p.get("spatial_ratio")
    manhattan = kind == "manhattan"
    return MaskParams(
        size, half, p.get("spatial_scale"), manhattan, p.get("fill_coeff"), p.get("fill_value")
    )


_UNITS = 12
_POINTS = 49

# Of each unit: two points of the face, and how many eye distances lower its centre lies.
_CENTRES = (
    (4, 5, -1 / 2), (1, 8, -1 / 3), (2, 7, 1 / 3), (24, 29, 1), (21, 26, 0), (43, 45, 0),
    (31, 37, 0), (31, 37, 0), (31, 37, 0), (39, 41, 1 / 2), (34, 40, 0), (34, 40, 0),
)  # fmt: skip


def _mask_shape(params: MaskParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    if len(shape) < 2 or count(shape, 1) < 2 * _POINTS:
        raise ShapeError(f"{_POINTS} points, x and y each, are needed, the bottom is {show(shape)}")
    return ((shape[0], 1, params.size, params.size),) * (_UNITS + 1)


def _masks(params: MaskParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """A falling value around both points of each muscle, and the greatest of all as last top."""
    points = np.asarray(inputs[0]).reshape(len(inputs[0]), -1).astype(np.float64)
    tops = [np.full((len(points), params.size, params.size), params.least, np.float64)
            for _ in range(_UNITS + 1)]  # fmt: skip
    for image, own in enumerate(points):
        eyes = abs(own[2 * 22] - own[2 * 25])
        for unit, (left, right, lower) in enumerate(_CENTRES):
            for point in (left, right):
                centre = (own[2 * point], own[2 * point + 1] + lower * eyes)
                rows, columns, values = _around(params, centre)
                tops[unit][image, rows, columns] = values
                whole = tops[_UNITS][image, rows, columns]
                tops[_UNITS][image, rows, columns] = np.maximum(whole, values)
    return tuple(top[:, None].astype(inputs[0].dtype) for top in tops)


def _around(params: MaskParams, centre: tuple[float, float]) -> tuple[slice, slice, AnyArray]:
    """The box around a centre (x, y): its rows and columns, and the values there."""
    spans, far = [], []
    for at in (centre[1], centre[0]):
        ends = (_rounded((at + side * params.half) * params.factor) for side in (-1, 1))
        first, last = (min(max(end, 0), params.size - 1) for end in ends)
        spans.append(slice(first, last + 1))
        far.append(np.abs(np.arange(first, last + 1) - at * params.factor))
    fall = params.slope * 100 / (params.image * params.factor)
    values = np.maximum(1 - (far[0][:, None] + far[1][None]) * fall, params.least)
    return spans[0], spans[1], values if params.manhattan else np.full_like(values, params.least)


def _rounded(value: float) -> int:
    """To the nearest whole number, a half away from 0, as C's ``round``."""
    return int(np.copysign(np.floor(abs(value) + 0.5), value))


MASKS = OpDef(
    name="AUMaskBasedLand",
    arity=Arity((1, 1), (_UNITS + 1, _UNITS + 1)),
    params=_parse_mask,
    shape=_mask_shape,
    cost=per_output(6 * _UNITS),
    window=full_extent,
    memory=copies(6),
    reference=_masks,
    family="other",
    host=True,
)

OPS = (DIVISION, COMBINATION, MASKS)
