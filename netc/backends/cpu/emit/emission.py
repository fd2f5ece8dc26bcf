"""What emitters are given: views of values, trained arrays; and the fallback step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from netc.backends import reference
from netc.backends.cpu.lowering import Sweep, sweep_of
from netc.backends.cpu.machine import Machine, machine
from netc.backends.cpu.program import PythonStep
from netc.backends.shared.derived import Weights, trained
from netc.backends.shared.layout import lies_in_c_order
from netc.backends.shared.views import Buffer, External, View, dense
from netc.backends.variables import Variables
from netc.ir.graph import Array, Graph, Node
from netc.ops.catalog import CATALOG, has_role
from netc.ops.reduced import Number
from netc.ops.role import Role
from netc.plan.storage import scratch_name

PixelShape = tuple[int, int, int, int]  # images, height, width, channels


@dataclass(frozen=True)
class EmitContext:
    """One graph being lowered.

    Args:
        graph: after all passes.
        views: how each value lies, in buffers with names or in the caller's arrays.
        machine: what steps are built for; None for the one that netc runs on.
        threads: how many will run the steps.
        exact: no algorithm that changes the order of sums.
        half: inner products keep their weights as float16.
        variables: the places of the graph's variables.
        images: convolutions that convert their input themselves, see netc.backends.cpu.windows.
        status: where nodes tell, as an int64, how many rows they chose or what is wrong with their
            regions: an array of the caller's (netc.backends.cpu.status).
        kept: values that lie in fewer bits, and what as; their views count ``ld`` in words.
    """

    graph: Graph
    views: Mapping[str, View] = field(default_factory=dict)
    machine: Machine | None = None
    threads: int = 1
    exact: bool = False
    half: bool = False
    variables: Variables = field(default_factory=Variables)
    images: Mapping[str, PixelShape] = field(default_factory=dict)
    status: Mapping[str, External] = field(default_factory=dict)
    kept: Mapping[str, Number] = field(default_factory=dict)

    def view(self, value: str) -> View:
        """Where a value lies."""
        return self.views[value]

    def in_c_order(self, *values: str) -> bool:
        """True if all of them lie without gaps, in the order of arrays of their shapes."""
        return all(lies_in_c_order(self.graph.shape(v), self.view(v)) for v in values)

    @property
    def target(self) -> Machine:
        """The machine; only steps that are being built may ask."""
        return self.machine or machine()

    def array(self, parameter: str) -> Weights:
        """A trained array, derived if it is a variable."""
        return trained(self.graph, self.variables, parameter)

    def arrays(self, node: Node) -> list[Weights]:
        """A node's trained arrays."""
        return [self.array(name) for name in node.parameters]


Sweeps = list[Sweep]
# None where the emitter has no kernel for such a node.
Emitter = Callable[[EmitContext, Node], Sweeps | None]


def scratch_of(node: Node) -> Buffer:
    """Where a node's scratch memory starts; its record says how much there is."""
    return Buffer(scratch_name(node))


def by_definition(context: EmitContext, node: Node) -> Sweeps:
    """A node run by its op's definition, on the stored values seen as plain arrays."""
    graph, chooses = context.graph, CATALOG[node.op].dynamic and node.name in context.status
    inputs, outputs = ([(context.view(v), graph.shape(v)) for v in names]
                       for names in (node.inputs, node.outputs))  # fmt: skip
    number_of_rows = [(dense(context.status[node.name], 1, 1, 1, 2), (2,))] if chooses else []

    def run(*arrays: Array) -> None:
        # The definitions may return their inputs, and an output may lie where an input does.
        # (asarray, unlike ascontiguousarray, keeps a scalar without axes)
        given = [np.asarray(array, order="C") for array in arrays[: len(inputs)]]
        results = reference.run_node(graph, node, given, fast=True)
        targets = arrays[len(inputs) :]
        if chooses:
            _write_rows(targets, results, 2 if has_role(node.op, Role.BOX_ROWS) else 0)
            return
        for target, result in zip(targets, results, strict=True):
            target[...] = result

    # Of several results one may be an input as it is, which writing another must not destroy.
    alone = len(node.outputs) == 1
    step = PythonStep(node.name, run, (*inputs, *outputs, *number_of_rows), reads_first=alone)
    read, written = [view for view, _ in inputs], [view for view, _ in outputs]
    if alone:
        return [sweep_of(lambda: [step], (), written, pointwise=read)]
    return [sweep_of(lambda: [step], read, written)]


def _write_rows(targets: Sequence[Array], results: Sequence[Array], axis: int) -> None:
    """Rows that were chosen, zeros behind them, and their number; the last target is for that."""
    *places, number_of_rows = targets
    for target, result in zip(places, results, strict=True):
        target[...] = 0
        target[tuple(map(slice, result.shape))] = result
    number_of_rows.view(np.int64)[0] = results[0].shape[axis]
