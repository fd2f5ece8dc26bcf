"""Flatten, Reshape and Tile (flatten_layer.cpp, reshape_layer.cpp, tile_layer.cpp of BVLC)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, count, show
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import Arrays, namespace
from netc.ops.axes import axis_in
from netc.ops.define import (
    POINTWISE,
    WHOLE,
    LayerContext,
    OpDef,
    ShapeError,
    Window,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import check_number, number, required_number
from netc.ops.role import Role
from netc.schema.message import Message


def same_places(
    params: FlattenParams | ReshapeParams | TileParams,
    inputs: Sequence[Shape],
    outputs: Sequence[Shape],
) -> Window:
    """Window rule: pointwise where the spatial axes keep their sizes, else the whole extent."""
    return POINTWISE if inputs[0][2:] == outputs[0][2:] else WHOLE


@dataclass(frozen=True, slots=True)
class FlattenParams:
    """Axes ``axis`` to ``end_axis``, both included, become one (flatten_layer.cpp)."""

    axis: int = 1
    end_axis: int = -1


def _parse_flatten(layer: Message, context: LayerContext) -> FlattenParams:
    message = reject_unknown_fields(layer.get("flatten_param"), "axis", "end_axis")
    return FlattenParams(message.get("axis"), message.get("end_axis"))


def _flatten_shape(params: FlattenParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """With ``end_axis`` just before ``axis`` an axis of 1 is inserted, as Caffe does."""
    shape = inputs[0]
    start = axis_in(shape, params.axis, "flatten_param.axis")
    end = axis_in(shape, params.end_axis, "flatten_param.end_axis") + 1
    if end < start:
        raise ShapeError(
            f"`end_axis` {params.end_axis} lies before `axis` {params.axis} in {show(shape)}",
            "flatten_param.end_axis",
            (f"use an `end_axis` from {start} to {len(shape) - 1}, or -1",),
        )
    return ((*shape[:start], count(shape, start, end), *shape[end:]),)


def _flatten(params: FlattenParams, inputs: Arrays, weights: Arrays) -> Arrays:
    return (inputs[0].reshape(_flatten_shape(params, (inputs[0].shape,))[0]),)


def _flattens_nothing(params: FlattenParams, inputs: Sequence[Shape]) -> bool:
    return _flatten_shape(params, inputs)[0] == inputs[0]


FLATTEN = OpDef(
    name="Flatten",
    identity=_flattens_nothing,
    arity=ONE_TO_ONE,
    params=_parse_flatten,
    shape=_flatten_shape,
    window=same_places,
    reference=_flatten,
    family="reshaping",
    role=Role.VIEW,
)


@dataclass(frozen=True, slots=True)
class ReshapeParams:
    """``num_axes`` axes from ``axis`` on (-1: all) are replaced by ``dims``.

    A 0 in ``dims`` copies the bottom's size, one -1 is computed from the number of elements.
    """

    dims: tuple[int, ...] = ()
    axis: int = 0
    num_axes: int = -1


def _parse_reshape(layer: Message, context: LayerContext) -> ReshapeParams:
    message = reject_unknown_fields(layer.get("reshape_param"), "shape", "axis", "num_axes")
    shape = message.get("shape")
    _check_dims(shape)
    num_axes = number(message, "num_axes", -1)
    return ReshapeParams(shape.get("dim"), message.get("axis"), num_axes)


def _check_dims(shape: Message) -> None:
    dims = shape.get("dim")
    for index, size in enumerate(dims):
        check_number(shape, "dim", size, -1, index)
        if size == -1 and -1 in dims[:index]:
            raise NetcError(
                Diagnostic(
                    "out-of-range",
                    "`dim: -1` is written twice, and only one size can be worked out",
                    shape.span_of("dim", index),
                    help=("write the other size itself",),
                )
            )


def _reshape_shape(params: ReshapeParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """The rules of reshape_layer.cpp."""
    shape = inputs[0]
    start, end = _replaced(params, shape)
    wanted = [_copied(shape, start + i) if d == 0 else d for i, d in enumerate(params.dims)]
    if -1 in wanted:
        rest = count(shape[:start]) * count(shape[end:]) * -count(tuple(wanted))
        wanted[wanted.index(-1)] = _worked_out(shape, rest)
    new = (*shape[:start], *wanted, *shape[end:])
    if count(new) != count(shape):
        raise ShapeError(
            f"{show(new)} has {count(new)} elements, and the bottom {show(shape)} has "
            f"{count(shape)}",
            "reshape_param.shape",
            ("one `dim: -1` is worked out from the others",),
        )
    return (new,)


def _replaced(params: ReshapeParams, shape: Shape) -> tuple[int, int]:
    """First axis that is replaced, and the first after it that stays."""
    axes = len(shape)
    start = params.axis if params.axis >= 0 else axes + params.axis + 1
    if not 0 <= start <= axes:
        raise ShapeError(
            f"`axis` {params.axis} is out of range for the {axes} axes of {show(shape)}",
            "reshape_param.axis",
            (f"use -{axes + 1} to {axes}",),
        )
    end = axes if params.num_axes == -1 else start + params.num_axes
    if end > axes:
        raise ShapeError(
            f"`axis` {params.axis} and `num_axes` {params.num_axes} reach past the {axes} axes of "
            f"{show(shape)}",
            "reshape_param.num_axes",
            ("use `num_axes: -1` for all axes from `axis` on",),
        )
    return start, end


def _copied(shape: Shape, axis: int) -> int:
    if axis >= len(shape):
        raise ShapeError(
            f"`dim: 0` would copy axis {axis}, and the bottom {show(shape)} has {len(shape)} axes",
            "reshape_param.shape",
            ("write the size itself",),
        )
    return shape[axis]


def _worked_out(shape: Shape, rest: int) -> int:
    if rest == 0 or count(shape) % rest:
        raise ShapeError(
            f"`dim: -1` cannot be worked out: the {count(shape)} elements of {show(shape)} are "
            f"not a multiple of the {rest} of the other sizes",
            "reshape_param.shape",
        )
    return count(shape) // rest


def _reshape(params: ReshapeParams, inputs: Arrays, weights: Arrays) -> Arrays:
    return (inputs[0].reshape(_reshape_shape(params, (inputs[0].shape,))[0]),)


def _reshapes_nothing(params: ReshapeParams, inputs: Sequence[Shape]) -> bool:
    return _reshape_shape(params, inputs)[0] == inputs[0]


RESHAPE = OpDef(
    name="Reshape",
    identity=_reshapes_nothing,
    arity=ONE_TO_ONE,
    params=_parse_reshape,
    shape=_reshape_shape,
    window=same_places,
    reference=_reshape,
    family="reshaping",
    role=Role.VIEW,
)


@dataclass(frozen=True, slots=True)
class TileParams:
    """The bottom repeated ``tiles`` times along ``axis``."""

    tiles: int
    axis: int = 1


def _parse_tile(layer: Message, context: LayerContext) -> TileParams:
    message = reject_unknown_fields(layer.get("tile_param"), "axis", "tiles")
    return TileParams(required_number(message, "tiles"), message.get("axis"))


def _tile_shape(params: TileParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    axis = axis_in(shape, params.axis, "tile_param.axis")
    return ((*shape[:axis], shape[axis] * params.tiles, *shape[axis + 1 :]),)


def _tile(params: TileParams, inputs: Arrays, weights: Arrays) -> Arrays:
    (x,) = inputs
    times = [1] * x.ndim
    times[params.axis] = params.tiles
    return (namespace(x).tile(x, times),)


def _one_tile(params: TileParams, inputs: Sequence[Shape]) -> bool:
    return params.tiles == 1


TILE = OpDef(
    name="Tile",
    identity=_one_tile,
    arity=ONE_TO_ONE,
    params=_parse_tile,
    shape=_tile_shape,
    window=same_places,
    reference=_tile,
    family="reshaping",
)

OPS = (FLATTEN, RESHAPE, TILE)
