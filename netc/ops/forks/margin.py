"""MarginInnerProduct of SphereFace (Liu et al. 2017, arXiv:1704.08063): angles with a margin.

margin_inner_product_layer.cpp of wy1iu/sphereface and happynear/caffe-windows. The rows of the
weights are brought to length 1 at each forward, which changes the trained array itself. For the
label's class the score |x| cos(a) becomes |x| psi(a), a cosine of m times the angle that goes on
falling, and all are (psi + lambda cos) / (1 + lambda) for the label and the plain score times that
for others. lambda = max(base (1 + gamma t)^-power, lambda_min) falls with the passes t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import axis_in
from netc.ops.contents import Contents, Whole
from netc.ops.define import (
    Arity,
    Cost,
    LayerContext,
    OpDef,
    ShapeError,
    WeightSpec,
    full_extent,
    no_moving,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.filler import Filler, parse_filler
from netc.ops.labels import class_labels
from netc.ops.numbers import required_number
from netc.ops.random import iteration_of
from netc.schema.message import Message

_MULTIPLES = {"SINGLE": 1, "DOUBLE": 2, "TRIPLE": 3, "QUADRUPLE": 4}


@dataclass(frozen=True, slots=True)
class MarginParams:
    """Parameters of MarginInnerProduct; the weights are (num_output, length), without a bias.

    Args:
        num_output: classes.
        axis: the first bottom's axes from here on are the vector.
        multiple: m, what the label's angle is multiplied by: 1 to 4.
        base, gamma, power, least: of lambda; ``least`` is ``lambda_min``.
        iteration: passes that count as done at the beginning.
        weight_filler: of the weights.
        tops: 2 gives lambda too, of shape (1,).
    """

    num_output: int
    axis: int
    multiple: int
    base: float
    gamma: float
    power: float
    least: float
    iteration: int
    weight_filler: Filler
    tops: int


def _parse(layer: Message, context: LayerContext) -> MarginParams:
    return _parsed(layer.get("margin_inner_product_param"), context)


def _parse_large(layer: Message, context: LayerContext) -> MarginParams:
    return _parsed(layer.get("largemargin_inner_product_param"), context)


def _parsed(message: Message, context: LayerContext) -> MarginParams:
    names = ("num_output", "type", "weight_filler", "axis", "base", "gamma", "power", "iteration",
             "lambda_min")  # fmt: skip
    p = reject_unknown_fields(message, *names)
    return MarginParams(
        required_number(p, "num_output"),
        p.get("axis"),
        _MULTIPLES[p.get("type")],
        p.get("base"),
        p.get("gamma"),
        p.get("power"),
        p.get("lambda_min"),
        p.get("iteration"),
        parse_filler(p.get("weight_filler")),
        context.tops,
    )


def _vector_axis(params: MarginParams, shape: Shape) -> int:
    return axis_in(shape, params.axis, "margin_inner_product_param.axis")


def _shape(params: MarginParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs[:2]
    axis = _vector_axis(params, data)
    if count(label) != count(data[:axis]):
        raise ShapeError(
            f"the {count(data[:axis])} vectors of {show(data)} need a label each, the second "
            f"bottom is {show(label)}"
        )
    return ((*data[:axis], params.num_output), (1,))[: params.tops]


def _weights(params: MarginParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    length = count(inputs[0], _vector_axis(params, inputs[0]))
    return (WeightSpec((params.num_output, length), params.weight_filler),)


def _cost(params: MarginParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    return Cost(2 * count(inputs[0]) * params.num_output, 8 * count(outputs[0]))


class Angles(NamedTuple):
    """A batch's vectors, and their cosines with the weights.

    Args:
        x: vectors (rows, length).
        size: their lengths (rows, 1).
        unit: the weights' rows at length 1, (classes, length).
        cosine: of each vector with each row, (rows, classes).
        hot: True at the label's class, (rows, classes).
        share: lambda.
    """

    x: AnyArray
    size: AnyArray
    unit: AnyArray
    cosine: AnyArray
    hot: AnyArray
    share: float


def unit_rows(weights: AnyArray) -> AnyArray:
    """The rows of a matrix divided by their Euclidean length."""
    xp = namespace(weights)
    return weights / xp.sqrt((weights * weights).sum(axis=1, keepdims=True))


def angles(params: MarginParams, inputs: Arrays, weights: AnyArray) -> Angles:
    """The cosines of vectors and classes.

    ``inputs`` are the vectors, the labels, and possibly the generator's key, which has the
    iteration.

    Raises:
        NetcError: label-out-of-range.
    """
    xp, data = namespace(inputs[0]), inputs[0]
    x = data.reshape(count(data.shape[: _vector_axis(params, data.shape)]), -1)
    unit = unit_rows(weights)
    size = xp.sqrt((x * x).sum(axis=1, keepdims=True))
    labels, _ = class_labels(inputs[1].reshape(-1), params.num_output)
    hot = xp.arange(params.num_output) == labels[:, None]
    passes = params.iteration + 1 + (iteration_of(inputs[2]) if len(inputs) > 2 else 0)
    share = max(params.base * (1 + params.gamma * passes) ** -params.power, params.least)
    return Angles(x, size, unit, (x @ unit.T) / size, hot, float(share))


def fallen(multiple: int, cosine: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray]:
    """psi of a cosine, and Caffe's slopes of it by the weights and by x / |x|; all of one shape.

    With k = floor(m a / pi): psi = (-1)^k cos(m a) - 2k, of the angle a and ``multiple`` m.
    """
    xp, c = namespace(cosine), cosine
    up = xp.sign(c)
    if multiple == 2:
        return 2 * up * c**2 - 1, 4 * up * c, -(2 * up * c**2 + 1)
    if multiple == 3:
        turn = xp.sign(abs(c) - 0.5)
        off = up * (1 + turn) - 2
        by_x = -(8 * turn * c**3 - off)
        return turn * (4 * c**3 - 3 * c) + off, turn * (12 * c**2 - 3), by_x
    turn = up * xp.sign(2 * c**2 - 1)
    off = 2 * up + turn - 3
    value = turn * (8 * c**4 - 8 * c**2 + 1) + off
    by_x = -(turn * (24 * c**4 - 8 * c**2 - 1) - off)
    return value, turn * (32 * c**3 - 16 * c), by_x


def _run(params: MarginParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    with np.errstate(all="ignore"):
        found = angles(params, inputs, weights[0])
        xp, kind = namespace(found.x), found.x.dtype
        scores = found.x @ found.unit.T
        if params.multiple > 1:
            value = found.size * fallen(params.multiple, found.cosine)[0]
            mixed = xp.where(found.hot, value, scores) + found.share * scores
            scores = mixed / (1 + found.share)
    axis = _vector_axis(params, inputs[0].shape)
    scores = scores.astype(kind).reshape(*inputs[0].shape[:axis], params.num_output)
    return (scores, xp.full((1,), found.share, kind))[: params.tops]


def _train(params: MarginParams, inputs: Arrays, weights: Arrays) -> tuple[Arrays, Arrays]:
    """The forward, and the weights at length 1, as it leaves them."""
    outputs = _run(params, inputs, weights) if len(inputs) > 1 else ()
    with np.errstate(all="ignore"):
        return outputs, (unit_rows(weights[0]),)


def _contents(params: MarginParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return None, Whole(params.num_output)


MARGIN_INNER_PRODUCT = OpDef(
    name="MarginInnerProduct",
    arity=Arity((2, 2), (1, 2)),
    params=_parse,
    shape=_shape,
    weights=_weights,
    cost=_cost,
    window=full_extent,
    reference=_run,
    train=_train,
    moving=lambda params: (0,),
    draws=lambda params: params.gamma != 0 and params.power != 0,
    contents=_contents,
    family="linear",
)


class LargeAngles(NamedTuple):
    """As :class:`Angles`, of weights that keep their lengths.

    Args:
        x, weights: vectors (rows, length) and (classes, length).
        product: the lengths' product and 1e-9, (rows, classes).
        cosine: (rows, classes).
        hot: True at the label's class, (rows, classes).
        share: lambda.
    """

    x: AnyArray
    weights: AnyArray
    product: AnyArray
    cosine: AnyArray
    hot: AnyArray
    share: float


def large_angles(params: MarginParams, inputs: Arrays, weights: AnyArray) -> LargeAngles:
    """The cosines of vectors and classes; ``inputs`` as :func:`angles` takes them."""
    found = angles(params, inputs, weights)
    xp = namespace(weights)
    length = xp.sqrt((weights * weights).sum(axis=1))
    product = found.size * length + found.x.dtype.type(1e-9)
    cosine = found.x @ weights.T / product
    return LargeAngles(found.x, weights, product, cosine, found.hot, found.share)


def _run_large(params: MarginParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    with np.errstate(all="ignore"):
        found = large_angles(params, inputs, weights[0])
        xp, kind = namespace(found.x), found.x.dtype
        scores = found.x @ found.weights.T
        if params.multiple > 1:
            value = found.product * fallen(params.multiple, found.cosine)[0]
            scores = xp.where(found.hot, value, scores) + found.share * scores
            scores = scores / (1 + found.share)
    axis = _vector_axis(params, inputs[0].shape)
    scores = scores.astype(kind).reshape(*inputs[0].shape[:axis], params.num_output)
    return (scores, xp.full((1,), found.share, kind))[: params.tops]


# largemargin_inner_product_layer.cpp of wy1iu/LargeMargin_Softmax_Loss (Liu et al. 2016,
# arXiv:1612.02295): MarginInnerProduct whose weights keep their lengths, which count in the scores.
LARGE_MARGIN = replace(
    MARGIN_INNER_PRODUCT,
    name="LargeMarginInnerProduct",
    params=_parse_large,
    reference=_run_large,
    train=None,
    moving=no_moving,
)

OPS = (MARGIN_INNER_PRODUCT, LARGE_MARGIN)
