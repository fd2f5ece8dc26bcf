"""Axes and shapes as layers name them: negative axes, aligned operands, shapes in messages."""

from __future__ import annotations

from netc.ir.types import Shape, canonical_axis, show
from netc.ops.array import AnyArray
from netc.ops.define import ShapeError


def axis_in(shape: Shape, axis: int, field: str) -> int:
    """The non-negative axis of a bottom's shape.

    Args:
        shape: of the bottom.
        axis: from the front, or from the end if negative.
        field: dotted path of the field that gave it, as "softmax_param.axis", for the message.

    Raises:
        ShapeError: the shape has no such axis.
    """
    try:
        return canonical_axis(axis, len(shape))
    except IndexError:
        raise no_axis(shape, axis, field) from None


def no_axis(shape: Shape, axis: int, field: str) -> ShapeError:
    """The error that a shape lacks an axis, to be raised by the caller; see :func:`axis_in`."""
    axes = len(shape)
    help = f"use -{axes} to {axes - 1}" if axes else "a scalar has no axis to name"
    name = field.rpartition(".")[2]
    return ShapeError(
        f"`{name}` {axis} is out of range for the {axes} axes of {show(shape)}",
        field,
        (help,),
    )


def need_axes(shape: Shape, minimum: int, what: str) -> None:
    """Check that the bottom has at least ``minimum`` axes; ``what`` names the layer in the message.

    Raises:
        ShapeError: it has fewer.
    """
    if len(shape) < minimum:
        raise ShapeError(
            f"{what} needs at least {minimum} axes, and the bottom is {show(shape)}",
            help=("reshape the bottom first",),
        )


def need_four_axes(shape: Shape, what: str) -> None:
    """Check that the bottom has the 4 axes num, channels, height and width.

    Raises:
        ShapeError: it has another number of axes.
    """
    if len(shape) != 4:
        raise ShapeError(f"{what} takes 4 axes, and the bottom is {show(shape)}")


def aligned(array: AnyArray, axis: int, axes: int) -> AnyArray:
    """A view of an array that broadcasts over a blob: axes of 1 are added before and behind.

    Args:
        array: whose first axis belongs to axis ``axis`` of the blob.
        axis: non-negative.
        axes: how many axes the blob has.
    """
    trailing = axes - axis - array.ndim
    return array.reshape((1,) * axis + array.shape + (1,) * trailing)


def per_channel(array: AnyArray, axes: int) -> AnyArray:
    """A view of a vector (channels,), or of one value, that broadcasts along axis 1 of ``axes``."""
    return array.reshape((1, -1) + (1,) * (axes - 2))
