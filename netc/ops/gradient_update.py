"""A weight gradient and the update by it as one node, so that the gradient need not exist whole.

Made by passes, never written in a net. The meaning is that of the nodes one after the other: the
gradients, which read no trained arrays, their sum from the first to the last, the update.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple, TypeVar

from netc.ir.graph import Graph, Node
from netc.ir.types import Shape, count
from netc.ops.array import Arrays
from netc.ops.axes import axis_in
from netc.ops.catalog import has_role
from netc.ops.define import Arity, Cost, ErasedOp, OpDef, full_extent, unwritten
from netc.ops.elementwise import EltwiseParams
from netc.ops.gradient import NAME as GRADIENT
from netc.ops.gradient import GradientParams
from netc.ops.inputs import ParameterParams
from netc.ops.linear import InnerProductParams
from netc.ops.role import Role
from netc.ops.update import UPDATE, UpdateParams

NAME = "GradientUpdate"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GradientUpdateParams:
    """The summands of a trained array's gradient, and how the array is updated by their sum.

    Inputs of the node: those of each summand, in the order in which they are added, then those of
    the update without the gradient. Its outputs are the update's.
    """

    gradients: tuple[GradientParams, ...]
    update: UpdateParams

    @property
    def read(self) -> int:
        """How many of the node's inputs are the gradient's."""
        return sum(map(_reads, self.gradients))

    def parts(self, inputs: Sequence[T]) -> Iterator[tuple[GradientParams, Sequence[T]]]:
        """Each summand, and which of the node's inputs are its own."""
        begin = 0
        for of in self.gradients:
            yield of, inputs[begin : begin + _reads(of)]
            begin += _reads(of)


def _reads(of: GradientParams) -> int:
    return len(of.inputs) + len(of.outputs) + len(of.arrived)


def is_in_rows(of: GradientParams) -> bool:
    """True of the gradient of an inner product's weights, a row for each output."""
    if of.kind != "weight" or of.index != 0 or not has_role(of.op, Role.INNER_PRODUCT):
        return False
    layer = of.params_as(InnerProductParams)
    if len(of.shapes) != 1 or layer.transpose:
        return False
    return axis_in(of.shapes[0], layer.axis, "inner_product_param.axis") == 1


class Updated(NamedTuple):
    """What a node that writes to variables does, and its inputs by what they are.

    Args:
        params: the update's; None where gradients are summed over passes.
        gradient: the gradient, or what it is made of; empty where none reaches the parameter.
        arrays: the parameter and its histories, or the sum so far, before they are written to.
        scalars: rate, iteration, and the clipping factor where there is one.
    """

    params: UpdateParams | None
    gradient: tuple[str, ...]
    arrays: tuple[str, ...]
    scalars: tuple[str, ...]


def updated_by(node: Node) -> Updated | None:
    """The update that a node makes; None for other nodes."""
    if node.op == UPDATE:
        params = node.params_as(UpdateParams)
        first = int(params.reached)
    elif node.op == NAME:
        joined = node.params_as(GradientUpdateParams)
        params, first = joined.update, joined.read
    else:
        return None
    end = first + len(node.outputs)
    return Updated(params, node.inputs[:first], node.inputs[first:end], node.inputs[end:])


def written_by(graph: Graph, node: Node) -> Updated | None:
    """The update that a node makes, or the sum of gradients that it adds to; None for others."""
    found = updated_by(node)
    if found is not None or not _is_sum(node):
        return found
    before, gradient = node.inputs
    maker = graph.producers.get(before)
    variable = maker.parameters[0] if maker is not None and _is_variable(maker) else None
    if variable is None or graph.updates.get(variable) != node.outputs[0]:
        return None
    return Updated(None, (gradient,), (before,), ())


def _is_sum(node: Node) -> bool:
    """True of a plain sum of two values."""
    return node.params == EltwiseParams() and len(node.inputs) == 2


def _is_variable(node: Node) -> bool:
    return isinstance(node.params, ParameterParams)


def part_of(graph: Graph, value: str) -> tuple[int, ...]:
    """Begin and end of the elements, in C order, that a value's update writes; empty for all."""
    maker = graph.producers.get(value)
    own = None if maker is None else updated_by(maker)
    return () if own is None or own.params is None else own.params.part


def gradient_update_op(ops: Mapping[str, ErasedOp]) -> OpDef[GradientUpdateParams]:
    """The op of a gradient with its update.

    Args:
        ops: the ops of both, by name.
    """
    gradient, update = ops[GRADIENT], ops[UPDATE]

    def shape(params: GradientUpdateParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        of, own = next(params.parts(inputs))
        made = gradient.shape(of, own)
        return update.shape(params.update, [*made, *inputs[params.read :]])

    def cost(
        params: GradientUpdateParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
    ) -> Cost:
        costs = [gradient.cost(of, own, outputs[:1]) for of, own in params.parts(inputs)]
        costs.append(update.cost(params.update, [outputs[0], *inputs[params.read :]], outputs))
        whole = count(outputs[0])
        begin, end = params.update.part or (0, whole)
        share = (end - begin) / max(1, whole)
        macs, operations = (
            sum(n) for n in zip(*((c.macs, c.operations) for c in costs), strict=True)
        )
        return Cost(int(share * macs), int(share * operations))

    def memory(
        params: GradientUpdateParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
    ) -> int:
        return max(gradient.memory(of, own, outputs[:1]) for of, own in params.parts(inputs))

    def reference(params: GradientUpdateParams, inputs: Arrays, weights: Arrays) -> Arrays:
        made = (gradient.reference(of, own, ())[0] for of, own in params.parts(inputs))
        total = reduce(operator.add, made)
        return update.reference(params.update, [total, *inputs[params.read :]], ())

    return OpDef(
        name=NAME,
        params=unwritten,
        arity=Arity((4, None), (2, 4)),
        shape=shape,
        cost=cost,
        window=full_extent,
        reference=reference,
        memory=memory,
    )
