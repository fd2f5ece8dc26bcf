"""Nets with layers whose outputs' sizes only a run tells: Proposal, DetectionOutput, Filter.

What comes before them is planned once. They run by their definitions; then what follows is planned
for the sizes that they gave, which repeat from call to call in most nets.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from netc.backends.base import Executable, ExecutableReport, StepTime
from netc.backends.reference import ReferenceExecutable
from netc.backends.variables import Variables
from netc.ir.edit import with_nodes
from netc.ir.graph import Array, Graph, Node
from netc.ir.types import Shape, count
from netc.ops.catalog import CATALOG
from netc.ops.define import ShapeError
from netc.recent import LeastRecentlyUsed

_PLANS = 2  # sizes whose plans are kept, least recently used first out

Prepare = Callable[[Graph], Executable]
Call = Callable[[Executable, Mapping[str, Array]], dict[str, Array]]


@dataclass
class StagedExecutable:
    """A planned part, if there is one, and a part that is planned while running.

    Args:
        graph: all of it.
        planned: what depends on no such layer.
        rest: such layers, and what depends on them.
        prepare: makes executables of graphs whose sizes are known.
    """

    graph: Graph
    planned: Executable | None
    rest: Graph
    prepare: Prepare
    variables: Variables = field(default_factory=Variables)
    _plans: LeastRecentlyUsed[tuple[Shape, ...], Executable] = field(
        default_factory=lambda: LeastRecentlyUsed(_PLANS)
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Each output for these inputs, as new arrays; then the updates are written."""
        return self._run(feeds, lambda part, given: part.run(given))

    def timed(self, feeds: Mapping[str, Array]) -> tuple[dict[str, Array], list[StepTime]]:
        """What ``run`` gives, and what each step took of it, in order; planning is no step."""
        times: list[StepTime] = []

        def timing(part: Executable, given: Mapping[str, Array]) -> dict[str, Array]:
            results, spent = part.timed(given)
            times.extend(spent)
            return results

        return self._run(feeds, timing), times

    def graphs(self) -> tuple[Graph, ...]:
        """The planned part's, those of the plans that are kept, and the layers before those."""
        return (*(g for plan in self.parts() for g in plan.graphs()), self.rest)

    def parts(self) -> tuple[Executable, ...]:
        """The planned part, and those of the last sizes."""
        plans = (self.planned, *reversed(self._plans.values()))
        return tuple(plan for plan in plans if plan)

    def _run(self, feeds: Mapping[str, Array], call: Call) -> dict[str, Array]:
        if not self.variables:
            known = self._known(feeds, call)
            return {name: known[name] for name in self.graph.outputs}
        with self.variables.lock:
            known = self._known(feeds, call)
            results = {name: np.array(known[name]) for name in self.graph.outputs}
            # A value may be the variable itself (Parameter), which an earlier update writes to.
            updates = {name: np.array(known[v]) for name, v in self.graph.updates.items()}
            self.variables.update(updates)
            return results

    def _known(self, feeds: Mapping[str, Array], call: Call) -> dict[str, Array]:
        known = {**feeds, **(call(self.planned, feeds) if self.planned else {})}
        ready = ready_nodes(self.rest)
        known.update(call(ReferenceExecutable(subgraph(self.rest, ready)), known))
        later = without(self.rest, ready)
        if later.nodes:
            given = {name: known[name] for name in later.inputs}
            known.update(call(self._plan(later, given), given))
        return known

    def _plan(self, later: Graph, given: Mapping[str, Array]) -> Executable:
        sized = with_shapes(later, {name: array.shape for name, array in given.items()})
        return ReferenceExecutable(later) if sized is None else self._planned(sized)

    def _planned(self, graph: Graph) -> Executable:
        shapes = tuple(graph.shape(name) for name in graph.inputs)
        with self._lock:
            return self._plans.get(shapes, lambda: self.prepare(graph))

    def report(self) -> ExecutableReport:
        """The planned part's, and the layers that are planned while running."""
        ready = [node.name for node in ready_nodes(self.rest)]
        later = [node.name for node in self.rest.nodes if node.name not in ready]
        nothing: ExecutableReport = {"backend": "cpu", "steps": 0}
        plan = self.planned.report() if self.planned else nothing
        return {
            **plan,
            "steps": plan["steps"] + len(self.rest.nodes),
            "reference_steps": [*plan.get("reference_steps", ()), *ready],
            "late_steps": later,
        }


def ready_nodes(graph: Graph) -> tuple[Node, ...]:
    """The dynamic layers that depend on no other one."""
    made = {value for node in graph.nodes for value in node.outputs}
    return tuple(n for n in graph.nodes if CATALOG[n.op].dynamic and made.isdisjoint(n.inputs))


def subgraph(graph: Graph, nodes: tuple[Node, ...]) -> Graph:
    """The graph of these nodes, of which none reads another's; it gives back all they make."""
    read = dict.fromkeys(value for node in nodes for value in node.inputs)
    made = tuple(value for node in nodes for value in node.outputs)
    return with_nodes(graph.replace(inputs=tuple(read), outputs=made), nodes)


def without(graph: Graph, done: tuple[Node, ...]) -> Graph:
    """The graph of the other nodes, which reads what these have made."""
    nodes = [node for node in graph.nodes if node not in done]
    made = {value for node in nodes for value in node.outputs}
    read = dict.fromkeys(v for n in nodes for v in n.inputs if v not in made)
    outputs = tuple(v for v in graph.outputs if v in made)
    return with_nodes(graph.replace(inputs=tuple(read), outputs=outputs), nodes)


def with_shapes(graph: Graph, shapes: Mapping[str, Shape]) -> Graph | None:
    """The graph for inputs of these shapes; None where it cannot be planned for them.

    Nothing can be planned for sizes of 0, or where a layer would want other parameters.
    """
    known = dict(shapes)
    for node in graph.nodes:
        inputs = [known[v] for v in node.inputs]
        if not all(map(count, inputs)) or not _fits(graph, node, inputs):
            return None
        known.update(zip(node.outputs, CATALOG[node.op].shape(node.params, inputs), strict=True))
    values = {name: replace(v, shape=known[name]) for name, v in graph.values.items()}
    return graph.replace(values=values)


def _fits(graph: Graph, node: Node, inputs: list[Shape]) -> bool:
    op = CATALOG[node.op]
    try:
        op.shape(node.params, inputs)
        wanted = [spec.shape for spec in op.weights(node.params, inputs)]
    except ShapeError:
        return False
    return wanted == [graph.parameters[name].shape for name in node.parameters]
