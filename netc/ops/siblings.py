"""Convolutions of one input run as one product: a kernel that reads the input once for them all.

Made by passes, never written in a net. Each branch is a chain (see netc.ops.fused) whose first
stage reads the node's only input; there is one output a branch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from netc.ir.types import Shape
from netc.ops.array import AnyArray, Arrays
from netc.ops.define import Arity, Cost, ErasedOp, OpDef, WeightSpec, Window, unwritten
from netc.ops.fused import NAME as FUSED
from netc.ops.fused import FusedParams, W

NAME = "Siblings"


@dataclass(frozen=True, slots=True)
class SiblingsParams:
    """The chain of each branch; stages after the first take no further inputs."""

    branches: tuple[FusedParams, ...]


def branch_parameters(
    params: SiblingsParams, parameters: Sequence[W]
) -> Iterator[tuple[FusedParams, list[W]]]:
    """Each branch, in order, with its share of a node's parameters."""
    at = 0
    for branch in params.branches:
        number = sum(stage.parameters for stage in branch.stages)
        yield branch, list(parameters[at : at + number])
        at += number


def siblings_op(catalog: Mapping[str, ErasedOp]) -> OpDef[SiblingsParams]:
    """The op of sibling convolutions, over a catalogue that holds the fused chain."""
    fused = catalog[FUSED]

    def shape(params: SiblingsParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        return tuple(fused.shape(branch, inputs)[0] for branch in params.branches)

    def weights(params: SiblingsParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
        return tuple(spec for branch in params.branches for spec in fused.weights(branch, inputs))

    def cost(params: SiblingsParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
        costs = [
            fused.cost(branch, inputs, [output])
            for branch, output in zip(params.branches, outputs, strict=True)
        ]
        return Cost(sum(c.macs for c in costs), sum(c.operations for c in costs))

    def window(params: SiblingsParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
        return fused.window(params.branches[0], inputs, outputs[:1])

    def reference(params: SiblingsParams, inputs: Arrays, weights: Arrays) -> list[AnyArray]:
        return [
            fused.reference(branch, inputs, own)[0]
            for branch, own in branch_parameters(params, weights)
        ]

    def memory(params: SiblingsParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
        return max(fused.memory(branch, inputs, outputs) for branch in params.branches)

    return OpDef(
        name=NAME,
        params=unwritten,
        arity=Arity((1, 1), (2, None)),
        shape=shape,
        weights=weights,
        cost=cost,
        window=window,
        reference=reference,
        memory=memory,
    )
