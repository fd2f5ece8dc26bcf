"""A weight gradient and the update by it as one node, so that the gradient need not exist whole.

Made by passes, never written in a net. The meaning is that of the two nodes one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.graph import Graph, Node
from netc.ir.types import Shape
from netc.ops.array import Arrays
from netc.ops.define import Arity, Cost, ErasedOp, OpDef, WeightSpec, full_extent, unwritten
from netc.ops.elementwise import EltwiseParams
from netc.ops.gradient import NAME as GRADIENT
from netc.ops.gradient import GradientParams
from netc.ops.inputs import ParameterParams
from netc.ops.update import UPDATE, UpdateParams

NAME = "GradientUpdate"


@dataclass(frozen=True, slots=True)
class GradientUpdateParams:
    """A gradient of a trained array, and how the array is updated by it.

    Inputs of the node: those of the gradient, then those of the update without the gradient. Its
    parameters are the gradient's, its outputs the update's.
    """

    gradient: GradientParams
    update: UpdateParams

    @property
    def read(self) -> int:
        """How many of the node's inputs are the gradient's."""
        of = self.gradient
        return len(of.inputs) + len(of.outputs) + len(of.arrived)


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
        params, first = node.params, int(node.params.reached)
    elif node.op == NAME:
        params, first = node.params.update, node.params.read
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


def gradient_update_op(ops: Mapping[str, ErasedOp]) -> OpDef[GradientUpdateParams]:
    """The op of a gradient with its update.

    Args:
        ops: the ops of both, by name.
    """
    gradient, update = ops[GRADIENT], ops[UPDATE]

    def shape(params: GradientUpdateParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        made = gradient.shape(params.gradient, inputs[: params.read])
        return update.shape(params.update, [*made, *inputs[params.read :]])

    def weights(params: GradientUpdateParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
        return gradient.weights(params.gradient, inputs[: params.read])

    def cost(
        params: GradientUpdateParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
    ) -> Cost:
        made = gradient.cost(params.gradient, inputs[: params.read], outputs[:1])
        own = update.cost(params.update, [outputs[0], *inputs[params.read :]], outputs)
        return Cost(made.macs + own.macs, made.operations + own.operations)

    def memory(
        params: GradientUpdateParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
    ) -> int:
        return gradient.memory(params.gradient, inputs[: params.read], outputs[:1])

    def reference(params: GradientUpdateParams, inputs: Arrays, weights: Arrays) -> Arrays:
        made = gradient.reference(params.gradient, inputs[: params.read], weights)
        return update.reference(params.update, [*made, *inputs[params.read :]], ())

    return OpDef(
        name=NAME,
        params=unwritten,
        arity=Arity((4, None), (2, 4)),
        shape=shape,
        weights=weights,
        cost=cost,
        window=full_extent,
        reference=reference,
        memory=memory,
    )
