"""PSROIAlign and DeformablePSROIPooling: position-sensitive pooling of bilinear samples.

psroi_align_layer.cu and deformable_psroi_pooling_layer.cu of makefile/frcnn (Dai et al. 2016,
R-FCN; Dai et al. 2017, arXiv:1703.06211). Bin (y, x) of a region reads a group of channels of its
own. A region is a row of image, x_min, y_min, x_max, y_max in pixels of the net's input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, Regions
from netc.ops.cost import per_output
from netc.ops.define import (
    FLOAT,
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    TypeReading,
    copies,
    erased,
    full_extent,
)
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import number, required_number
from netc.ops.region_shape import region_shape
from netc.ops.regions import not_in_batch
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class PartParams:
    """The top is (regions, ``output_dim``, ``group``, ``group``).

    Args:
        spatial_scale: the bottom's elements for each pixel of the net's input.
        output_dim: channels of the top.
        group: bins along a side.
        samples: along a side of a bin.
    """

    spatial_scale: float
    output_dim: int
    group: int
    samples: int


def _parts(param: Message, samples: str) -> PartParams:
    if not param.get("spatial_scale") > 0:
        raise bad_value(param, "spatial_scale", "must be greater than 0")
    return PartParams(
        param.get("spatial_scale"),
        required_number(param, "output_dim"),
        required_number(param, "group_size"),
        number(param, samples, 1),
    )


def _parse_align(layer: Message, context: LayerContext) -> PartParams:
    names = ("spatial_scale", "output_dim", "group_size", "sample_num")
    return _parts(reject_unknown_fields(layer.get("psroi_align_param"), *names), "sample_num")


def _part_shape(params: PartParams, inputs: Sequence[Shape], field: str) -> Shape:
    group, data = params.group, inputs[0]
    made = region_shape(inputs[:2], group, group)
    if data[1] != params.output_dim * group * group:
        raise ShapeError(
            f"`output_dim` {params.output_dim} with `group_size` {group} needs "
            f"{params.output_dim * group * group} channels, the bottom is {show(data)}",
            f"{field}.output_dim",
        )
    return (made[0], params.output_dim, group, group)


def _align_shape(params: PartParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return (_part_shape(params, inputs, "psroi_align_param"),)


def image_of(region: AnyArray, images: int) -> int:
    """The image of a region.

    Raises:
        NetcError: region-out-of-range, for an image that is not in the batch.
    """
    if not -1 < region[0] < images:
        raise not_in_batch(float(region[0]), images)
    return int(region[0])


class Lines(NamedTuple):
    """How much samples take of each element of an axis, and the slopes of that by their places.

    Both (..., elements), summed over the samples that are given along the last axis of their
    places.
    """

    shares: AnyArray
    slopes: AnyArray


def lines(at: AnyArray, counted: AnyArray, size: int) -> Lines:
    """Linear interpolation along an axis.

    Args:
        at: (..., samples), places from 0 to ``size`` - 1; one on an element has that element alone
            and no slope.
        counted: which samples count, in the same shape.
        size: elements of the axis.
    """
    low = np.floor(at)
    part, elements = (at - low)[..., None], np.arange(size)
    first = (low[..., None] == elements) & counted[..., None]
    last = (np.ceil(at)[..., None] == elements) & counted[..., None]
    shares = first * (1 - part) + last * part
    slopes = (last.astype(at.dtype) - first).sum(axis=-2)
    return Lines(shares.sum(axis=-2), slopes)


def aligned_lines(params: PartParams, shape: Shape, region: AnyArray) -> tuple[AnyArray, AnyArray]:
    """A region's means, along rows (group, rows) and along columns (group, columns)."""
    made = []
    for axis, size in ((2, shape[2]), (1, shape[3])):
        kind = region.dtype.type
        start = region[axis] * kind(params.spatial_scale)
        end = (region[axis + 2] + kind(1)) * kind(params.spatial_scale)
        side = np.maximum(end - start, kind(0.1)) / kind(params.group)
        edges = np.clip(np.arange(params.group + 1, dtype=kind) * side + start, 0, kind(size - 1))
        steps = np.arange(1, params.samples + 1, dtype=kind) * (side / kind(params.samples + 1))
        at = edges[:-1, None] + steps
        counted = at < edges[1:, None]
        inside = np.where(counted, at, 0)
        made.append(lines(inside, counted, size).shares / kind(params.samples))
    return made[0], made[1]


