"""One record for each chain of stages, made before anything has a place in memory.

A node is a chain: a product or an elementwise layer, and what is fused to it. A stage that has code
runs in a kernel with the stages around it; one that has none, such as a Power by infinity, runs by
its definition in a step of its own. Which stages have code is decided here and nowhere else:
storage may let a chain write over what it reads only where one kernel does all of it, and the
kernels are made from the same record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from netc.backends.cuda.chains import RULES, is_elementwise, supported
from netc.ir.graph import Graph, Node
from netc.ops.catalog import has_role
from netc.ops.fused import NAME as FUSED
from netc.ops.fused import BoundStage, bind_stages
from netc.ops.role import Role
from netc.ops.siblings import NAME as SIBLINGS
from netc.ops.siblings import SiblingsParams
from netc.passes.epilogue import chain_of
from netc.plan.storage import StorageNeeds


@dataclass(frozen=True, slots=True)
class ChainRecord:
    """How a chain of stages will run.

    Args:
        coded: for each stage, True where it is a statement of a kernel.
        overwritable: inputs that one kernel reads element by element, each before it writes in
            its place; the output may lie over one of them.
    """

    coded: tuple[bool, ...]
    overwritable: tuple[str, ...] = ()

    def leading(self, number: int) -> int:
        """How many of the chain's last ``number`` stages, from the first of them, have code."""
        last = self.coded[len(self.coded) - number :]
        return next((at for at, has_code in enumerate(last) if not has_code), number)


def lower_chains(graph: Graph) -> Mapping[str, ChainRecord]:
    """The record of each chain, by the value that it makes; siblings have one each."""
    return {value: record for node in graph.nodes for value, record in _records(graph, node)}


def needs_of(records: Mapping[str, ChainRecord], node: Node) -> StorageNeeds:
    """What a node needs of storage, as its record says."""
    record = records.get(node.outputs[0]) if node.outputs else None
    return StorageNeeds() if record is None else StorageNeeds(record.overwritable)


def _records(graph: Graph, node: Node) -> Iterator[tuple[str, ChainRecord]]:
    if node.op == SIBLINGS:
        branches = node.params_as(SiblingsParams).branches
        for value, branch in zip(node.outputs, branches, strict=True):
            yield value, ChainRecord(_coded(graph, value, list(bind_stages(branch, node.inputs))))
    elif node.outputs:
        stages = list(bind_stages(chain_of(node), node.inputs, node.parameters))
        coded = _coded(graph, node.outputs[0], stages)
        yield node.outputs[0], ChainRecord(coded, _overwritable(graph, node, stages, coded))


def _coded(graph: Graph, value: str, stages: Sequence[BoundStage]) -> tuple[bool, ...]:
    """Whether each stage has code; all but the first take the chain's value besides."""
    shape = graph.shape(value)
    first, *rest = stages
    head = first.stage.op in RULES and supported(first, (shape,) * len(first.inputs))
    return head, *(supported(bound, (shape,) * (1 + len(bound.inputs))) for bound in rest)


def _overwritable(
    graph: Graph, node: Node, stages: Sequence[BoundStage], coded: Sequence[bool]
) -> tuple[str, ...]:
    """What one kernel, or one step of a definition, reads before it writes."""
    first, *rest = stages
    elementwise = is_elementwise(first.stage)
    product = has_role(first.stage.op, Role.PRODUCT) and node.op == FUSED
    if not (elementwise or product) or (rest and not all(coded[product:])):
        return ()  # several steps: the first would destroy what a later one reads
    later = [value for bound in rest for value in bound.inputs]
    own = first.inputs if elementwise else []
    return tuple(value for value in (*later, *own) if _is_like_output(graph, node, value))


def _is_like_output(graph: Graph, node: Node, value: str) -> bool:
    produced = value in graph.producers
    return produced and graph.shape(value) == graph.shape(node.outputs[0])
