"""Warp of PWC-Net (Sun et al. 2018; warp_layer.cu of NVlabs/PWC-Net), and Tiling of VPGNet.

Warp reads its first bottom, by bilinear interpolation, where the flow (num, 2, height, width) of
the second points to; the flow is to the right and down, in elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays
from netc.ops.cost import per_output
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    copies,
    full_extent,
    no_params,
    zero_cost,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.forks.flow import warp_shape
from netc.ops.numbers import required_number
from netc.schema.message import Message


class Neighbours(NamedTuple):
    """The elements around the place that each element's flow points to, (num, height, width) each.

    Columns ``left`` and ``right``, rows ``upper`` and ``lower``; ``across`` and ``down`` are the
    place between them, from 0 to 1. ``inside`` is False where the flow points out of the map.
    """

    inside: AnyArray
    left: AnyArray
    right: AnyArray
    upper: AnyArray
    lower: AnyArray
    across: AnyArray
    down: AnyArray


def neighbours(flow: AnyArray) -> Neighbours:
    """The four elements around each place plus its flow (num, 2, height, width).

    A place outside counts as element 0, and is not ``inside``.
    """
    high, wide = flow.shape[2:]
    x, y = flow[:, 0] + np.arange(wide), flow[:, 1] + np.arange(high)[:, None]
    inside = (x >= 0) & (x <= wide - 1) & (y >= 0) & (y <= high - 1)
    x, y = np.where(inside, x, 0), np.where(inside, y, 0)
    left, upper = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right, lower = np.ceil(x).astype(np.int64), np.ceil(y).astype(np.int64)
    return Neighbours(inside, left, right, upper, lower, x - left, y - upper)


def at_places(data: AnyArray, rows: AnyArray, columns: AnyArray) -> AnyArray:
    """Elements (num, channels, height, width) at rows and columns (num, height, width)."""
    image = np.arange(len(data))[:, None, None]
    return np.moveaxis(data[image, :, rows, columns], 3, 1)


def _warp(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Each place takes the value, between four, at itself plus its flow; 0 from outside."""
    data, flow = (np.asarray(array) for array in inputs)
    n = neighbours(flow)
    a, b = n.across[:, None], n.down[:, None]
    upper = (1 - a) * at_places(data, n.upper, n.left) + a * at_places(data, n.upper, n.right)
    lower = (1 - a) * at_places(data, n.lower, n.left) + a * at_places(data, n.lower, n.right)
    values = (1 - b) * upper + b * lower
    return (np.where(n.inside[:, None], values, 0).astype(data.dtype),)


WARP = OpDef(
    name="Warp",
    arity=Arity((2, 2), (1, 1)),
    params=no_params,
    shape=warp_shape,
    cost=per_output(8),
    window=full_extent,
    memory=copies(12),
    reference=_warp,
    family="pooling",
    host=True,
)


@dataclass(frozen=True, slots=True)
class TilingParams:
    """Depth to space: ``side`` * ``side`` channels become a block of ``side`` by ``side``."""

    side: int


def _parse_tiling(layer: Message, context: LayerContext) -> TilingParams:
    message = reject_unknown_fields(layer.get("tiling_param"), "tile_dim")
    return TilingParams(required_number(message, "tile_dim"))


def _tiling_shape(params: TilingParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape, each = inputs[0], params.side**2
    if len(shape) != 4 or shape[1] % each:
        raise ShapeError(
            f"the channels must be a multiple of {each}, the bottom is {show(shape)}",
            "tiling_param.tile_dim",
        )
    return ((shape[0], shape[1] // each, shape[2] * params.side, shape[3] * params.side),)


def _tiling(params: TilingParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Channel ``r * side + c`` of a group stands at row r and column c of each block."""
    num, channels, high, wide = inputs[0].shape
    side = params.side
    blocks = inputs[0].reshape(num, channels // side**2, side, side, high, wide)
    top = blocks.transpose(0, 1, 4, 2, 5, 3)
    return (top.reshape(num, channels // side**2, high * side, wide * side),)


TILING = OpDef(
    name="Tiling",
    arity=ONE_TO_ONE,
    params=_parse_tiling,
    shape=_tiling_shape,
    cost=zero_cost,
    reference=_tiling,
    family="reshaping",
)

OPS = (WARP, TILING)