def by_bin(data: AnyArray, params: PartParams) -> AnyArray:
    """A map (channels, h, w) as (outputs, group, group, h, w)."""
    return data.reshape(params.output_dim, params.group, params.group, *data.shape[-2:])


@quietly
def _align(params: PartParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    data, regions = (np.asarray(array) for array in inputs)
    top = np.zeros(_align_shape(params, [data.shape, regions.shape])[0], data.dtype)
    for at, region in enumerate(regions.reshape(len(regions), 5)):
        down, across = aligned_lines(params, data.shape, region)
        own = by_bin(data[image_of(region, len(data))], params)
        top[at] = np.einsum("ih,cijhw,jw->cij", down, own, across, optimize=True)
    return (top,)


def _regions(
    params: PartParams | DeformablePartParams, inputs: Sequence[Shape]
) -> Sequence[Contents | None]:
    parts = params if isinstance(params, PartParams) else params.parts
    images, _, height, width = inputs[0]
    return None, Regions(images, height / parts.spatial_scale, width / parts.spatial_scale)


PSROI_ALIGN = OpDef(
    name="PSROIAlign",
    arity=Arity((2, 2), (1, 1)),
    params=_parse_align,
    shape=_align_shape,
    cost=per_output(16),
    window=full_extent,
    memory=copies(6),
    reference=_align,
    contents=_regions,
    family="pooling",
    host=True,
)


@dataclass(frozen=True, slots=True)
class DeformablePartParams:
    """Bins that a third bottom moves, by ``deviation`` times its numbers of the region's size.

    That bottom is (regions, 2 * classes, ``part_size``, ``part_size``): x before y for each class,
    and the top's channels are shared out among the classes; without it (``fixed``) no bin moves.
    """

    parts: PartParams
    part_size: int
    deviation: float
    fixed: bool


_DEFORMABLE = ("spatial_scale", "output_dim", "group_size", "pooled_size", "part_size",
               "sample_per_part", "trans_std", "no_trans")  # fmt: skip


def _parse_deformable(layer: Message, context: LayerContext) -> DeformablePartParams:
    param = reject_unknown_fields(layer.get("deformable_psroi_pooling_param"), *_DEFORMABLE)
    fixed = param.get("no_trans")
    if not fixed and context.bottoms < 3:
        raise param.error(
            None,
            "missing-field",
            "the layer has no third bottom, of how far bins move",
            "add it, or `no_trans: true`",
        )
    parts = _parts(param, "sample_per_part")
    size = 1 if fixed else number(param, "part_size", 1)
    return DeformablePartParams(parts, size, param.get("trans_std"), fixed)


def _deformable_shape(params: DeformablePartParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    made = _part_shape(params.parts, inputs, "deformable_psroi_pooling_param")
    if not params.fixed:
        moves, side = inputs[2], params.part_size
        fits = len(moves) == 4 and moves[0] == made[0] and moves[2:] == (side, side)
        if not fits or moves[1] < 2 or moves[1] % 2 or made[1] % (moves[1] // 2):
            raise ShapeError(
                f"the third bottom must be {made[0]} x 2 * classes x {side} x {side}, with classes "
                f"that share {made[1]} channels evenly; it is {show(moves)}"
            )
    return (made,)


class MovedBins(NamedTuple):
    """A region's bins: its image, sides and part of the third bottom, and means along both axes.

    ``rows`` and ``columns`` are (classes, group, group, elements); ``sides`` height and width in
    elements, ``part`` the row or column of the third bottom for each row or column of bins.
    """

    image: int
    sides: AnyArray
    part: AnyArray
    rows: Lines
    columns: Lines


def moved_bins(params: DeformablePartParams, inputs: Arrays) -> Iterator[MovedBins]:
    """The bins of every region.

    Raises:
        NetcError: region-out-of-range, for a region of an image that is not in the batch.
    """
    data, regions = inputs[0], np.asarray(inputs[1]).reshape(-1, 5)
    group, side = params.parts.group, params.part_size
    part = np.floor(np.arange(group) / group * side).astype(np.int64)
    for at, region in enumerate(regions):
        kind = region.dtype.type
        corners = np.copysign(np.floor(np.abs(region[1:]) + kind(0.5)), region[1:])
        scale = kind(params.parts.spatial_scale)
        start = corners[:2] * scale - kind(0.5)
        sides = np.maximum((corners[2:] + 1) * scale - kind(0.5) - start, kind(0.1))[::-1]
        moves = np.zeros((1, 2, group, group), kind)
        if not params.fixed:
            own = np.asarray(inputs[2])[at].reshape(-1, 2, side, side)
            moves = own[:, :, part][:, :, :, part] * kind(params.deviation)
        rows = _moved_lines(params, data.shape[2], start[1], sides[0], moves[:, 1], 1)
        columns = _moved_lines(params, data.shape[3], start[0], sides[1], moves[:, 0], 2)
        yield MovedBins(image_of(region, len(data)), sides, part, rows, columns)


def _moved_lines(
    params: DeformablePartParams, size: int, start: float, side: float, moves: AnyArray, axis: int
) -> Lines:
    """Means along an axis for each class and bin; a bin of which no sample counts has none."""
    kind, own = moves.dtype.type, params.parts
    steps = np.arange(own.group, dtype=kind) * kind(side / own.group) + kind(start)
    first = steps.reshape(-1, 1) if axis == 1 else steps
    apart = np.arange(own.samples, dtype=kind) * kind(side / own.group / own.samples)
    at = (first + moves * kind(side))[..., None] + apart
    counted = (at >= -0.5) & (at <= size - 0.5)
    found = lines(np.clip(at, 0, kind(size - 1)), counted, size)
    by = np.maximum(counted.sum(axis=-1, keepdims=True), 1).astype(kind)
    return Lines(found.shares / by, found.slopes / by)


def by_class(data: AnyArray, params: DeformablePartParams, classes: int) -> AnyArray:
    """A map (channels, h, w) as (classes, channels of each, group, group, h, w)."""
    return by_bin(data, params.parts).reshape(
        classes, -1, params.parts.group, params.parts.group, *data.shape[-2:]
    )


@quietly
def _deform(params: DeformablePartParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    data = np.asarray(inputs[0])
    top = np.zeros(_deformable_shape(params, [a.shape for a in inputs])[0], data.dtype)
    for at, bins in enumerate(moved_bins(params, inputs)):
        own = by_class(data[bins.image], params, len(bins.rows.shares))
        means = np.einsum(
            "kijh,kcijhw,kijw->kcij", bins.rows.shares, own, bins.columns.shares, optimize=True
        )
        top[at] = means.reshape(top.shape[1:])
    return (top,)


def _deformable_memory(
    params: DeformablePartParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> int:
    """One region's shares, for each class, bin and sample, and products with the map."""
    bins = (1 if params.fixed else inputs[2][1] // 2) * params.parts.group**2
    high, wide = inputs[0][2:]
    return copies(4)(params, inputs, outputs) + 2 * FLOAT * bins * (high + wide) * (
        8 + 6 * params.parts.samples
    )


def _deformable_reading(layer: Message) -> TypeReading | None:
    param = layer.get("deformable_psroi_pooling_param")
    if not param.has("pooled_size") or param.get("pooled_size") == param.get("group_size"):
        return None
    return TypeReading(erased(DEFORMABLE_PSROI), _TOLD)


_TOLD = (
    "deformable_psroi_pooling_param",
    "the top has `group_size` bins along a side, as in makefile/frcnn, which does not read "
    "`pooled_size`; where Deformable ConvNets come from, there are `pooled_size` bins",
    ("write the same number for both if it means that",),
)

DEFORMABLE_PSROI = OpDef(
    name="DeformablePSROIPooling",
    arity=Arity((2, 3), (1, 1)),
    params=_parse_deformable,
    shape=_deformable_shape,
    cost=per_output(64),
    window=full_extent,
    memory=_deformable_memory,
    reference=_deform,
    contents=_regions,
    family="pooling",
    reading=_deformable_reading,
    host=True,
)

OPS = (PSROI_ALIGN, DEFORMABLE_PSROI)
