"""Layers of facial landmarks: MultiROIPooling and WeightEuclideanLoss.

multi_roi_pooling_layer.cu of mysee1989/PG-CNN (Li et al. 2018) cuts a patch of the map around each
landmark. weight_euclidean_loss_layer.cpp of goodluckcwl/custom-caffe weighs the 68 landmarks of
300-W: those of the contour, the others, and 13 of these by which faces are aligned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input, per_output
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import number, required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class PatchParams:
    """``tops`` patches of ``pooled_h`` by ``pooled_w`` elements, around places given in pixels.

    ``spatial_scale`` is the map's elements for each pixel.
    """

    pooled_h: int
    pooled_w: int
    spatial_scale: float
    tops: int


def _parse_patches(layer: Message, context: LayerContext) -> PatchParams:
    param = reject_unknown_fields(
        layer.get("multi_roi_pooling_param"), "pooled_h", "pooled_w", "spatial_scale", "top_num"
    )
    if number(param, "top_num", 1) != context.tops:
        raise bad_value(param, "top_num", f"must be the number of tops, {context.tops}")
    return PatchParams(
        required_number(param, "pooled_h"),
        required_number(param, "pooled_w"),
        param.get("spatial_scale"),
        context.tops,
    )


def _patches_shape(params: PatchParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, places = inputs
    if len(data) != 4:
        raise ShapeError(f"the first bottom must have 4 axes, it is {show(data)}")
    if len(places) < 2 or places[:2] != (data[0], params.tops) or count(places, 2) != 2:
        raise ShapeError(
            f"x and y of {params.tops} places in each of {data[0]} images are needed, the second "
            f"bottom is {show(places)}"
        )
    return ((data[0], data[1], params.pooled_h, params.pooled_w),) * params.tops


def patches(
    params: PatchParams, shape: Shape, places: AnyArray
) -> Iterator[tuple[int, int, tuple[slice, slice], tuple[slice, slice]]]:
    """Each patch's top and image, its rows and columns in the map, and in the top."""
    sides = params.pooled_h, params.pooled_w
    middles = places.reshape(shape[0], params.tops, 2)[..., ::-1] * np.float32(params.spatial_scale)
    for image, top in np.ndindex(shape[0], params.tops):
        seen, made = [], []
        for middle, side, size in zip(middles[image, top], sides, shape[2:], strict=True):
            at = middle - side // 2
            start = int(np.trunc(at + np.copysign(0.5, at)))  # C's round
            low, high = max(start, 0), min(start + side, size)
            high = max(low, high)
            seen.append(slice(low, high))
            made.append(slice(low - start, high - start))
        yield top, image, (seen[0], seen[1]), (made[0], made[1])


def _patches(params: PatchParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    data, places = (np.asarray(array) for array in inputs)
    shapes = _patches_shape(params, [data.shape, places.shape])
    tops = [np.zeros(shape, data.dtype) for shape in shapes]
    for top, image, seen, made in patches(params, data.shape, places):
        tops[top][image][:, made[0], made[1]] = data[image][:, seen[0], seen[1]]
    return tuple(tops)


MULTI_ROI_POOLING = OpDef(
    name="MultiROIPooling",
    arity=Arity((2, 2), (1, None)),
    params=_parse_patches,
    shape=_patches_shape,
    cost=per_output(1),
    window=full_extent,
    reference=_patches,
    family="pooling",
    host=True,
)


# WeightEuclideanLoss

_POINTS, _CONTOUR = 68, 17
_COARSE = (17, 21, 22, 26, 36, 39, 42, 45, 27, 31, 35, 48, 54)
_EYES = ((36, 39), (42, 45))  # x of the first and y of the second point of each eye, as it is there
_LEAST = 2.0**-126  # FLT_MIN


@dataclass(frozen=True, slots=True)
class LandmarkLossParams:
    """A weight for each of 68 points, and what a difference is divided by.

    ``by`` is "" for nothing, "eyes" for their distance and "box" for the diagonal of the points.
    """

    weights: tuple[float, ...]
    by: str


def _parse_loss(layer: Message, context: LayerContext) -> LandmarkLossParams:
    names = ("contour_weight", "main_weight", "coarse_weight", "normalized", "normalized_type")
    param = reject_unknown_fields(layer.get("weight_euclidean_loss_param"), *names)
    weights = [param.get("contour_weight")] * _CONTOUR
    weights += [param.get("main_weight")] * (_POINTS - _CONTOUR)
    if param.get("coarse_weight"):
        for point in _COARSE:
            weights[point] = param.get("coarse_weight")
    kind = "box" if param.get("normalized_type") else "eyes"
    return LandmarkLossParams(tuple(weights), kind if param.get("normalized") == 1 else "")


def _loss_shape(params: LandmarkLossParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    for shape in inputs:
        if len(shape) < 2 or shape[0] != inputs[0][0] or count(shape, 1) != 2 * _POINTS:
            raise ShapeError(
                f"rows of {2 * _POINTS} numbers are needed, x and then y of {_POINTS} landmarks, "
                f"the bottoms are {' and '.join(map(show, inputs))}"
            )
    return ((),)


@quietly
def weighted_changes(params: LandmarkLossParams, inputs: Arrays) -> tuple[AnyArray, AnyArray]:
    """Differences of predictions from truth, and the same by their weights: (num, 136) each."""
    x, truth = (np.asarray(array).reshape(len(array), -1) for array in inputs[:2])
    change = x - truth
    weighted = change * np.tile(params.weights, 2).astype(x.dtype)
    if params.by:
        weighted = weighted / np.maximum(_size(params.by, truth), x.dtype.type(_LEAST))
    return change, weighted


def _size(by: str, truth: AnyArray) -> AnyArray:
    """The distance that the landmarks of a face are measured by: (num, 1)."""
    xs, ys = truth[:, :_POINTS], truth[:, _POINTS:]
    if by == "eyes":
        (a, b), (c, d) = _EYES
        wide, high = xs[:, a] - xs[:, c], ys[:, b] - ys[:, d]
    else:  # of a box that begins as 1, 1, 0, 0
        wide, high = (np.maximum(z.max(axis=1), 0) - np.minimum(z.min(axis=1), 1) for z in (xs, ys))
    result: AnyArray = np.sqrt(wide * wide + high * high)[:, None]
    return result


@quietly
def _loss(params: LandmarkLossParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    change, weighted = weighted_changes(params, inputs)
    if len(inputs) == 3:
        change = change * np.asarray(inputs[2]).reshape(change.shape)
    total = (weighted * change).sum(dtype=np.float64)
    return (np.array(total / max(1, len(change)) / 2, inputs[0].dtype),)


WEIGHT_EUCLIDEAN_LOSS = OpDef(
    name="WeightEuclideanLoss",
    arity=Arity((2, 3), (1, 1), optional_top=True),
    params=_parse_loss,
    shape=_loss_shape,
    cost=per_input(4),
    window=full_extent,
    memory=copies(8),
    reference=_loss,
    loss=True,
    family="loss",
    host=True,
)

OPS = (MULTI_ROI_POOLING, WEIGHT_EUCLIDEAN_LOSS)
