"""What emitters know: where values lie, the arrays, the machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from netc.backends import reference
from netc.backends.cpu.layout import logical
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Context, PythonStep, Step
from netc.backends.shared.derived import Weights, trained
from netc.backends.shared.views import Place, View
from netc.backends.variables import Variables
from netc.ir.graph import Graph, Node

Steps = list[Step | PythonStep]


@dataclass(frozen=True)
class Emission:
    """One graph being made into steps.

    Args:
        graph: after all passes.
        views: where each value lies.
        scratches: memory that a node has while it runs, by the node's name.
        target: the machine.
        threads: how many will run the steps.
        exact: no algorithm that changes the order of sums.
        half: inner products keep their weights as float16.
        variables: the places of the graph's variables.
    """

    graph: Graph
    views: Mapping[str, View]
    scratches: Mapping[str, Place]
    target: Machine
    threads: int = 1
    exact: bool = False
    half: bool = False
    variables: Variables = field(default_factory=Variables)

    def view(self, value: str) -> View:
        """Where a value lies."""
        return self.views[value]

    def scratch(self, node: Node) -> Place | None:
        """The memory that the backend's rules grant a node while it runs, if any."""
        return self.scratches.get(node.name)

    def array(self, parameter: str) -> Weights:
        """A trained array, derived if it is a variable."""
        return trained(self.graph, self.variables, parameter)

    def arrays(self, node: Node) -> list[Weights]:
        """A node's trained arrays."""
        return [self.array(name) for name in node.parameters]


# None where the emitter has no kernel for such a node.
Emitter = Callable[[Emission, Node], Steps | None]


def reference_step(emission: Emission, node: Node) -> Steps:
    """A node run by its op's definition, on the stored values seen as plain arrays."""
    graph = emission.graph
    readers = [(logical(graph.shape(v)), emission.view(v)) for v in node.inputs]
    writers = [(logical(graph.shape(v)), emission.view(v)) for v in node.outputs]

    def run(context: Context) -> None:
        # The definitions may return their inputs, and an output may lie where an input does.
        # (asarray, unlike ascontiguousarray, keeps a scalar without axes)
        inputs = [np.asarray(see(context, view), order="C") for see, view in readers]
        for (see, view), result in zip(
            writers, reference.run_node(graph, node, inputs), strict=True
        ):
            see(context, view)[...] = result

    return [PythonStep(node.name, run)]
