"""A chain of layers run as one kernel: a producer and the epilogue that follows it.

Made by passes, never written in a net. Each stage after the first takes the result of the stage
before it, and perhaps further inputs; the meaning is that of the layers one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from netc.ir.types import Shape, count
from netc.ops.define import FLOAT, Arity, Cost, OpDef, WeightSpec, Window

NAME = "Fused"


@dataclass(frozen=True, slots=True)
class Stage:
    """One layer of the chain.

    Args:
        op: the layer's type.
        params: its parameters.
        inputs: how many inputs it takes of the node's own, not counting the chain's value.
        position: at which of its bottoms the chain's value stands (of no meaning for the first).
        parameters: how many of the node's parameters are its own.
    """

    op: str
    params: Any
    inputs: int = 0
    position: int = 0
    parameters: int = 0


@dataclass(frozen=True, slots=True)
class FusedParams:
    """The stages, the producer first."""

    stages: tuple[Stage, ...]


class Bound(NamedTuple):
    """A stage with its share of the node's inputs and parameters."""

    stage: Stage
    inputs: list[Any]
    parameters: list[Any]


def bind_stages(
    params: FusedParams, inputs: Sequence[object], parameters: Sequence[object] = ()
) -> Iterator[Bound]:
    """Each stage with its own of a node's inputs and parameters, in order."""
    at, weight_at = 0, 0
    for stage in params.stages:
        yield Bound(
            stage,
            list(inputs[at : at + stage.inputs]),
            list(parameters[weight_at : weight_at + stage.parameters]),
        )
        at += stage.inputs
        weight_at += stage.parameters


def _chained(bound: Bound, first: bool, value: object) -> list[Any]:
    if first:
        return bound.inputs
    place = bound.stage.position
    return [*bound.inputs[:place], value, *bound.inputs[place:]]


def _walk(
    ops: Mapping[str, OpDef], params: FusedParams, inputs: Sequence[Shape]
) -> Iterator[tuple[Bound, Any, Any]]:
    """Each stage with the shapes of its bottoms and tops."""
    value: Any = None
    for index, bound in enumerate(bind_stages(params, inputs)):
        bottoms = _chained(bound, index == 0, value)
        tops = ops[bound.stage.op].shape(bound.stage.params, bottoms)
        yield bound, bottoms, tops
        value = tops[0]


def fused_op(ops: Mapping[str, OpDef]) -> OpDef:
    """The op, over the layer types of a catalogue."""
    walk = partial(_walk, ops)

    def shape(params: FusedParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        *_, (_, _, tops) = walk(params, inputs)
        return tuple(tops)

    def weights(params: FusedParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
        return tuple(
            spec
            for bound, bottoms, _ in walk(params, inputs)
            for spec in ops[bound.stage.op].weights(bound.stage.params, bottoms)
        )

    def cost(params: FusedParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
        costs = [
            ops[bound.stage.op].cost(bound.stage.params, bottoms, tops)
            for bound, bottoms, tops in walk(params, inputs)
        ]
        return Cost(sum(c.macs for c in costs), sum(c.operations for c in costs))

    def window(params: FusedParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
        bound, bottoms, tops = next(walk(params, inputs))
        return ops[bound.stage.op].window(bound.stage.params, bottoms, tops)

    def reference(
        params: FusedParams, inputs: Sequence[object], weights: Sequence[object]
    ) -> list[Any]:
        results: list[Any] = []
        for index, bound in enumerate(bind_stages(params, inputs, weights)):
            bottoms = _chained(bound, index == 0, results[0] if results else None)
            op = ops[bound.stage.op]
            results = list(op.reference(bound.stage.params, bottoms, bound.parameters))
        return results

    def memory(params: FusedParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
        return max(
            ops[bound.stage.op].memory(bound.stage.params, bottoms, tops)
            + FLOAT * (sum(map(count, bottoms)) + sum(map(count, tops)))
            for bound, bottoms, tops in walk(params, inputs)
        )

    return OpDef(
        name=NAME,
        arity=Arity((0, None), (1, 1)),
        shape=shape,
        weights=weights,
        cost=cost,
        window=window,
        reference=reference,
        memory=memory,
    )
