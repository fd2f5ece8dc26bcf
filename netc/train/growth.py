"""A graph to which nodes and updates of variables are added at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from netc.ir.edit import prune_parameters
from netc.ir.graph import Graph, Node, Parameter, Value
from netc.ir.types import Shape
from netc.ops.catalog import CATALOG
from netc.ops.elementwise import EltwiseParams
from netc.ops.inputs import ParameterParams
from netc.ops.update import RUNNING, RunningParams
from netc.train.distribute import (
    Distribution,
    buckets,
    finished,
    mean_name,
    slots,
    started,
    under_way_name,
    with_starts,
)


def history_name(parameter: str, index: int) -> str:
    """The variable of a parameter's history."""
    return f"{parameter}~history{index}"


def sum_name(parameter: str) -> str:
    """The variable in which a parameter's gradients are summed over the passes."""
    return f"{parameter}~sum"


class GraphGrowth:
    """A graph to which nodes are added at the end, and updates of variables."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes = list(graph.nodes)
        self.inputs, self.outputs = list(graph.inputs), list(graph.outputs)
        self.values, self.parameters = dict(graph.values), dict(graph.parameters)
        self.updates: dict[str, str] = {}

    def result(self) -> Graph:
        """The grown graph, with what it uses alone."""
        grown = self.graph.replace(
            nodes=tuple(self.nodes),
            inputs=tuple(self.inputs),
            outputs=tuple(self.outputs),
            values=self.values,
            parameters=self.parameters,
            updates=self.updates,
        )
        return prune_parameters(grown)

    def node(
        self,
        name: str,
        op: str,
        params: object,
        inputs: Sequence[str],
        outputs: Sequence[str],
        parameters: Sequence[str] = (),
    ) -> None:
        """A node whose outputs' shapes are those of its op."""
        shapes = CATALOG[op].shape(params, [self.shape(v) for v in inputs])
        for output, shape in zip(outputs, shapes, strict=True):
            self.values[output] = Value(output, output, shape)
        self.nodes.append(Node(name, op, params, tuple(inputs), tuple(outputs), tuple(parameters)))

    def shape(self, value: str) -> Shape:
        """A value's shape."""
        shape = self.values[value].shape
        assert shape is not None
        return shape

    def read(self, variable: str) -> str:
        """A variable as an ordinary value."""
        name = f"{variable}~value"
        if name not in self.values:
            shape = self.parameters[variable].shape or ()
            self.node(name, "Parameter", ParameterParams(shape), (), (name,), (variable,))
        return name

    def variable(self, name: str, shape: Shape) -> str:
        """A variable of zeros."""
        if name not in self.parameters:
            zeros = np.zeros(shape, np.float32)
            self.parameters[name] = Parameter(name, shape, array=zeros, variable=True)
        return name

    def scalar(self, name: str) -> str:
        """An input of one number."""
        if name not in self.values:
            self.values[name] = Value(name, name, ())
            self.inputs.append(name)
        return name

    def run_statistics(self, layers: Sequence[Node]) -> None:
        """Averages that a layer keeps of its inputs move at each pass (batch_norm_layer.cpp).

        They stand right behind the layer: at the end they would keep its inputs alive until then.
        """
        nodes, self.nodes = self.nodes, []
        moving = {n.name: n for n in layers if CATALOG[n.op].moving(n.params)}
        for node in nodes:
            self.nodes.append(node)
            if node.name in moving:
                self._run_statistics(moving[node.name])

    def _run_statistics(self, layer: Node) -> None:
        moving = CATALOG[layer.op].moving(layer.params)
        outputs = [f"{name}~moved" for name in layer.parameters]
        params, name = RunningParams(layer.op, layer.params), f"{layer.name}~running"
        self.node(name, RUNNING, params, layer.inputs, outputs, layer.parameters)
        self.updates.update({layer.parameters[i]: outputs[i] for i in moving})

    def keep_states(self, states: Mapping[str, str]) -> None:
        """A recurrent layer's last state is its first one in the next pass."""
        self.updates.update(states)

    def sum_of(self, parameter: str) -> str:
        """The sum of a parameter's gradients over the passes so far, as a value."""
        return self.read(self._sum(parameter))

    def _sum(self, parameter: str) -> str:
        return self.variable(sum_name(parameter), self.parameters[parameter].shape or ())

    def means(self, gradients: Mapping[str, str], over: Distribution) -> dict[str, str]:
        """Parameter -> the mean of its gradient over the ranks, taken while other nodes run."""
        shapes = {value: self.shape(value) for value in gradients.values()}
        # In shared memory there are no messages whose latency a bucket of several would save.
        min_bytes = 0 if over.sliced else over.bucket_bytes
        groups = buckets(gradients, shapes, self.nodes, min_bytes)
        names = [name for group in groups for name in group]
        ordered = slots([[gradients[name] for name in group] for group in groups], shapes)
        placed = [
            (gradient, slot._replace(part=over.part(name, shapes[gradient])))
            for name, (gradient, slot) in zip(names, ordered, strict=True)
        ]
        starts = [started(gradient, slot, over) for gradient, slot in placed]
        self.nodes = list(with_starts(self.nodes, starts))
        self.nodes += [finished(gradient, slot, over) for gradient, slot in placed]
        for gradient, shape in shapes.items():
            for name in (under_way_name(gradient), mean_name(gradient)):
                self.values[name] = Value(name, name, shape)
        return {name: mean_name(value) for name, value in gradients.items()}

    def store_sums(self, gradients: Mapping[str, str], *, add: bool) -> None:
        """Keep the gradients, or add them to what is kept."""
        for parameter, gradient in gradients.items():
            total, variable = gradient, self._sum(parameter)
            if add:
                total = f"{parameter}~total"
                before = self.read(variable)
                self.node(total, "Eltwise", EltwiseParams(), (before, gradient), (total,))
            self.updates[variable] = total
