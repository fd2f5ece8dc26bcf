"""Resize and Remap of appearance flow (Zhou et al. 2016; resize_layer.cpp, remap_layer.cpp).

Resize is bilinear with the corners kept; an axis that shrinks is blurred by a tent before. Remap
reads its first bottom at the columns and rows that the two channels of its second give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import need_axes, need_four_axes
from netc.ops.cost import per_output
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent, no_params
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.schema.message import Message

_LEAST_SCALE = 0.01  # of the tent: at most 100 elements to each side are blurred


@dataclass(frozen=True, slots=True)
class AxisSize:
    """How one axis is resized: to ``size``, 0 for the same, or by ``scale``; neither: as a bottom.

    ``crop`` elements are left out at both ends.
    """

    size: int | None
    scale: float | None
    crop: int


@dataclass(frozen=True, slots=True)
class ResizeParams:
    """Height and width."""

    high: AxisSize
    wide: AxisSize


def _parse_resize(layer: Message, context: LayerContext) -> ResizeParams:
    p = reject_unknown_fields(
        layer.get("resize_param"),
        *("height", "width", "scale", "scale_x", "scale_y", "crop", "crop_x", "crop_y"),
    )
    return ResizeParams(
        _axis(p, "height", "scale_y", "crop_y", context),
        _axis(p, "width", "scale_x", "crop_x", context),
    )


def _axis(p: Message, size: str, scale: str, crop: str, context: LayerContext) -> AxisSize:
    cropped = crop if p.has(crop) else "crop"
    if p.get(cropped) < 0:
        raise bad_value(p, cropped, "must be at least 0")
    scaled = next((name for name in (scale, "scale") if p.has(name)), None)
    if scaled is not None and not p.get(scaled) > 0:
        raise bad_value(p, scaled, "must be above 0")
    if scaled is not None and p.has(size):
        raise bad_value(p, size, f"cannot be given beside `{scaled}`")
    if scaled is None and not p.has(size) and context.bottoms < 2:
        raise p.error(
            None,
            "missing-field",
            f"Resize's `{size}` is not given",
            f"write `{size}` or `{scale}`, or give a second bottom of the wanted size",
        )
    return AxisSize(
        p.get(size) if p.has(size) else None,
        None if scaled is None else p.get(scaled),
        p.get(cropped),
    )


class AxisMap(NamedTuple):
    """How an axis is resized: how many elements come out, and by what scale."""

    made: int
    scale: np.float32


def axis_map(axis: AxisSize, seen: int, like: int | None) -> AxisMap:
    """The size of an axis and its scale, in float32 as the fork works them out.

    Args:
        axis: what the text says.
        seen: elements of the bottom.
        like: those of the second bottom; None without one.

    Raises:
        ShapeError: nothing is left of the bottom, or one element is to become several.
    """
    steps = seen - 2 * axis.crop - 1
    if steps < 0:
        raise ShapeError(
            f"`crop` {axis.crop} leaves nothing of {seen} elements", "resize_param.crop"
        )
    if axis.size == 0:
        scale = np.float32(1)
    elif axis.scale is not None:
        scale = np.float32(axis.scale)
    else:
        wanted = axis.size if axis.size is not None else int(like or 1)
        if steps == 0:
            raise ShapeError(f"one element cannot be resized to {wanted}: no scale does it")
        scale = np.float32(wanted - 1) / np.float32(steps)
    made = int(scale * np.float32(steps) + np.float32(1) + np.float32(0.5))
    return AxisMap(made if like is None else like, scale)


def _maps(params: ResizeParams, inputs: Sequence[Shape]) -> tuple[AxisMap, AxisMap]:
    like = inputs[1][-2:] if len(inputs) > 1 else (None, None)
    high, wide = inputs[0][-2:]
    return axis_map(params.high, high, like[0]), axis_map(params.wide, wide, like[1])


def _resize_shape(params: ResizeParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    for shape in inputs:
        need_axes(shape, 2, "Resize")
    return ((*inputs[0][:-2], *(axis.made for axis in _maps(params, inputs))),)


def lerp(seen: int, axis: AxisMap, crop: int) -> AnyArray:
    """Each new element's shares of its two neighbours, (made, seen) float32."""
    place = np.arange(axis.made, dtype=np.float32) / axis.scale + np.float32(crop)
    place = np.clip(place, 0, seen - 1)
    low = place.astype(np.int64)
    high = np.minimum(low + 1, seen - 1)
    share, rows = high - place, np.arange(axis.made)
    shares = np.zeros((axis.made, seen), np.float32)
    np.add.at(shares, (rows, low), share)
    np.add.at(shares, (rows, high), 1 - share)
    return shares


