"""LayerNorm: each item normalised by its own mean and variance (Ba et al. 2016, arXiv:1607.06450).

Not in BVLC Caffe. The fields are those of Synopsys's fork, which normalises over all axes but the
first; ``axis`` is netc's own and begins further back where it is greater than 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import Arrays, namespace
from netc.ops.axes import aligned, axis_in
from netc.ops.define import Cost, LayerContext, OpDef, WeightSpec, Window
from netc.ops.fields import reject_unknown_fields
from netc.ops.filler import CONSTANT_ONE, CONSTANT_ZERO
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class LayerNormParams:
    """Each item normalised over the axes from ``axis`` on.

    Args:
        axis: the first of them; negative counts from the end.
        eps: added to the variance.
        affine: whether a trained factor and summand follow, each of the shape of these axes.
    """

    axis: int = 1
    eps: float = 1e-5
    affine: bool = True


def _parse(layer: Message, context: LayerContext) -> LayerNormParams:
    message = reject_unknown_fields(
        layer.get("layer_norm_param"), "axis", "eps", "elementwise_affine"
    )
    return LayerNormParams(
        message.get("axis"), message.get("eps"), message.get("elementwise_affine")
    )


def _start(params: LayerNormParams, shape: Shape) -> int:
    return axis_in(shape, params.axis, "layer_norm_param.axis")


def _shape(params: LayerNormParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    _start(params, inputs[0])
    return (inputs[0],)


def _weights(params: LayerNormParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    if not params.affine:
        return ()
    shape = inputs[0][_start(params, inputs[0]) :]
    return (WeightSpec(shape, CONSTANT_ONE), WeightSpec(shape, CONSTANT_ZERO))


def _cost(params: LayerNormParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    return Cost(operations=(7 if params.affine else 5) * count(outputs[0]))


def _window(params: LayerNormParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
    return Window(whole=len(inputs[0]) > 2)


def _layer_norm(params: LayerNormParams, inputs: Arrays, weights: Arrays) -> Arrays:
    (x,) = inputs
    start = _start(params, x.shape)
    axes = tuple(range(start, x.ndim))
    with np.errstate(all="ignore"):
        centred = x - x.mean(axis=axes, keepdims=True)
        variance = (centred * centred).mean(axis=axes, keepdims=True)
        y = centred / namespace(x).sqrt(variance + np.float32(params.eps))
        if not params.affine:
            return (y,)
        factor, summand = (aligned(weight, start, x.ndim) for weight in weights)
        return (y * factor + summand,)


LAYER_NORM = OpDef(
    name="LayerNorm",
    arity=ONE_TO_ONE,
    params=_parse,
    shape=_shape,
    weights=_weights,
    cost=_cost,
    window=_window,
    reference=_layer_norm,
    in_place=True,
    family="normalization",
    role=Role.CHANNEL_VECTORS,
)

OPS = (LAYER_NORM,)
