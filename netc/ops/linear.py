"""InnerProduct, a matrix product, and Embed, which looks rows up by index.

inner_product_layer.cpp and embed_layer.cpp of BVLC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, count
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import axis_in
from netc.ops.contents import Contents, Whole
from netc.ops.define import (
    Arity,
    Cost,
    LayerContext,
    OpDef,
    ShapeError,
    TypeReading,
    WeightSpec,
    erased,
    full_extent,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.filler import CONSTANT_ZERO, Filler, parse_filler
from netc.ops.forks.bottom_products import BOTTOM_PRODUCT
from netc.ops.numbers import required_number
from netc.ops.role import Role
from netc.schema.message import Message

_ONE = Arity(bottoms=(1, 1), tops=(1, 1))

# InnerProduct: inner_product_layer.cpp


@dataclass(frozen=True, slots=True)
class InnerProductParams:
    """Parameters of InnerProduct; the top is (*axes before ``axis``, num_output).

    Args:
        num_output: length of the result.
        axis: the axes from here on are the vector.
        transpose: the weights are (length, num_output), not (num_output, length).
        bias: whether a bias (num_output,) is added.
        weight_filler, bias_filler: of the trained arrays.
    """

    num_output: int
    axis: int = 1
    transpose: bool = False
    bias: bool = True
    weight_filler: Filler = CONSTANT_ZERO
    bias_filler: Filler = CONSTANT_ZERO


def _parse_inner_product(layer: Message, context: LayerContext) -> InnerProductParams:
    message = reject_unknown_fields(
        layer.get("inner_product_param"),
        *("num_output", "axis", "transpose", "bias_term", "weight_filler", "bias_filler"),
    )
    return InnerProductParams(
        required_number(message, "num_output"),
        message.get("axis"),
        message.get("transpose"),
        message.get("bias_term"),
        parse_filler(message.get("weight_filler")),
        parse_filler(message.get("bias_filler")),
    )


def _vector_axis(params: InnerProductParams, shape: Shape) -> int:
    return axis_in(shape, params.axis, "inner_product_param.axis")


def _inner_product_shape(params: InnerProductParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    (shape,) = inputs
    axis = _vector_axis(params, shape)
    if count(shape, axis) < 1:
        raise ShapeError(f"the bottom has no elements from axis {axis} on, at least 1 is needed")
    return ((*shape[:axis], params.num_output),)


def _inner_product_weights(
    params: InnerProductParams, inputs: Sequence[Shape]
) -> tuple[WeightSpec, ...]:
    length = count(inputs[0], _vector_axis(params, inputs[0]))
    shape = (length, params.num_output) if params.transpose else (params.num_output, length)
    bias = WeightSpec((params.num_output,), params.bias_filler)
    return (WeightSpec(shape, params.weight_filler), bias)[: 1 + params.bias]


def _inner_product_cost(
    params: InnerProductParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Cost:
    top = count(outputs[0])
    return Cost(count(inputs[0]) * params.num_output, top if params.bias else 0)


def _inner_product(
    params: InnerProductParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    (x,) = inputs
    axis = _vector_axis(params, x.shape)
    rows = x.reshape(count(x.shape, 0, axis), count(x.shape, axis))
    y = rows @ (weights[0] if params.transpose else weights[0].T)
    if params.bias:
        y += weights[1]
    return (y.reshape(*x.shape[:axis], params.num_output),)


_READ_AS = (
    "bottom",
    "with more bottoms than one it is NormFace's, whose second bottom is the weights and whose "
    "third is the bias; BVLC's takes exactly 1 and has trained arrays",
    ("to multiply what two layers made, put a `Concat` before it; else take the bottom away",),
)


def _by_bottom(layer: Message) -> TypeReading | None:
    """NormFace's and OpenCV's: with two bottoms the weights are the second, a third is the bias."""
    return (
        TypeReading(erased(BOTTOM_PRODUCT), _READ_AS)
        if len(layer.get("bottom")) in (2, 3)
        else None
    )


INNER_PRODUCT = OpDef(
    name="InnerProduct",
    arity=_ONE,
    params=_parse_inner_product,
    shape=_inner_product_shape,
    weights=_inner_product_weights,
    cost=_inner_product_cost,
    window=full_extent,
    reference=_inner_product,
    family="linear",
    role=Role.INNER_PRODUCT,
    reading=_by_bottom,
)

# SparseInnerProduct of jolibrain/caffe and BVLC's pull request 2364, of a bottom not sparse.
OTHER_NAMES = {"SparseInnerProduct": INNER_PRODUCT}

# Embed: embed_layer.cpp


@dataclass(frozen=True, slots=True)
class EmbedParams:
    """Each element is an index below ``input_dim`` and becomes a row of the weights.

    The weights are (input_dim, num_output), the top is (*the bottom's shape, num_output).
    ``replaces``: a last axis of 1 becomes num_output, as in peteanderson80/caffe.
    """

    num_output: int
    input_dim: int
    bias: bool = True
    weight_filler: Filler = CONSTANT_ZERO
    bias_filler: Filler = CONSTANT_ZERO
    replaces: bool = False


def _parse_embed(layer: Message, context: LayerContext) -> EmbedParams:
    message = reject_unknown_fields(
        layer.get("embed_param"),
        *("num_output", "input_dim", "bias_term", "weight_filler", "bias_filler"),
    )
    return EmbedParams(
        required_number(message, "num_output"),
        required_number(message, "input_dim"),
        message.get("bias_term"),
        parse_filler(message.get("weight_filler")),
        parse_filler(message.get("bias_filler")),
    )


def _embed_shape(params: EmbedParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    if params.replaces and shape and shape[-1] == 1:
        shape = shape[:-1]
    return ((*shape, params.num_output),)


def _embed_weights(params: EmbedParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    vectors = WeightSpec((params.input_dim, params.num_output), params.weight_filler)
    bias = WeightSpec((params.num_output,), params.bias_filler)
    return (vectors, bias)[: 1 + params.bias]


def _embed_cost(params: EmbedParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    return Cost(operations=count(outputs[0]) if params.bias else 0)


def _embed(params: EmbedParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    vectors = weights[0][embed_index(inputs[0], params.input_dim)]
    made = vectors + weights[1] if params.bias else vectors
    return (made.reshape(_embed_shape(params, [inputs[0].shape])[0]),)


def _embed_contents(params: EmbedParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return (Whole(params.input_dim),)


def embed_index(x: AnyArray, input_dim: int) -> AnyArray:
    """The bottom's elements as int64 indices, in its shape.

    Raises:
        NetcError: index-out-of-range, for one that is no whole number from 0 to input_dim - 1.
    """
    xp = namespace(x)
    wrong = ~((x >= 0) & (x < input_dim) & (x == xp.trunc(x)))
    if wrong.any():
        raise no_index(float(x[wrong].reshape(-1)[0]), input_dim)
    return x.astype(xp.int64)


def no_index(value: float, input_dim: int) -> NetcError:
    """The error index-out-of-range, for what is no whole number below ``input_dim``."""
    message = f"Embed is given {value:g}, and its indices are 0 to {input_dim - 1}"
    help = ("feed whole numbers below `input_dim`",)
    return NetcError(Diagnostic("index-out-of-range", message, help=help))


EMBED = OpDef(
    name="Embed",
    arity=_ONE,
    params=_parse_embed,
    shape=_embed_shape,
    weights=_embed_weights,
    cost=_embed_cost,
    reference=_embed,
    contents=_embed_contents,
    role=Role.EMBEDDING,
    family="linear",
)

OPS = (INNER_PRODUCT, EMBED)
