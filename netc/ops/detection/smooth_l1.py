"""SmoothL1Loss and SmoothL1LossOHEM (Girshick 2015, Fast R-CNN).

Of a difference d between prediction and target, 0.5 (sigma d)^2 where |d| < 1 / sigma^2, else
|d| - 0.5 / sigma^2. smooth_L1_loss_layer of rbgirshick/caffe-fast-rcnn and of weiliu89/caffe@ssd,
which agree for sigma 1; smooth_L1_loss_ohem_layer of R-FCN, which also gives each place's loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.cost import per_input
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    Parse,
    ShapeError,
    TypeReading,
    copies,
    erased,
    full_extent,
)
from netc.ops.fields import bad_value, fork_field, reject_unknown_fields
from netc.ops.labels import check_batch, loss_param, ohem_normalization
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class SmoothL1Params:
    """``sigma`` of the formula; ``absolute`` sums absolute values (Synopsys's abssum).

    ``scaled``: the weight before the loss is a factor of the slope too, as in Fast R-CNN. Where the
    text says `abssum: true` it is not.
    """

    sigma: float = 1.0
    absolute: bool = True
    scaled: bool = True


def _parse(layer: Message, context: LayerContext) -> SmoothL1Params:
    message = reject_unknown_fields(layer.get("smooth_l1_loss_param"), "sigma", "abssum")
    sigma = message.get("sigma")
    if not sigma > 0:
        raise bad_value(message, "sigma", "must be greater than 0")
    loss_param(layer)
    if "smoothl1_param" in layer.type.fields:  # of happynear/caffe-windows
        reject_unknown_fields(layer.get("smoothl1_param"))
    absolute: bool = fork_field(message, "abssum", True)
    said = "abssum" in message.type.fields and message.has("abssum")
    return SmoothL1Params(sigma, absolute, not (said and absolute))


def _shape(params: SmoothL1Params, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """Prediction, target, and weights before and behind the loss, all of one size."""
    check_batch(*inputs[:2])
    for index, shape in enumerate(inputs[1:], 1):
        if count(shape) != count(inputs[0]):
            raise ShapeError(
                f"all bottoms must have as many elements: bottom {index} is {show(shape)} and the "
                f"first is {show(inputs[0])}"
            )
    return ((),)


def smooth_l1(difference: AnyArray, sigma: float) -> AnyArray:
    """The loss of each difference, in the shape of ``difference``."""
    xp = namespace(difference)
    square = np.float32(sigma * sigma)
    size = xp.abs(difference)
    parabola = np.float32(0.5) * square * difference * difference
    return xp.where(size < 1 / square, parabola, size - np.float32(0.5) / square)


def _each(inputs: Arrays, sigma: float) -> AnyArray:
    """The loss at each place: the first weight scales the difference, the second the loss."""
    first = inputs[0]
    difference = first - inputs[1].reshape(first.shape)
    if len(inputs) > 2:
        difference = difference * inputs[2].reshape(first.shape)
    losses = smooth_l1(difference, sigma)
    return losses * inputs[3].reshape(first.shape) if len(inputs) > 3 else losses


@quietly
def _smooth_l1(params: SmoothL1Params, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    xp = namespace(inputs[0])
    losses = _each(inputs, params.sigma)
    total = (xp.abs(losses) if params.absolute else losses).sum(dtype=np.float64)
    loss = xp.divide(total, xp.float64(inputs[0].shape[0] if inputs[0].ndim else 1))
    return (xp.asarray(loss, dtype=inputs[0].dtype).reshape(()),)


@dataclass(frozen=True, slots=True)
class SmoothL1OHEMParams:
    """Parameters of SmoothL1LossOHEM.

    Args:
        normalization: FULL, VALID, BATCH_SIZE, NONE or PRE_FIXED.
        fixed: what the loss is divided by for PRE_FIXED.
        tops: 2 gives each place's loss too, (num, 1, height, width).
        sigma: of the formula.
    """

    normalization: str
    fixed: float
    tops: int
    sigma: float = 1.0


def _parse_ohem(layer: Message, context: LayerContext) -> SmoothL1OHEMParams:
    normalization, fixed = ohem_normalization(layer)
    return SmoothL1OHEMParams(normalization, fixed, max(1, context.tops))


def _parse_each(layer: Message, context: LayerContext) -> SmoothL1OHEMParams:
    """R-FCN's first release as its OHEM layer; Cascade R-CNN's, with two weights, over the rows."""
    if context.bottoms < 4:
        reject_unknown_fields(layer.get("smooth_l1_loss_param"))
        return _parse_ohem(layer, context)
    sigma = _parse(layer, context).sigma
    return SmoothL1OHEMParams("BATCH_SIZE", 1.0, max(1, context.tops), sigma)


def _ohem_shape(params: SmoothL1OHEMParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    _shape(SmoothL1Params(), inputs)
    if not 1 <= len(inputs[0]) <= 4:
        raise ShapeError(f"the bottoms must have 4 axes, the first is {show(inputs[0])}")
    num, _, height, width = _four(inputs[0])
    return ((), (num, 1, height, width))[: params.tops]


def _four(shape: Shape) -> Shape:
    """A shape of up to four axes as Caffe's num, channels, height and width."""
    return (*shape, 1, 1, 1)[:4]


@quietly
def _smooth_l1_ohem(
    params: SmoothL1OHEMParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    xp = namespace(inputs[0])
    losses = _each(inputs, params.sigma)
    losses = losses.reshape(_four(losses.shape))
    loss = losses.sum(dtype=np.float64) / ohem_divisor(params, losses.shape)
    each = losses.sum(axis=1, keepdims=True)
    return (xp.asarray(loss, dtype=inputs[0].dtype).reshape(()), each)[: params.tops]


def ohem_divisor(params: SmoothL1OHEMParams, shape: Shape) -> float:
    """What the sum of the losses of a bottom of this shape is divided by, at least 1."""
    num, _, height, width = _four(shape)
    by = {"BATCH_SIZE": num, "NONE": 1, "PRE_FIXED": params.fixed}
    return max(1.0, by.get(params.normalization, num * height * width))


def _ohem_op(
    name: str, bottoms: int, parse: Parse[SmoothL1OHEMParams]
) -> OpDef[SmoothL1OHEMParams]:
    return OpDef(
        name=name,
        arity=Arity((2, bottoms), (1, 2), optional_top=True),
        params=parse,
        shape=_ohem_shape,
        cost=per_input(6),
        window=full_extent,
        memory=copies(12),
        reference=_smooth_l1_ohem,
        loss=True,
        family="loss",
    )


SMOOTH_L1_LOSS_OHEM = _ohem_op("SmoothL1LossOHEM", 3, _parse_ohem)
SMOOTH_L1_LOSS_EACH = _ohem_op("SmoothL1LossEach", 4, _parse_each)


def _each_reading(layer: Message) -> TypeReading | None:
    """R-FCN's first release and Cascade R-CNN have OHEM in the layer itself.

    Its second top is each row's loss; R-FCN divides as `loss_param` says.
    """
    each = len(layer.get("top")) > 1
    divided = layer.has("loss_param") and layer.get("loss_param").has("normalization")
    return (
        TypeReading(erased(SMOOTH_L1_LOSS_EACH))
        if each or (divided and len(layer.get("bottom")) < 4)
        else None
    )


SMOOTH_L1_LOSS = OpDef(
    name="SmoothL1Loss",
    arity=Arity((2, 4), (1, 1), optional_top=True),
    params=_parse,
    shape=_shape,
    cost=per_input(6),
    window=full_extent,
    memory=copies(12),
    reference=_smooth_l1,
    loss=True,
    family="loss",
    reading=_each_reading,
)

READINGS = (SMOOTH_L1_LOSS_EACH,)
OPS = (SMOOTH_L1_LOSS, SMOOTH_L1_LOSS_OHEM)
