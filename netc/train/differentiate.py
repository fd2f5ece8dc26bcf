"""A graph with its gradients: the forward pass, and behind it the backward pass.

Before::

    y = InnerProduct(x; W); l = SoftmaxWithLoss(y, label)                          loss l weight 1

After, for the gradient of W::

    y = InnerProduct(x; W); l = SoftmaxWithLoss(y, label)
    dl = Parameter(); dy = Gradient(y, label, dl); dW = Gradient(x, dy)

The result is an ordinary graph: it verifies, prints, goes through the passes and runs on every
backend. Nothing is made of a gradient that leads to nothing wanted, and what is below the last
wanted value or parameter has no backward pass at all (net.cpp, blobs_under_loss and
layer_need_backward).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.edit import live_nodes, with_nodes
from netc.ir.graph import Graph, Node, Parameter, Value
from netc.ir.types import Shape
from netc.ops.arithmetic import PowerParams
from netc.ops.catalog import CATALOG
from netc.ops.elementwise import EltwiseParams
from netc.ops.gradient import NAME, GradientParams
from netc.ops.gradients.catalog import GRADIENTS
from netc.ops.gradients.define import ErasedGradient
from netc.ops.inputs import ParameterParams
from netc.ops.reshaping import ReshapeParams
from netc.plan.split import loose_values
from netc.train.generator import KEY
from netc.train.joint import GradientParts, Joint, UniqueNames, no_gradient, no_loss, reads_of
from netc.train.wanted import GradientNeeds, Use, find_needs, owner_of


def differentiate(
    graph: Graph,
    *,
    parameters: Collection[str] = (),
    values: Collection[str] = (),
    reached: Collection[str] = (),
    seeds: Collection[str] = (),
    silent: Collection[Use] = (),
) -> Joint:
    """The graph with the gradients of the sum of its losses.

    Args:
        graph: with inferred shapes, as lowered (no passes), its losses with their weights.
        parameters: names of those whose gradients are wanted; owners, where they are shared.
        values: names of values whose gradients are wanted.
        reached: values whose gradients are wanted where one can pass: not through a label.
        seeds: values at which gradients arrive from outside, as inputs of the new graph, in the
            place of a loss's weight where one has one.
        silent: (layer, index) of parameters: uses of shared ones that add nothing to the gradient.

    Raises:
        NetcError: no-gradient, at the layers that would have to pass a gradient and have none;
            no-loss, where there is neither a loss nor a seed.
    """
    if not graph.losses and not seeds:
        raise no_loss(graph)
    needs = find_needs(graph, parameters, values, reached, silent)
    backward = _Backward(graph, needs, frozenset(parameters), frozenset(silent))
    for value in dict.fromkeys((*seeds, *graph.losses)):
        backward.start(value, seeded=value in seeds)
    for node in reversed(graph.nodes):
        backward.visit(node)
    if backward.faults:
        raise NetcError(reversed(backward.faults))
    return backward.result((*values, *reached))


@dataclass
class _Backward:
    """The backward pass in the making.

    ``gradients`` has each value's so far: the sum of what its readers have passed.
    """

    graph: Graph
    needs: GradientNeeds
    learned: frozenset[str]
    silent: frozenset[Use] = frozenset()
    nodes: list[Node] = field(default_factory=list)
    faults: list[Diagnostic] = field(default_factory=list)
    gradients: dict[str, str] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)
    seeds: dict[str, str] = field(default_factory=dict)
    recorded: dict[str, Node] = field(default_factory=dict)
    overwritten: set[str] = field(default_factory=set)
    passed: dict[tuple[str, int], str] = field(default_factory=dict)
    learned_of: dict[tuple[str, int], str] = field(default_factory=dict)
    at: Node | None = None  # the layer that is being visited

    def __post_init__(self) -> None:
        self.values = dict(self.graph.values)
        self.parameters = dict(self.graph.parameters)
        self.node_names = UniqueNames([node.name for node in self.graph.nodes])
        self.value_names = UniqueNames(self.graph.values)
        self.parameter_names = UniqueNames(self.graph.parameters)
        made = (value for node in self.graph.nodes for value in node.outputs)
        self.last = {self.graph.values[value].blob: value for value in made}  # of each blob
        self.without_sizes = loose_values(self.graph)

    # What the rules that build ops are given: see netc.ops.gradients.define.Build

    def shape(self, value: str) -> Shape:
        shape = self.values[value].shape
        assert shape is not None
        return shape

    def node(
        self, op: str, params: object, inputs: Sequence[str], parameters: Sequence[str] = ()
    ) -> tuple[str, ...]:
        assert self.at is not None
        return self._node(self.at.name, op, params, inputs, parameters)

    def zeros(self, value: str) -> str:
        assert self.at is not None
        return self._constant(f"{self.at.name}~zeros", value, 0.0)

    def loose(self, value: str) -> bool:
        return value in self.without_sizes

    # The walk

    def start(self, value: str, *, seeded: bool) -> None:
        """The gradient that arrives at a value from outside: a seed, or its weight as a loss."""
        if value not in self.needs.all:
            return
        shape = self.shape(value)
        if seeded:
            name = self._value(f"{value}~grad", shape)
            self.seeds[value] = self.gradients[value] = name
        else:
            weight = self.graph.losses[value]
            if weight:  # 0: it is displayed alone, see netc.lower.losses
                self.gradients[value] = self._constant(f"{value}~grad", value, weight)

    def visit(self, node: Node) -> None:
        """Pass the gradients of a layer's tops on to what is wanted of it."""
        rule = self._rule(node)
        tops = [
            self.gradients.get(value) if rule is None or rule.takes(place) else None
            for place, value in enumerate(node.outputs)
        ]
        own = self._wanted_weights(node)
        if not any(tops) or not (own or any(v in self.needs.all for v in node.inputs)):
            return
        if rule is None:
            self.faults.append(no_gradient(self.graph, node))
            return
        self.at = node
        bottoms = self._wanted_bottoms(node, rule)
        node = self._record(node, rule) if bottoms or own else node
        tops += [None] * (len(node.outputs) - len(tops))
        self._pass_down(node, rule, tops, bottoms)
        for index in own:
            self._learn(node, rule, tops, index)

    def _rule(self, node: Node) -> ErasedGradient | None:
        """A layer's gradient, as Caffe has it where the layer rewrites its bottom."""
        rule = GRADIENTS.get(node.op)
        if rule is None or (rule.available is not None and not rule.available(node.params)):
            return None
        if rule.in_place is None or not node.inputs:
            return rule
        bottom, top = (self.graph.values[v].blob for v in (node.inputs[0], node.outputs[0]))
        return rule.in_place if bottom == top else rule

    def _left(self, node: Node, rule: ErasedGradient) -> str | None:
        """What in-place layers have left of a layer's first top, where its gradient reads that top.

        Caffe has but one blob for them all, and its backward pass reads it after the whole forward
        pass.
        """
        if not node.outputs:
            return None
        blobs = [self.graph.values[v].blob for v in (*node.inputs[:1], node.outputs[0])]
        left = self.last[blobs[-1]]
        in_place = blobs[0] == blobs[-1] and len(blobs) == 2
        matters = rule.reads_left or (in_place and rule.read("bottom", node.params, 0, 1).outputs)
        same = left == node.outputs[0] or self.shape(left) != self.shape(node.outputs[0])
        return left if matters and not same else None

    def _wanted_weights(self, node: Node) -> list[int]:
        """Indices of a layer's parameters whose gradients are wanted."""
        if not node.parameters:
            return []
        shapes = [self.shape(v) for v in node.inputs]
        specs = CATALOG[node.op].weights(node.params, shapes)
        return [
            index
            for index, (name, spec) in enumerate(zip(node.parameters, specs, strict=True))
            if spec.learned
            and owner_of(self.graph, name) in self.learned
            and (node.name, index) not in self.silent
        ]

    def _wanted_bottoms(self, node: Node, rule: ErasedGradient) -> list[int]:
        """The bottoms a gradient is passed to, in order; a fault where it cannot and has to be."""
        number = len(node.inputs)
        over, stopped = rule.passed_over(node.params, number), rule.stopped(node.params, number)
        found = []
        for index, value in enumerate(node.inputs):
            if index in over or value == KEY:
                continue
            asked = node.propagate_down[index] if node.propagate_down else None
            if asked is False:
                continue
            if index in stopped:
                if asked or value in self.needs.hard:
                    self.faults.append(no_gradient(self.graph, node, index))
            elif value in self.needs.all:
                found.append(index)
        return found

    def _record(self, node: Node, rule: ErasedGradient) -> Node:
        """The layer with the further top that its gradients read."""
        params = rule.records(node.params) if rule.records else None
        if params is None:
            return node
        shapes = CATALOG[node.op].shape(params, [self.shape(v) for v in node.inputs])
        more = [self._value(f"{node.name}~record", s) for s in shapes[len(node.outputs) :]]
        self.recorded[node.name] = replace(node, params=params, outputs=(*node.outputs, *more))
        return self.recorded[node.name]

    def _pass_down(
        self, node: Node, rule: ErasedGradient, tops: Sequence[str | None], bottoms: Sequence[int]
    ) -> None:
        if rule.paired:
            bottoms = [index for index in bottoms if tops[index] is not None]
        built = rule.build(self, node, tops, bottoms) if rule.build and bottoms else {}
        for index in bottoms:
            value = node.inputs[index]
            made = built.get(index) or self._defined(node, rule, tops, "bottom", index)
            self.passed[node.name, index] = made
            self._add(self.gradients, value, made, f"{value}~grad")

    def _learn(
        self, node: Node, rule: ErasedGradient, tops: Sequence[str | None], index: int
    ) -> None:
        """The gradient of a trained array, in the shape that its owner has."""
        name = node.parameters[index]
        made = self.learned_of[node.name, index] = self._defined(node, rule, tops, "weight", index)
        owner = owner_of(self.graph, name)
        if owner != name:
            shape = self.graph.parameters[owner].shape or ()
            (made,) = self.node("Reshape", ReshapeParams(shape), (made,))
        self._add(self.sums, owner, made, f"{owner}~grad")

    def _defined(
        self, node: Node, rule: ErasedGradient, tops: Sequence[str | None], kind: str, index: int
    ) -> str:
        """A Gradient node's output."""
        left = self._left(node, rule)
        reads = reads_of(node, rule, kind, index)
        if left is not None and kind == "bottom" and (reads.inputs or reads.outputs):
            reads = reads._replace(outputs=(0,))
            self.overwritten.add(node.name)
        if self.without_sizes.intersection(node.inputs):  # the arrays alone tell them
            reads = reads._replace(inputs=tuple(range(len(node.inputs))))
        alone = rule.paired and kind == "bottom"
        arrived = tuple(
            place
            for place, top in enumerate(tops)
            if top is not None and (place == index or not alone)
        )
        params = GradientParams(
            node.op,
            node.params,
            kind,
            index,
            tuple(self.shape(v) for v in node.inputs),
            len(node.outputs),
            *reads,
            arrived,
            in_place=rule is not GRADIENTS[node.op],
            layer=node.name,
        )
        inputs = [
            *(node.inputs[i] for i in reads.inputs),
            *(left if left is not None and i == 0 else node.outputs[i] for i in reads.outputs),
            *(top for place in arrived if (top := tops[place]) is not None),
        ]
        of = node.inputs[index] if kind == "bottom" else node.parameters[index]
        name = f"{of}~grad@{node.name}"
        weights = [node.parameters[i] for i in reads.weights]
        return self._node(name, NAME, params, inputs, weights)[0]

    def _add(self, sums: dict[str, str], key: str, made: str, name: str) -> None:
        """One more summand of a gradient. They are added as they come, so that each may go."""
        before = sums.get(key)
        if before is not None:
            (made,) = self._node(name, "Eltwise", EltwiseParams(), (before, made))
        sums[key] = made

    # New values, parameters and nodes

    def _node(
        self,
        name: str,
        op: str,
        params: object,
        inputs: Sequence[str],
        parameters: Sequence[str] = (),
    ) -> tuple[str, ...]:
        shapes = CATALOG[op].shape(params, [self.shape(v) for v in inputs])
        base = name if "~grad" in name else f"{name}~grad"
        outputs = tuple(self._value(base, shape) for shape in shapes)
        own = self.node_names.take(base)
        spans = self.at.spans if self.at else ()
        self.nodes.append(Node(own, op, params, tuple(inputs), outputs, tuple(parameters), spans))
        return outputs

    def _value(self, name: str, shape: Shape) -> str:
        name = self.value_names.take(name)
        self.values[name] = Value(name, name.partition("@")[0], shape)
        return name

    def _constant(self, name: str, value: str, number: float) -> str:
        """One number everywhere, in the shape of a value."""
        shape = self.shape(value)
        if value in self.without_sizes:
            return self._node(name, "Power", PowerParams(scale=0, shift=number), (value,))[0]
        parameter = self.parameter_names.take(f"{name}/constant")
        array = np.full(shape, number, np.float32)
        array.flags.writeable = False
        self.parameters[parameter] = Parameter(parameter, shape, array=array, lr_mult=0.0)
        return self._node(name, "Parameter", ParameterParams(shape), (), (parameter,))[0]

    def result(self, wanted: Sequence[str]) -> Joint:
        """The joint graph."""
        values = {v: self.gradients[v] for v in wanted if v in self.gradients}
        nodes = [self.recorded.get(node.name, node) for node in self.graph.nodes]
        inputs = (*self.graph.inputs, *self.seeds.values())
        made = (*values.values(), *self.sums.values())
        graph = self.graph.replace(
            nodes=(*nodes, *self.nodes),
            inputs=inputs,
            outputs=tuple(dict.fromkeys((*self.graph.outputs, *made))),
            values=self.values,
            parameters=self.parameters,
            losses={},
        )
        live = with_nodes(graph, live_nodes(graph))
        parts = GradientParts(self.passed, self.learned_of, self.gradients)
        return Joint(live, values, self.sums, self.seeds, frozenset(self.overwritten), parts)
