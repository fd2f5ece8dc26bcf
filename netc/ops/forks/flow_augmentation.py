"""GenerateAugmentationParameters and FlowAugmentation of FlowNet 2.

generate_augmentation_parameters_layer.cu and flow_augmentation_layer.cu of lmb-freiburg/flownet2
(Ilg et al. 2017).
"""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_output
from netc.ops.define import Arity, OpDef, ShapeError, copies, full_extent
from netc.ops.forks.augmentation import (
    AugmentationParams,
    Size,
    check_pictures,
    check_rows,
    drawn_rows,
    draws_any,
    parse_augmentation,
)
from netc.ops.forks.augmentation_params import COEFFICIENTS, SPATIAL, coefficients_of, transform


def _sizes(params: AugmentationParams, shapes: Sequence[Shape]) -> tuple[Size, Size]:
    """Of the pictures and of the crops."""
    if params.bottoms == 3:
        return (shapes[1][2], shapes[1][3]), (shapes[2][2], shapes[2][3])
    own = shapes[0][2:] if _is_picture(shapes[0]) else params.picture
    return (own[0], own[1]), params.crop or (0, 0)


def _is_picture(shape: Shape) -> bool:
    return len(shape) == 4 and max(shape[2:]) > 1


def _generated_shape(params: AugmentationParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    if params.bottoms == 2:
        raise ShapeError("one bottom, or coefficients and pictures before and behind, are needed")
    if not _is_picture(inputs[0]):
        check_rows(inputs[0], inputs[0][0] if inputs[0] else 0)
    for shape in inputs[1 : params.bottoms]:
        check_pictures(shape)
    if params.bottoms == 1 and params.crop is None:
        raise ShapeError("`crop_width` and `crop_height` are needed", "augmentation_param")
    if any(name in params.given for name in SPATIAL) and min(map(min, _sizes(params, inputs))) < 1:
        raise ShapeError("the sizes of pictures and crops are needed", "augmentation_param")
    return ((inputs[0][0], COEFFICIENTS, 1, 1),)


def _generate(params: AugmentationParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    shapes = [array.shape for array in inputs[: params.bottoms]]
    afresh = params.mode == "regenerate" or _is_picture(shapes[0])
    before = np.zeros((len(inputs[0]), COEFFICIENTS))
    if not afresh:
        before = np.asarray(inputs[0], np.float64).reshape(before.shape)
    rows = drawn_rows(params, inputs, before, *_sizes(params, shapes))
    return (rows.reshape(len(rows), COEFFICIENTS, 1, 1).astype(inputs[0].dtype),)


GENERATE_PARAMETERS = OpDef(
    name="GenerateAugmentationParameters",
    arity=Arity((1, 3), (1, 1)),
    params=parse_augmentation,
    shape=_generated_shape,
    cost=per_output(60),
    window=full_extent,
    memory=copies(24),
    reference=_generate,
    draws=draws_any,
    family="data",
    host=True,
)


# FlowAugmentation


def _flow_shape(params: AugmentationParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    flow = inputs[0]
    check_pictures(flow)
    if flow[1] != 2:
        raise ShapeError(f"a flow has two channels, the first bottom is {show(flow)}")
    for shape in inputs[1:3]:
        check_rows(shape, flow[0])
    if params.crop is None or min(params.crop) < 1:
        raise ShapeError("`crop_width` and `crop_height` are needed", "augmentation_param")
    return ((flow[0], 2, *params.crop),)


@quietly
def _flow(params: AugmentationParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Where the place that a pixel of the first crop shows lies in the second, less its own.

    Beyond its edge the nearest flow counts; the fork reads outside of the picture there.
    """
    flow, first, second = (np.asarray(a) for a in inputs[:3])
    crop = params.crop or (0, 0)
    size = (flow.shape[2], flow.shape[3])
    y, x = np.mgrid[: crop[0], : crop[1]].astype(np.float32)
    here = np.stack([x, y, np.ones_like(x)])
    made = np.zeros((len(flow), 2, *crop), flow.dtype)
    rows = (a.reshape(len(flow), COEFFICIENTS).astype(np.float64) for a in (first, second))
    for at, pair in enumerate(zip(*rows, strict=True)):
        one, two = (transform(coefficients_of(row, False), size, crop) for row in pair)
        there = np.tensordot(one, here, 1)
        near = np.trunc(there + 0.5).astype(np.int64)
        near[0], near[1] = near[0].clip(0, size[1] - 1), near[1].clip(0, size[0] - 1)
        moved = there + flow[at][:, near[1], near[0]]
        back = np.linalg.inv(np.vstack([two, [0, 0, 1]]))
        seen = np.tensordot(back[:2], np.concatenate([moved, here[2:]]), 1)
        made[at] = seen - here[:2]
    return (made,)


FLOW_AUGMENTATION = OpDef(
    name="FlowAugmentation",
    arity=Arity((3, 3), (1, 1)),
    params=parse_augmentation,
    shape=_flow_shape,
    cost=per_output(30),
    window=full_extent,
    memory=copies(16),
    reference=_flow,
    family="data",
    host=True,
)

OPS = (GENERATE_PARAMETERS, FLOW_AUGMENTATION)
