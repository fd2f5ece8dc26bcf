"""Gradient: one node of a backward pass, computed by a layer type's gradient rule.

Made by differentiation, never written in a net. A node gives one gradient, so that one that nothing
reads is removed as dead code. Its inputs are the layer's bottoms that the rule reads, then its
tops, then the tops' gradients; its parameters are the layer's trained arrays that the rule reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netc.ir.params import HasParams
from netc.ir.types import Shape, count
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.define import WHOLE, Arity, Cost, ErasedOp, OpDef, WeightSpec, Window, unwritten

if TYPE_CHECKING:
    from netc.ops.gradients.define import ErasedGradient, Saved

NAME = "Gradient"


@dataclass(frozen=True, slots=True)
class GradientParams(HasParams):
    """Which gradient of which layer it is, and what of the forward pass it is given.

    Args:
        op: the layer's type.
        params: the layer's parameters.
        kind: "bottom" or "weight": whether the gradient is of a bottom or of a trained array.
        index: which of them.
        shapes: of the layer's bottoms.
        tops: how many the layer has.
        inputs: indices of the bottoms that are read.
        outputs: indices of the tops that are read.
        weights: indices of the trained arrays that are read.
        arrived: indices of the tops whose gradients are inputs of the node.
        in_place: use the rule's ``in_place``: the layer overwrites its bottom, and Caffe's result
            differs for that.
        layer: the layer's name, for messages.
    """

    op: str
    params: object
    kind: str
    index: int
    shapes: tuple[Shape, ...]
    tops: int = 1
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    weights: tuple[int, ...] = ()
    arrived: tuple[int, ...] = (0,)
    in_place: bool = False
    layer: str = ""


def rule_of(op: str) -> ErasedGradient | None:
    """A layer type's gradient rule; None where it has none."""
    from netc.ops.gradients.catalog import GRADIENTS

    return GRADIENTS.get(op)


def saved(
    params: GradientParams, inputs: Arrays, weights: Arrays, number: int
) -> tuple[Saved, list[AnyArray]]:
    """A node's inputs and arrays as the rule takes them, and the gradient of each top.

    ``number`` is how many trained arrays the layer has. What is not read is None.
    """
    from netc.ops.gradients.define import Saved

    given = iter(inputs)
    bottoms = _placed(params.inputs, given, len(params.shapes))
    tops = _placed(params.outputs, given, params.tops)
    arrays = _placed(params.weights, iter(weights), number)
    gradients = _placed(params.arrived, given, params.tops)
    return Saved(bottoms, tops, arrays, _shapes(params, bottoms)), gradients


def _shapes(params: GradientParams, bottoms: Sequence[AnyArray | None]) -> list[Shape]:
    """The bottoms' shapes; rows that only a run tells are those of the arrays."""
    return [
        said if array is None else tuple(array.shape)
        for said, array in zip(params.shapes, bottoms, strict=True)
    ]


def _placed(places: Sequence[int], given: Iterator[AnyArray], number: int) -> list[AnyArray]:
    found: list[Any] = [None] * number  # where nothing is read
    for place in places:
        found[place] = next(given)
    return found


def gradient_op(ops: Mapping[str, ErasedOp]) -> OpDef[GradientParams]:
    """The op of a gradient node.

    Args:
        ops: the ops whose gradients there are, by type.
    """

    def specs(params: GradientParams) -> tuple[WeightSpec, ...]:
        return ops[params.op].weights(params.params, params.shapes)

    def shape(params: GradientParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        if params.kind == "weight":
            return (specs(params)[params.index].shape,)
        if params.index in params.inputs:
            return (inputs[params.inputs.index(params.index)],)
        return (params.shapes[params.index],)

    def weights(params: GradientParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
        own = specs(params)
        return tuple(own[index] for index in params.weights)

    def cost(params: GradientParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
        """That of the forward pass: the products of either gradient are as many."""
        tops = ops[params.op].shape(params.params, params.shapes)
        return ops[params.op].cost(params.params, params.shapes, tops)

    def memory(params: GradientParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
        """The forward pass's, and as much again of what lies between its inputs and outputs."""
        tops = ops[params.op].shape(params.params, params.shapes)
        own = ops[params.op].memory(params.params, params.shapes, tops)
        return own + 4 * sum(map(count, (*params.shapes, *tops)))

    def reference(params: GradientParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
        rule = rule_of(params.op)
        if params.in_place and rule is not None:
            rule = rule.in_place
        assert rule is not None
        define = rule.bottom if params.kind == "bottom" else rule.weight
        assert define is not None
        number = len(specs(params))
        given, gradients = saved(params, inputs, weights, number)
        with np.errstate(all="ignore"):
            return (define(params.params, given, gradients, params.index),)

    return OpDef(
        name=NAME,
        params=unwritten,
        arity=Arity((0, None), (1, 1)),
        shape=shape,
        weights=weights,
        cost=cost,
        window=_window,
        reference=reference,
        memory=memory,
    )


def _window(params: object, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
    return WHOLE
