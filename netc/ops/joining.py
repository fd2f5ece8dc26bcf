"""Concat, Slice, Split and Silence.

concat_layer.cpp, slice_layer.cpp, split_layer.cpp and silence_layer.cpp of BVLC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from netc.ir.types import Shape, show
from netc.ops.array import Arrays, namespace
from netc.ops.axes import axis_in
from netc.ops.define import (
    POINTWISE,
    WHOLE,
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    Window,
    no_params,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import check_number, conflict
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class ConcatParams:
    """Bottoms side by side along ``axis``; ``field`` is the field that gave it, for messages."""

    axis: int = 1
    field: str = "concat_param.axis"


def _written_axis(message: Message, old: str) -> tuple[int, str]:
    """The axis and its field's name; ``old`` is the spelling of before any number of axes."""
    if message.has("axis") and message.has(old):
        raise conflict(message, old, "axis")
    name = old if message.has(old) else "axis"
    return message.get(name), name


def _parse_concat(layer: Message, context: LayerContext) -> ConcatParams:
    message = reject_unknown_fields(layer.get("concat_param"), "axis", "concat_dim")
    axis, field = _written_axis(message, "concat_dim")
    return ConcatParams(axis, f"concat_param.{field}")


def _concat_shape(params: ConcatParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    first = inputs[0]
    axis = axis_in(first, params.axis, params.field)
    for index, shape in enumerate(inputs[1:], 1):
        if _without(shape, axis) != _without(first, axis):
            raise ShapeError(
                f"the bottoms may differ in axis {axis} only: bottom 0 is {show(first)} and "
                f"bottom {index} is {show(shape)}",
                params.field,
            )
    joined = sum(shape[axis] for shape in inputs)
    return ((*first[:axis], joined, *first[axis + 1 :]),)


def _without(shape: Shape, axis: int) -> tuple[Shape, Shape]:
    """The sizes before and after an axis; a shape that lacks it equals none that has it."""
    return shape[:axis], shape[axis + 1 :] if len(shape) > axis else (-1,)


def _concat(params: ConcatParams, inputs: Arrays, weights: Arrays) -> Arrays:
    if len(inputs) == 1:
        return (inputs[0],)
    return (namespace(*inputs).concatenate(inputs, axis=params.axis),)


def _along_axis(
    params: ConcatParams | SliceParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    """Along a spatial axis what is seen depends on the blob; all of it is the safe answer."""
    return POINTWISE if params.axis % len(inputs[0]) < 2 else WHOLE


def _one_part(params: ConcatParams | SliceParams, inputs: Sequence[Shape]) -> bool:
    parts = params.tops if isinstance(params, SliceParams) else len(inputs)
    return parts == 1


CONCAT = OpDef(
    name="Concat",
    identity=_one_part,
    arity=Arity(bottoms=(1, None), tops=(1, 1)),
    params=_parse_concat,
    shape=_concat_shape,
    window=_along_axis,
    reference=_concat,
    family="joining",
    role=Role.CONCAT,
)


@dataclass(frozen=True, slots=True)
class SliceParams:
    """The bottom cut along ``axis``.

    Args:
        axis: negative counts from the end.
        points: elements at which the tops after the first begin; empty for equal parts.
        tops: how many there are.
        field: dotted path of the field that gave the axis, for messages.
    """

    axis: int = 1
    points: tuple[int, ...] = ()
    tops: int = 1
    field: str = "slice_param.axis"


def _parse_slice(layer: Message, context: LayerContext) -> SliceParams:
    message = reject_unknown_fields(layer.get("slice_param"), "axis", "slice_dim", "slice_point")
    axis, field = _written_axis(message, "slice_dim")
    points = message.get("slice_point")
    _check_points(message, points, context.tops)
    return SliceParams(axis, points, context.tops, f"slice_param.{field}")


def _check_points(message: Message, points: Sequence[int], tops: int) -> None:
    if points and len(points) != tops - 1:
        raise message.error(
            "slice_point",
            "value-count",
            f"{tops} tops need {tops - 1} `slice_point`, and there are {len(points)}",
            "give one between each two tops, or none for equal parts",
        )
    for index, (before, point) in enumerate(pairwise((0, *points))):
        check_number(message, "slice_point", point, before + 1, index)


def _slice_shape(params: SliceParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    axis = axis_in(shape, params.axis, params.field)
    cuts = _cuts(params, shape, axis)
    return tuple((*shape[:axis], end - start, *shape[axis + 1 :]) for start, end in pairwise(cuts))


def _cuts(params: SliceParams, shape: Shape, axis: int) -> tuple[int, ...]:
    """Where each top begins along the axis, and the axis's end."""
    size, tops = shape[axis], params.tops
    if params.points:
        if params.points[-1] >= size:
            raise ShapeError(
                f"`slice_point` {params.points[-1]} must be less than the {size} of axis {axis} of "
                f"{show(shape)}",
                "slice_param.slice_point",
                ("each top needs at least one element along the axis",),
            )
        return (0, *params.points, size)
    if size % tops:
        raise ShapeError(
            f"the {size} of axis {axis} of {show(shape)} cannot be cut in {tops} equal parts",
            params.field,
            (f"give {tops - 1} `slice_point`, or a size that {tops} divides",),
        )
    return tuple(range(0, size + 1, size // tops)) if size else (0,) * (tops + 1)


def _slice(params: SliceParams, inputs: Arrays, weights: Arrays) -> Arrays:
    (x,) = inputs
    axis = params.axis % x.ndim
    before = (slice(None),) * axis
    return tuple(x[(*before, slice(a, b))] for a, b in pairwise(_cuts(params, x.shape, axis)))


SLICE = OpDef(
    name="Slice",
    identity=_one_part,
    arity=Arity(bottoms=(1, 1), tops=(1, None)),
    params=_parse_slice,
    shape=_slice_shape,
    window=_along_axis,
    reference=_slice,
    family="joining",
    role=Role.SLICE,
)


@dataclass(frozen=True, slots=True)
class SplitParams:
    """Split: every one of ``tops`` tops is the bottom."""

    tops: int = 1


def _parse_split(layer: Message, context: LayerContext) -> SplitParams:
    return SplitParams(context.tops)


def _split_shape(params: SplitParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return (inputs[0],) * params.tops


def _split(params: SplitParams, inputs: Arrays, weights: Arrays) -> Arrays:
    return (inputs[0],) * params.tops


def _always(params: SplitParams, inputs: Sequence[Shape]) -> bool:
    return True


SPLIT = OpDef(
    name="Split",
    identity=_always,
    arity=Arity(bottoms=(1, 1), tops=(1, None)),
    params=_parse_split,
    shape=_split_shape,
    reference=_split,
    family="joining",
    role=Role.COPY,
)


def _nothing(params: None, inputs: Sequence[object], *rest: object) -> tuple[()]:
    return ()


SILENCE = OpDef(
    name="Silence",
    arity=Arity(bottoms=(1, None), tops=(0, 0)),
    shape=_nothing,
    reference=_nothing,
    params=no_params,
    family="joining",
    role=Role.SINK,
)

OPS = (CONCAT, SLICE, SPLIT, SILENCE)
