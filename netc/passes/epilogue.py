"""Elementwise layers run in the kernel that produces their input.

Before::

    c = Convolution(x); s = Eltwise(shortcut, c); y = ReLU(s)

After::

    y = Fused[Convolution, Eltwise, ReLU](x, shortcut)

The result of a producer then goes to memory once, finished. Nothing is computed in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from netc.ir.draft import Draft
from netc.ir.graph import Graph, Node
from netc.ops.batch_norm import uses_batch_statistics
from netc.ops.catalog import has_role
from netc.ops.fused import NAME, FusedParams, Stage
from netc.ops.role import Role
from netc.passes.base import Log, Pass


def fuse_epilogues(graph: Graph, log: Log) -> Graph:
    """Each elementwise layer joins the node that produces one of its inputs."""
    return fuse_stages(graph, log, _is_elementwise)


def fuse_stages(graph: Graph, log: Log, is_elementwise: Callable[[Stage], bool]) -> Graph:
    """The same for what a backend takes as elementwise: besides layers, gradients of some.

    Args:
        graph: before.
        log: of what is done.
        is_elementwise: whether each element of a stage's output depends on those of its own index
            alone.
    """
    draft = Draft(graph)
    order = {node.name: place for place, node in enumerate(graph.nodes)}
    for node in draft:
        if len(node.outputs) != 1 or not is_elementwise(stages_of(node)[0]):
            continue
        producers = _producers(draft, node, is_elementwise)
        free = [p for p in producers if draft.only_reader(p.outputs[0]) is not None]
        if free and not any(_is_short(p, node) for p in free):
            names = [p.name for p in free]
            reason = "one kernel would have too many stages and values in it"
            log.missed(reason, node.name, *names)
            continue
        free = [p for p in free if _is_short(p, node)]
        if free:
            producer = max(free, key=lambda p: order[p.name])
            draft.remove(producer.name)
            draft.put(node.name, joined(producer, node))
            order[producer.name] = order[node.name]
            what = f"{first_op(node)} runs in the kernel of the {first_op(producer)} before it"
            log.applied(what, node.name, producer.name)
        elif producers:
            names = [p.name for p in producers]
            log.missed("what it follows is needed elsewhere too", node.name, *names)
    return draft.result()


_MAX_PARTS = 48  # a kernel has the code of every stage and of every value it reads


def _is_short(producer: Node, node: Node) -> bool:
    """True if the fused kernel stays short, and so compiles quickly."""
    stages = len(stages_of(producer)) + len(stages_of(node))
    return 2 * stages + len(producer.inputs) + len(node.inputs) <= _MAX_PARTS


def _is_elementwise(stage: Stage) -> bool:
    """Elementwise layers; not BatchNorm by the batch's own statistics."""
    return has_role(stage.op, Role.EPILOGUE) and not uses_batch_statistics(stage.params)


def _producers(draft: Draft, node: Node, is_elementwise: Callable[[Stage], bool]) -> list[Node]:
    """The nodes a layer could join: those that give an input of its output's shape, finished."""
    shape = draft.shape(node.outputs[0])
    found = []
    for value in dict.fromkeys(node.inputs[: stages_of(node)[0].inputs]):
        earlier = draft.producer(value)
        if earlier is None or len(earlier.outputs) != 1 or draft.shape(value) != shape:
            continue
        if has_role(first_op(earlier), Role.PRODUCT) or is_elementwise(stages_of(earlier)[0]):
            found.append(earlier)
    return found


def first_op(node: Node) -> str:
    """A node's op, or that of the first stage of its chain."""
    return node.params_as(FusedParams).stages[0].op if node.op == NAME else node.op


def stages_of(node: Node) -> tuple[Stage, ...]:
    """A node as a chain: its stages, or itself as the only one."""
    if node.op == NAME:
        params = node.params_as(FusedParams)
        return params.stages
    return (Stage(node.op, node.params, len(node.inputs), 0, len(node.parameters)),)


def chain_of(node: Node) -> FusedParams:
    """A node as a chain of stages."""
    return FusedParams(stages_of(node))


def joined(producer: Node, node: Node) -> Node:
    """One node that does what two in a row do."""
    position = node.inputs.index(producer.outputs[0])
    others = node.inputs[:position] + node.inputs[position + 1 :]
    first, *rest = stages_of(node)
    stage = replace(first, inputs=first.inputs - 1, position=position)
    return replace(
        producer,
        op=NAME,
        params=FusedParams((*stages_of(producer), stage, *rest)),
        inputs=producer.inputs + others,
        outputs=node.outputs,
        parameters=producer.parameters + node.parameters,
        spans=producer.spans + node.spans,
        param_specs=(),
    )


FUSE_EPILOGUES = Pass("fuse-epilogues", fuse_epilogues, exact=True)
