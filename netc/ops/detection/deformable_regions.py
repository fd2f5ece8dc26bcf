"""DeformablePSROIPooling: position-sensitive pooling whose bins a third bottom moves.

deformable_psroi_pooling_layer.cu of makefile/frcnn (Dai et al. 2017, arXiv:1703.06211). Bin (y, x)
of a region reads a group of channels of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents
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
from netc.ops.detection.part_regions import (
    Lines,
    PartParams,
    by_bin,
    image_of,
    lines,
    part_regions,
    part_shape,
    parts_of,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import number
from netc.schema.message import Message


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
    parts = parts_of(param, "sample_per_part")
    size = 1 if fixed else number(param, "part_size", 1)
    return DeformablePartParams(parts, size, param.get("trans_std"), fixed)


def _deformable_shape(params: DeformablePartParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    made = part_shape(params.parts, inputs, "deformable_psroi_pooling_param")
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


def _regions(params: DeformablePartParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return part_regions(params.parts, inputs)


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
    return TypeReading(erased(DEFORMABLE_PSROI), _READ_AS)


_READ_AS = (
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

OPS = (DEFORMABLE_PSROI,)
