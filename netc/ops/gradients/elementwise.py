"""Gradients of Eltwise, Scale, Bias and Axpy.

eltwise_layer.cpp, scale_layer.cpp and bias_layer.cpp of BVLC, axpy_layer.cpp of hujie-frank/SENet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from netc.ir.graph import Node
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.elementwise import AXPY, ELTWISE, EltwiseParams
from netc.ops.gradients.activation import scaled
from netc.ops.gradients.define import NOTHING, Build, Gradient, Reads, Saved, alias, gradients, of
from netc.ops.scale_bias import BIAS, SCALE, OperandParams, operand_shape, operand_start


def _eltwise_built(
    build: Build, node: Node, tops: Sequence[str | None], wanted: Sequence[int]
) -> Mapping[int, str]:
    """A sum passes its top's gradient on, times the coefficient."""
    params = node.params_as(EltwiseParams)
    top = tops[0]
    assert top is not None
    if params.operation != "SUM":
        return {}
    factors = params.coeff or (1.0,) * len(node.inputs)
    return {index: scaled(build, top, factors[index]) for index in wanted}


def _reads_eltwise(params: EltwiseParams, index: int, bottoms: int) -> Reads:
    """A product reads the others, a maximum all; a sum nothing."""
    if params.operation == "SUM":
        return NOTHING
    own = params.operation == "MAX"
    return Reads(inputs=tuple(i for i in range(bottoms) if own or i != index))


def _eltwise(params: EltwiseParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    if params.operation == "MAX":
        result: AnyArray = tops[0] * (_chosen(saved.inputs) == index)
        return result
    product = tops[0]
    for place, x in enumerate(saved.inputs):
        if place != index:
            product = product * x
    return product


def _chosen(inputs: Arrays) -> AnyArray:
    """Which bottom each maximum is of: of a tie of the first two the second, else the earliest."""
    xp = namespace(*inputs)
    first, second, *rest = inputs
    best = xp.where(first > second, first, second)
    place = xp.where(first > second, 0, 1)
    for index, x in enumerate(rest, 2):
        place = xp.where(x > best, index, place)
        best = xp.where(x > best, x, best)
    return place


def _summed_to(params: OperandParams, array: AnyArray, operand: tuple[int, ...]) -> AnyArray:
    """The sum over the axes that an operand is spread over."""
    start = operand_start(params, array.shape, operand)
    covered = range(start, start + len(operand))
    over = tuple(axis for axis in range(array.ndim) if axis not in covered)
    result: AnyArray = array.sum(axis=over).reshape(operand)
    return result


def _bias_built(
    build: Build, node: Node, tops: Sequence[str | None], wanted: Sequence[int]
) -> Mapping[int, str]:
    return alias(build, node, tops, [index for index in wanted if index == 0])


def _summand(params: OperandParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    return _summed_to(params, tops[0], saved.shapes[1])


def _own_summand(params: OperandParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    return _summed_to(params, tops[0], operand_shape(params, saved.shapes))


def _scale_built(
    build: Build, node: Node, tops: Sequence[str | None], wanted: Sequence[int]
) -> Mapping[int, str]:
    """dx = dy * factor, a Scale by the same factor."""
    top = tops[0]
    assert top is not None
    if 0 not in wanted:
        return {}
    bare = replace(node.params_as(OperandParams), bias_filler=None)
    own = () if len(node.inputs) > 1 else node.parameters[:1]
    return {0: build.node("Scale", bare, (top, *node.inputs[1:]), own)[0]}


def _factor(params: OperandParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    return _summed_to(params, tops[0] * saved.inputs[0], saved.shapes[1])


def _own_factor(params: OperandParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """By the factor, the first unless it is a bottom; by the bias after it."""
    shape = operand_shape(params, saved.shapes)
    if index == 1 or len(saved.shapes) > 1:
        return _summed_to(params, tops[0], shape)
    return _summed_to(params, tops[0] * saved.inputs[0], shape)


def _reads_factor(params: OperandParams, index: int, bottoms: int) -> Reads:
    return Reads(inputs=(0,)) if index == 0 and bottoms == 1 else NOTHING


def _axpy(params: None, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """y = a * x + b: by a the sum of dy * x over all places, by x dy * a."""
    top = tops[0]
    if index == 0:
        axes = tuple(range(2, top.ndim))
        result: AnyArray = (top * saved.inputs[1]).sum(axis=axes).reshape(saved.shapes[0])
        return result
    return top * saved.inputs[0].reshape(*top.shape[:2], *(1,) * (top.ndim - 2))


def _reads_axpy(params: None, index: int, bottoms: int) -> Reads:
    return Reads(inputs=((1,), (0,), ())[index])


def _axpy_built(
    build: Build, node: Node, tops: Sequence[str | None], wanted: Sequence[int]
) -> Mapping[int, str]:
    return alias(build, node, tops, [index for index in wanted if index == 2])


GRADIENTS = gradients(
    of(ELTWISE, Gradient(_eltwise, _reads_eltwise, build=_eltwise_built)),
    of(BIAS, Gradient(_summand, weight=_own_summand, build=_bias_built)),
    of(
        SCALE,
        Gradient(_factor, Reads(inputs=(0,)), _own_factor, _reads_factor, build=_scale_built),
    ),
    of(AXPY, Gradient(_axpy, _reads_axpy, build=_axpy_built)),
)
