"""Chains of elementwise layers, each one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netc.backends.cuda.emission import CudaEmitContext, chain_launch, fallback_step
from netc.backends.cuda.program import Steps
from netc.ir.graph import Node
from netc.ops.catalog import CATALOG, has_role
from netc.ops.dropout import DropoutParams, DropPathParams
from netc.ops.fused import NAME as FUSED
from netc.ops.fused import BoundStage, Stage, bind_stages
from netc.ops.role import Role
from netc.passes.epilogue import chain_of


def emit_chain(emission: CudaEmitContext, node: Node) -> Steps | None:
    """A chain that begins with an elementwise layer."""
    first, *rest = bind_stages(chain_of(node), node.inputs, node.parameters)
    return run_chain(emission, node, first.inputs[0], [opened(first, 0), *rest])


def opened(first: BoundStage, position: int) -> BoundStage:
    """A first stage as one that takes the chain's value at one of its bottoms."""
    others = [*first.inputs[:position], *first.inputs[position + 1 :]]
    stage = replace(first.stage, position=position, inputs=len(others))
    return BoundStage(stage, others, first.parameters)


def emit_axpy(emission: CudaEmitContext, node: Node) -> Steps | None:
    """A factor for each channel of each item, times one value, plus another."""
    first, *rest = bind_stages(chain_of(node), node.inputs, node.parameters)
    return run_chain(emission, node, first.inputs[1], [opened(first, 1), *rest])


def emit_dropout(emission: CudaEmitContext, node: Node) -> Steps | None:
    """Dropout and DropPath: elements dropped at random, all scaled, or nothing done."""
    params = chain_of(node).stages[0].params_as(DropoutParams, DropPathParams)
    if node.op == FUSED or params.sample or params.scale != 1:
        return emit_chain(emission, node)
    return emit_identity(emission, node)


def emit_identity(emission: CudaEmitContext, node: Node) -> Steps | None:
    """A layer that gives back what it reads, once or several times."""
    graph = emission.graph
    shape = graph.shape(node.inputs[0])
    identity = CATALOG[node.op].identity
    if not has_role(node.op, Role.COPY) and (
        identity is None or not identity(node.params, (shape,))
    ):
        return None
    steps: Steps = []
    source = emission.view(node.inputs[0])
    for value in node.outputs:
        if emission.view(value) == source:
            continue
        single = replace(node, outputs=(value,))
        steps += run_chain(emission, single, node.inputs[0], [])
    return steps


def emit_nothing(emission: CudaEmitContext, node: Node) -> Steps:
    """A layer without outputs."""
    return []


def run_chain(
    emission: CudaEmitContext, node: Node, value: str, stages: Sequence[BoundStage]
) -> Steps:
    """Stages over a value, into the node's output: in as few kernels as can be."""
    steps: Steps = []
    rest = list(stages)
    output = node.outputs[0]
    source = value
    while rest or source != output:
        mine, rest = split_stages(emission, node, rest)
        if mine or not rest:
            steps += _chain_launch(emission, node, source, mine)
        else:
            steps += fallback_step(emission, single_node(node, source, rest.pop(0)))
        source = output
    return steps


def single_node(node: Node, value: str, bound: BoundStage) -> Node:
    """A stage as a node of its own, from a value to the chain's output."""
    stage: Stage = bound.stage
    inputs = [*bound.inputs[: stage.position], value, *bound.inputs[stage.position :]]
    return Node(
        node.name, stage.op, stage.params, tuple(inputs), node.outputs, tuple(bound.parameters)
    )


def split_stages(
    emission: CudaEmitContext, node: Node, stages: Sequence[BoundStage]
) -> tuple[list[BoundStage], list[BoundStage]]:
    """Of a chain's last stages those that a kernel takes, and those from the first that it cannot.

    The chain's record says which (netc.backends.cuda.lowering).
    """
    number = emission.records[node.outputs[0]].leading(len(stages)) if stages else 0
    return list(stages[:number]), list(stages[number:])


def _chain_launch(
    emission: CudaEmitContext, node: Node, value: str, stages: Sequence[BoundStage]
) -> Steps:
    target = emission.target(node.outputs[0], stages)
    return chain_launch(emission, node.name, emission.view(value), target)