def tent(seen: int, scale: np.float32) -> AnyArray:
    """The blur of an axis that shrinks, (seen, seen) float32; outside it is as at the ends."""
    radius = np.float32(1) / max(scale, np.float32(_LEAST_SCALE))
    whole, rows = int(radius), np.arange(seen)
    shares = np.zeros((seen, seen), np.float32)
    shares[rows, rows] = radius
    for step in range(1, int(np.ceil(radius))):
        for other in (np.maximum(rows - step, 0), np.minimum(rows + step, seen - 1)):
            np.add.at(shares, (rows, other), radius - step)
    return shares / ((2 * whole + 1) * radius - whole * (whole + 1))


def axis_shares(axis: AxisSize, seen: int, made: AxisMap) -> tuple[AnyArray, AnyArray | None]:
    """The matrices of one axis: that of the two neighbours and, where it shrinks, the tent."""
    return lerp(seen, made, axis.crop), tent(seen, made.scale) if made.scale < 1 else None


def along(x: AnyArray, shares: AnyArray | None, axis: int) -> AnyArray:
    """One axis of ``x`` multiplied by a matrix; ``x`` itself without one."""
    if shares is None:
        return x
    xp = namespace(x)
    matrix = xp.asarray(shares.astype(x.dtype))
    result: AnyArray = xp.moveaxis(xp.moveaxis(x, axis, -1) @ matrix.T, -1, axis)
    return result


def both_axes(
    params: ResizeParams, inputs: Sequence[Shape]
) -> tuple[tuple[int, AnyArray, AnyArray | None], ...]:
    """The matrices of the width, then of the height, with the axis's number."""
    high, wide = _maps(params, inputs)
    seen = inputs[0][-2:]
    return (
        (-1, *axis_shares(params.wide, seen[1], wide)),
        (-2, *axis_shares(params.high, seen[0], high)),
    )


def _resize(params: ResizeParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    x = inputs[0]
    for axis, shares, blur in both_axes(params, [array.shape for array in inputs]):
        x = along(along(x, blur, axis), shares, axis)
    return (x,)


def _resize_memory(params: ResizeParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    sides = (*inputs[0][-2:], *outputs[0][-2:])
    between = (*inputs[0][:-1], outputs[0][-1])
    return copies(4)(params, inputs, (*outputs, between, (3 * max(sides), 2 * max(sides))))


RESIZE = OpDef(
    name="Resize",
    arity=Arity((1, 2), (1, 1)),
    params=_parse_resize,
    shape=_resize_shape,
    cost=per_output(9),
    window=full_extent,
    memory=_resize_memory,
    reference=_resize,
    reads=1,
    family="pooling",
)


def _remap_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, places = inputs
    for shape in inputs:
        need_four_axes(shape, "Remap")
    if data[0] != places[0] or places[1] != 2:
        raise ShapeError(
            "the second bottom has a column and a row for each place of as many images: "
            f"{show(data)}, {show(places)}"
        )
    return ((*data[:2], *places[2:]),)


class Corners(NamedTuple):
    """One of the four elements around each place, (num, height, width).

    ``kept`` is False outside of the map, whose elements are 0. ``share`` is how much it counts,
    ``by_column`` and ``by_row`` how that changes with the place.
    """

    rows: AnyArray
    columns: AnyArray
    kept: AnyArray
    share: AnyArray
    by_column: AnyArray
    by_row: AnyArray


def corners(places: AnyArray, high: int, wide: int) -> tuple[Corners, ...]:
    """The four elements around each place of a map of ``high`` rows and ``wide`` columns."""
    x, y = places[:, 0], places[:, 1]
    left, upper = np.floor(x), np.floor(y)
    across, down = x - left, y - upper
    one = np.ones_like(across)
    found = []
    for column, share_x, slope_x in ((left, 1 - across, -one), (left + 1, across, one)):
        for row, share_y, slope_y in ((upper, 1 - down, -one), (upper + 1, down, one)):
            kept = (column >= 0) & (column <= wide - 1) & (row >= 0) & (row <= high - 1)
            rows, columns = (np.where(kept, a, 0).astype(np.int64) for a in (row, column))
            found.append(
                Corners(
                    rows, columns, kept, share_x * share_y, slope_x * share_y, share_x * slope_y
                )
            )
    return tuple(found)


def values_at(data: AnyArray, corner: Corners) -> AnyArray:
    """The elements (num, channels, height, width) at a corner, 0 outside."""
    image = np.arange(len(data))[:, None, None]
    found = np.moveaxis(data[image, :, corner.rows, corner.columns], 3, 1)
    return np.where(corner.kept[:, None], found, 0)


def _remap(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    data, places = (np.asarray(array) for array in inputs)
    total = np.zeros((*data.shape[:2], *places.shape[2:]), data.dtype)
    with np.errstate(invalid="ignore"):
        for corner in corners(places, *data.shape[2:]):
            total += corner.share[:, None] * values_at(data, corner)
    return (total,)


REMAP = OpDef(
    name="Remap",
    arity=Arity((2, 2), (1, 1)),
    params=no_params,
    shape=_remap_shape,
    cost=per_output(11),
    window=full_extent,
    memory=copies(12),
    reference=_remap,
    family="pooling",
    host=True,
)

OPS = (RESIZE, REMAP)
