"""SpatialTransformer (Jaderberg et al. 2015, arXiv:1506.02025).

st_layer.cpp of daerduoCarey/SpatialTransformerLayer, also cvjena/caffe_pp2's. The first coordinate
is the row's, from -1 to 1, and places count from 0: the last row is at 1 - 2 / H.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.axes import need_four_axes
from netc.ops.cost import per_output
from netc.ops.define import (
    FLOAT,
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    full_extent,
)
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import required_number
from netc.schema.message import Message

_THETA = tuple(f"theta_{row}_{column}" for row in (1, 2) for column in (1, 2, 3))


@dataclass(frozen=True, slots=True)
class TransformerParams:
    """Parameters of SpatialTransformer.

    Args:
        height, width: of the top; None for the bottom's.
        fixed: the six numbers of the map, row by row; None where the second bottom gives one.
        passes: the first bottom has a gradient, ``to_compute_dU``.
    """

    height: int | None
    width: int | None
    fixed: tuple[float | None, ...]
    passes: bool


def _parse(layer: Message, context: LayerContext) -> TransformerParams:
    names = ("transform_type", "sampler_type", "output_H", "output_W", "to_compute_dU", *_THETA)
    p = reject_unknown_fields(layer.get("st_param"), *names)
    for name, only in (("transform_type", "affine"), ("sampler_type", "bilinear")):
        if p.get(name) != only:
            raise bad_value(p, name, f"must be `{only}`", "the layer has no other")
    high, wide = (required_number(p, n) if p.has(n) else None for n in ("output_H", "output_W"))
    fixed = tuple(p.optional(name) for name in _THETA)
    return TransformerParams(high, wide, fixed, p.get("to_compute_dU"))


def _shape(params: TransformerParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, theta = inputs
    need_four_axes(data, "SpatialTransformer")
    free = params.fixed.count(None)
    if not theta or theta[0] != data[0] or count(theta, 1) != free:
        raise ShapeError(
            f"the second bottom must have {free} numbers for each of {data[0]} images, it is "
            f"{show(theta)}"
        )
    return ((*data[:2], params.height or data[2], params.width or data[3]),)


def whole_theta(params: TransformerParams, theta: AnyArray) -> AnyArray:
    """The maps (images, 2, 3): the fixed numbers, and the second bottom's at the others."""
    rows = np.asarray(theta).reshape(len(theta), -1).astype(np.float64)
    full = np.empty((len(rows), 6))
    full[:, free_places(params)] = rows
    for place, value in enumerate(params.fixed):
        if value is not None:
            full[:, place] = value
    return full.reshape(-1, 2, 3)


def free_places(params: TransformerParams) -> list[int]:
    """Which of the six numbers the second bottom gives."""
    return [place for place, value in enumerate(params.fixed) if value is None]


def grid(height: int, width: int) -> AnyArray:
    """Places of the top, (height * width, 3): row and column from -1 to 1, and 1."""
    rows, columns = np.divmod(np.arange(height * width), width)
    ones = np.ones(height * width)
    return np.stack([rows / height * 2 - 1, columns / width * 2 - 1, ones], axis=1)


class Corner(NamedTuple):
    """One of four elements around each sampled place.

    Args:
        place: its index in the plane, 0 outside of it, (images, places).
        down, right: its weights along rows and columns, 0 outside; each (images, places).
        signs: of the slope of these weights by the place.
        inside: whether it lies in the plane.
    """

    place: AnyArray
    down: AnyArray
    right: AnyArray
    signs: tuple[int, int]
    inside: AnyArray


def corners(params: TransformerParams, theta: AnyArray, shape: Shape, top: Shape) -> list[Corner]:
    """The four elements around each place, of bottoms and tops of these shapes."""
    found = np.einsum("pk,nrk->nrp", grid(*top[2:]), whole_theta(params, theta))
    row, column = ((found[:, i] + 1) / 2 * shape[2 + i] for i in (0, 1))
    made = []
    for one, other in ((0, 0), (1, 0), (0, 1), (1, 1)):
        high, wide = np.floor(row) + one, np.floor(column) + other
        inside = (high >= 0) & (high < shape[2]) & (wide >= 0) & (wide < shape[3])
        place = np.where(inside, high * shape[3] + wide, 0).astype(np.int64)
        down, right = (np.maximum(0, 1 - np.abs(at - n)) for at, n in ((row, high), (column, wide)))
        signs = (1 if one else -1, 1 if other else -1)
        made.append(Corner(place, down, right, signs, inside))
    return made


def sampled(data: AnyArray, corner: Corner) -> AnyArray:
    """The elements at a corner, (images, channels, places); 0 outside."""
    flat = data.reshape(*data.shape[:2], -1)
    chosen = np.take_along_axis(flat, corner.place[:, None], axis=2)
    return np.where(corner.inside[:, None], chosen, 0)


@quietly
def _transform(params: TransformerParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    data, theta = (np.asarray(array) for array in inputs)
    (shape,) = _shape(params, [data.shape, theta.shape])
    top = np.zeros((*shape[:2], shape[2] * shape[3]))
    for corner in corners(params, theta, data.shape, shape):
        top += (corner.down * corner.right)[:, None] * sampled(data, corner)
    return (top.astype(data.dtype).reshape(shape),)


def _memory(params: TransformerParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    places = outputs[0][0] * outputs[0][2] * outputs[0][3]
    return FLOAT * 2 * (4 * count(outputs[0]) + 60 * places)


SPATIAL_TRANSFORMER = OpDef(
    name="SpatialTransformer",
    arity=Arity((2, 2), (1, 1)),
    params=_parse,
    shape=_shape,
    cost=per_output(16),
    window=full_extent,
    memory=_memory,
    reference=_transform,
    family="reshaping",
    host=True,
)


OPS = (SPATIAL_TRANSFORMER,)
