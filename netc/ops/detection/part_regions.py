"""PSROIAlign: position-sensitive pooling of bilinear samples.

psroi_align_layer.cu of makefile/frcnn (after Dai et al. 2016, R-FCN). Bin (y, x) of a region reads
a group of channels of its own. A region is a row of image, x_min, y_min, x_max, y_max in pixels of
the net's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, Regions
from netc.ops.cost import per_output
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    copies,
    full_extent,
)
from netc.ops.detection.region_bins import not_in_batch
from netc.ops.detection.region_shape import region_shape
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import number, required_number
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


def parts_of(param: Message, samples: str) -> PartParams:
    """The fields that both layers of this kind have; ``samples`` names that of the samples.

    Raises:
        NetcError: out-of-range or missing-field, at the field.
    """
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
    return parts_of(reject_unknown_fields(layer.get("psroi_align_param"), *names), "sample_num")


def part_shape(params: PartParams, inputs: Sequence[Shape], field: str) -> Shape:
    """The top's shape; ``field`` is the layer's message.

    Raises:
        ShapeError: the bottoms are no map and regions, or the channels are not those of the bins.
    """
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
    return (part_shape(params, inputs, "psroi_align_param"),)


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


def part_regions(params: PartParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule: the second bottom has regions of the images that the first is of."""
    images, _, height, width = inputs[0]
    return None, Regions(images, height / params.spatial_scale, width / params.spatial_scale)


PSROI_ALIGN = OpDef(
    name="PSROIAlign",
    arity=Arity((2, 2), (1, 1)),
    params=_parse_align,
    shape=_align_shape,
    cost=per_output(16),
    window=full_extent,
    memory=copies(6),
    reference=_align,
    contents=part_regions,
    family="pooling",
    host=True,
)


OPS = (PSROI_ALIGN,)
