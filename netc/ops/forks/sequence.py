"""Layers of forks that prepare sequences for recurrent ones: Reverse, ContinuationIndicator.

reverse_layer.cpp and continuation_indicator_layer.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import axis_in
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, full_extent
from netc.ops.fields import bad_value, fork_field, reject_unknown_fields
from netc.ops.numbers import required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class ReverseParams:
    """The axes along which the order of elements is reversed, -1 the last; 0 by default."""

    axes: tuple[int, ...]


def _parse_reverse(layer: Message, context: LayerContext) -> ReverseParams:
    param = reject_unknown_fields(layer.get("reverse_param"), "axis")
    given = param.get("axis")
    axes = (given if isinstance(given, tuple) else (given,)) or (0,)
    if len(set(axes)) < len(axes):
        raise bad_value(param, "axis", "must name each axis once")
    return ReverseParams(axes)


def _reverse_shape(params: ReverseParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    named = {axis_in(inputs[0], axis, "reverse_param.axis") for axis in params.axes}
    if len(named) < len(params.axes):
        raise ShapeError("`axis` must name each axis once", "reverse_param.axis")
    return (inputs[0],)


def _reverse(params: ReverseParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    xp = namespace(inputs[0])
    return (xp.ascontiguousarray(xp.flip(inputs[0], params.axes)),)


REVERSE = OpDef(
    name="Reverse",
    arity=Arity((1, 1), (1, 1)),
    params=_parse_reverse,
    shape=_reverse_shape,
    window=full_extent,
    reference=_reverse,
    family="reshaping",
)


@dataclass(frozen=True, slots=True)
class ContinuationIndicatorParams:
    """A top (``steps``, streams) that is 0 at the first step and 1 at all others.

    ``streams`` is how many; None for the size of the bottom's ``axis``.
    """

    steps: int
    streams: int | None
    axis: int


def _parse_indicator(layer: Message, context: LayerContext) -> ContinuationIndicatorParams:
    param = reject_unknown_fields(
        layer.get("continuation_indicator_param"), "time_step", "batch_size", "axis"
    )
    steps = required_number(param, "time_step")
    streams = None if context.bottoms else fork_field(param, "batch_size", 0)
    if streams == 0:
        raise param.error(
            None,
            "missing-field",
            "a ContinuationIndicator without a bottom needs `batch_size`",
            "add `batch_size: N`, or a bottom whose `axis` tells it",
        )
    return ContinuationIndicatorParams(steps, streams, param.get("axis"))


def _indicator_shape(
    params: ContinuationIndicatorParams, inputs: Sequence[Shape]
) -> tuple[Shape, ...]:
    if params.streams is not None:
        return ((params.steps, params.streams),)
    axis = axis_in(inputs[0], params.axis, "continuation_indicator_param.axis")
    if inputs[0][axis] == 0:
        raise ShapeError(f"axis {axis} of the bottom must have at least 1 stream, it has 0")
    return ((params.steps, inputs[0][axis]),)


def _indicator(
    params: ContinuationIndicatorParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    """0 at the first step, where each sequence begins, and 1 after it."""
    (shape,) = _indicator_shape(params, [array.shape for array in inputs])
    marks = namespace(*inputs).ones(shape, dtype=np.float32)
    marks[0] = 0
    return (marks,)


CONTINUATION_INDICATOR = OpDef(
    name="ContinuationIndicator",
    arity=Arity((0, 1), (1, 1)),
    params=_parse_indicator,
    shape=_indicator_shape,
    window=full_extent,
    reference=_indicator,
    reads=0,
    family="reshaping",
)

OPS = (REVERSE, CONTINUATION_INDICATOR)
