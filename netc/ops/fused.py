"""A chain of layers run as one kernel: a producer and the epilogue that follows it.

Made by passes, never written in a net. Each stage after the first takes the result of the stage
before it, and perhaps further inputs; the meaning is that of the layers one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

from netc.ir.params import HasParams
from netc.ir.types import Shape, count
from netc.ops.array import Arrays
from netc.ops.define import FLOAT, Arity, Cost, ErasedOp, OpDef, WeightSpec, Window, unwritten

NAME = "Fused"


@dataclass(frozen=True, slots=True)
class Stage(HasParams):
    """One layer of the chain.

    Args:
        op: the layer's type.
        params: its parameters.
        inputs: how many of the node's inputs it reads, not counting the chain's value.
        position: which of its bottoms is the chain's value; not used for the first stage.
        parameters: how many of the node's parameters are its own.
    """

    op: str
    params: object
    inputs: int = 0
    position: int = 0
    parameters: int = 0


@dataclass(frozen=True, slots=True)
class FusedParams:
    """The stages of a chain in order: the producer, then its epilogue."""

    stages: tuple[Stage, ...]


class BoundStage(NamedTuple):
    """A stage with the names of the inputs and parameters that it reads of the node's."""

    stage: Stage
    inputs: list[str]
    parameters: list[str]


I = TypeVar("I")  # noqa: E741  what stands for an input: its name, shape or array
W = TypeVar("W")  # what stands for a parameter


def bind_stages(
    params: FusedParams, inputs: Sequence[str], parameters: Sequence[str] = ()
) -> Iterator[BoundStage]:
    """Each stage, in order, with the names of its share of a node's inputs and parameters."""
    return (BoundStage(*share) for share in shares(params, inputs, parameters))


def shares(
    params: FusedParams, inputs: Sequence[I], parameters: Sequence[W]
) -> Iterator[tuple[Stage, list[I], list[W]]]:
    """As :func:`bind_stages`, for names, shapes or arrays."""
    at, weight_at = 0, 0
    for stage in params.stages:
        yield (
            stage,
            list(inputs[at : at + stage.inputs]),
            list(parameters[weight_at : weight_at + stage.parameters]),
        )
        at += stage.inputs
        weight_at += stage.parameters


def _chained(stage: Stage, inputs: list[I], value: I | None) -> list[I]:
    """A stage's bottoms; ``value`` is what the stage before it gives, None for the first."""
    if value is None:
        return inputs
    return [*inputs[: stage.position], value, *inputs[stage.position :]]


def _walk(
    ops: Mapping[str, ErasedOp], params: FusedParams, inputs: Sequence[Shape]
) -> Iterator[tuple[Stage, list[Shape], tuple[Shape, ...]]]:
    """Each stage with the shapes of its bottoms and tops."""
    value: Shape | None = None
    for stage, own, _ in shares(params, inputs, ()):
        bottoms = _chained(stage, own, value)
        tops = ops[stage.op].shape(stage.params, bottoms)
        yield stage, bottoms, tops
        value = tops[0]


def fused_op(ops: Mapping[str, ErasedOp]) -> OpDef[FusedParams]:
    """The op of a fused chain.

    Args:
        ops: the ops that a stage may be, by type.
    """
    walk = partial(_walk, ops)

    def shape(params: FusedParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        *_, (_, _, tops) = walk(params, inputs)
        return tuple(tops)

    def weights(params: FusedParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
        return tuple(
            spec
            for stage, bottoms, _ in walk(params, inputs)
            for spec in ops[stage.op].weights(stage.params, bottoms)
        )

    def cost(params: FusedParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
        costs = [
            ops[stage.op].cost(stage.params, bottoms, tops)
            for stage, bottoms, tops in walk(params, inputs)
        ]
        return Cost(sum(c.macs for c in costs), sum(c.operations for c in costs))

    def window(params: FusedParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
        stage, bottoms, tops = next(walk(params, inputs))
        return ops[stage.op].window(stage.params, bottoms, tops)

    def reference(params: FusedParams, inputs: Arrays, weights: Arrays) -> Arrays:
        results: Arrays = ()
        for stage, own, arrays in shares(params, inputs, weights):
            bottoms = _chained(stage, own, results[0] if results else None)
            results = ops[stage.op].reference(stage.params, bottoms, arrays)
        return results

    def memory(params: FusedParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
        return max(
            ops[stage.op].memory(stage.params, bottoms, tops)
            + FLOAT * (sum(map(count, bottoms)) + sum(map(count, tops)))
            for stage, bottoms, tops in walk(params, inputs)
        )

    return OpDef(
        name=NAME,
        params=unwritten,
        arity=Arity((0, None), (1, 1)),
        shape=shape,
        weights=weights,
        cost=cost,
        window=window,
        reference=reference,
        memory=memory,
    )
