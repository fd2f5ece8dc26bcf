"""What is trained beside a SpatialTransformer: STLoss, LocLoss and PowerFile.

st_loss_layer.cu, loc_loss_layer.cu and power_file_layer.cu of daerduoCarey/SpatialTransformerLayer,
also cvjena/caffe_pp2's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.cost import per_input, per_output
from netc.ops.define import (
    FLOAT,
    Arity,
    BlobFile,
    LayerContext,
    OpDef,
    ShapeError,
    copies,
    full_extent,
    same_shape,
)
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.forks.spatial_transformer import grid
from netc.ops.numbers import required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class MapLossParams:
    """STLoss: places of a grid of these sizes that leave the image."""

    height: int
    width: int


def _parse_map(layer: Message, context: LayerContext) -> MapLossParams:
    p = reject_unknown_fields(layer.get("st_loss_param"), "output_H", "output_W")
    return MapLossParams(required_number(p, "output_H"), required_number(p, "output_W"))


def _map_shape(params: MapLossParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    if not inputs[0] or count(inputs[0], 1) != 6:
        raise ShapeError(f"6 numbers of a map are needed for each image, got {show(inputs[0])}")
    return ((),)


def map_places(params: MapLossParams, theta: AnyArray) -> AnyArray:
    """Where the maps bring the grid's places, (images, 2, places)."""
    maps = np.asarray(theta).reshape(-1, 2, 3).astype(np.float64)
    found: AnyArray = np.einsum("pk,nrk->nrp", grid(params.height, params.width), maps)
    return found


def beyond(places: AnyArray) -> AnyArray:
    """How far numbers lie outside of -1 and 1, with their sign; 0 inside."""
    result: AnyArray = np.sign(places) * np.maximum(np.abs(places) - 1, 0)
    return result


def _map_loss(params: MapLossParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Half the squared distance outside of the image, the mean over all places."""
    far = beyond(map_places(params, inputs[0]))
    total = (far * far).sum() / 2 / (far.shape[0] * far.shape[2])
    return (np.asarray(total, inputs[0].dtype),)


ST_LOSS = OpDef(
    name="STLoss",
    arity=Arity((1, 1), (1, 1), optional_top=True),
    params=_parse_map,
    shape=_map_shape,
    cost=per_input(8),
    window=full_extent,
    memory=lambda p, i, o: FLOAT * 16 * (i[0][0] if i[0] else 1) * p.height * p.width,
    reference=_map_loss,
    loss=True,
    family="loss",
    host=True,
)


@dataclass(frozen=True, slots=True)
class LocLossParams:
    """LocLoss: numbers beyond ``threshold`` on either side of 0."""

    threshold: float


def _parse_loc(layer: Message, context: LayerContext) -> LocLossParams:
    p = reject_unknown_fields(layer.get("loc_loss_param"), "threshold")
    if not p.get("threshold") > 0:
        raise bad_value(p, "threshold", "must be above 0")
    return LocLossParams(p.get("threshold"))


def _loc_loss(params: LocLossParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Half the squared distance beyond the threshold, the mean over all numbers."""
    x = np.asarray(inputs[0]).astype(np.float64)
    far = params.threshold * beyond(x / params.threshold)
    return (np.asarray((far * far).sum() / 2 / max(1, x.size), inputs[0].dtype),)


LOC_LOSS = OpDef(
    name="LocLoss",
    arity=Arity((1, 1), (1, 1), optional_top=True),
    params=_parse_loc,
    shape=lambda params, inputs: ((),),
    cost=per_input(5),
    window=full_extent,
    memory=copies(6),
    reference=_loc_loss,
    loss=True,
    family="loss",
    host=True,
)


@dataclass(frozen=True, slots=True)
class PowerFileParams:
    """PowerFile: a shift of each number of an item, in a file of numbers; 0 without.

    ``shift`` has them once the file is read.
    """

    path: str | None
    shift: tuple[float, ...] = ()


def _parse_power(layer: Message, context: LayerContext) -> PowerFileParams:
    p = reject_unknown_fields(layer.get("power_file_param"), "shift_file")
    return PowerFileParams(p.optional("shift_file"))


def _given_shift(
    params: PowerFileParams, inputs: Sequence[Shape], path: str, array: AnyArray
) -> PowerFileParams:
    """The first numbers of the file; those that it lacks are 0 (power_file_layer.cpp)."""
    length = count(inputs[0], 1)
    return replace(params, shift=tuple(array[:length].tolist()))


def _power(params: PowerFileParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    x, xp = inputs[0], namespace(inputs[0])
    shift = np.zeros(count(x.shape, 1), x.dtype)
    shift[: len(params.shift)] = params.shift
    return (x + xp.asarray(shift).reshape(1, *x.shape[1:]),)


POWER_FILE = OpDef(
    name="PowerFile",
    arity=Arity((1, 1), (1, 1)),
    params=_parse_power,
    shape=same_shape,
    cost=per_output(1),
    reference=_power,
    blob_file=BlobFile(lambda params: params.path, _given_shift, numbers=True),
    family="other",
)

OPS = (ST_LOSS, LOC_LOSS, POWER_FILE)
