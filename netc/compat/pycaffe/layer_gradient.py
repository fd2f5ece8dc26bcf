"""The backward pass of one layer as a graph of its own, fed with what the blobs hold.

Caffe runs backward layer by layer, and scripts write to blobs and gradients in between. So each
layer's gradients are a small program: what its gradients read of the layer's bottoms and tops is
an input, and nothing of the forward pass runs again but what makes a record for them (the places
of maxima)::

    y = ReLU(x)          becomes          x~grad = Gradient(y, y~grad)       inputs y, y~grad
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from netc.backends.variables import Variables
from netc.compat.engine import ready
from netc.compat.pycaffe.needs import LayerNeeds
from netc.ir.edit import live_nodes, with_nodes
from netc.ir.graph import Array, Graph, Node, Value
from netc.passes.state import carry_state
from netc.train.differentiate import differentiate
from netc.train.generator import with_generator
from netc.train.joint import Joint
from netc.train.wanted import owner_of


class GradientNames(NamedTuple):
    """The values of a layer's own graph: one for each bottom and each top, by place."""

    bottoms: tuple[str, ...]
    tops: tuple[str, ...]


class LayerGradient:
    """The gradients of one layer, compiled.

    Args:
        graph: of the net, with shapes; its parameters are variables.
        node: the layer's.
        needs: which gradients are wanted.
        backend: by its name.
        variables: the net's.

    Raises:
        NetcError: no-gradient.
    """

    def __init__(
        self, graph: Graph, node: Node, needs: LayerNeeds, backend: str, variables: Variables
    ) -> None:
        own, self.names = _alone(graph, node)
        self.owners = tuple(owner_of(graph, name) for name in node.parameters)
        wanted = [value for value, need in zip(self.names.bottoms, needs.bottoms, strict=False)
                  if need]  # fmt: skip
        self._joint, self._kept = _backward(own, self.names, wanted, self._learned(needs))
        self._program = (
            ready(self._joint.graph, backend, variables) if self._joint.graph.outputs else None
        )

    def _learned(self, needs: LayerNeeds) -> set[str]:
        pairs = zip(self.owners, needs.parameters, strict=False)
        return {name for name, need in pairs if need}

    @property
    def reads(self) -> tuple[str, ...]:
        """What is to be fed, besides gradients of tops: bottoms and tops, states, the key."""
        seeds = set(self._joint.seeds.values())
        return tuple(name for name in self._joint.graph.inputs if name not in seeds)

    def run(
        self, feeds: Mapping[str, Array], tops: Sequence[Array]
    ) -> tuple[dict[int, Array], dict[str, Array]]:
        """Gradients of the bottoms by place, and of parameters by their owners' names.

        Args:
            feeds: what ``reads`` names.
            tops: the gradient of each top.
        """
        if self._program is None:
            return {}, {}
        given = dict(zip(self.names.tops, tops, strict=False))
        seeds = {name: given[value] for value, name in self._joint.seeds.items() if value in given}
        fed = {**feeds, **seeds}
        made = self._program({name: fed[name] for name in self._joint.graph.inputs})
        known = {**fed, **made}  # a gradient may be passed on as it stands
        bottoms = {
            place: known[self._joint.values[value]]
            for place, value in enumerate(self.names.bottoms)
            if value in self._joint.values
        }
        return bottoms, {name: known[value] for name, value in self._joint.parameters.items()}


def _alone(graph: Graph, node: Node) -> tuple[Graph, GradientNames]:
    """The layer as a net of its own, whose every bottom is a value of its own.

    The blobs' names stay, by which a layer in place is known.
    """
    bottoms = tuple(f"~bottom{place}" for place in range(len(node.inputs)))
    tops = tuple(f"~top{place}" for place in range(len(node.outputs)))
    pairs = zip((*bottoms, *tops), (*node.inputs, *node.outputs), strict=True)
    values = {
        name: Value(name, graph.values[value].blob, graph.shape(value), graph.values[value].span)
        for name, value in pairs
    }
    used = {*node.parameters, *(owner_of(graph, name) for name in node.parameters)}
    own = graph.replace(
        nodes=(replace(node, inputs=bottoms, outputs=tops, propagate_down=()),),
        inputs=bottoms,
        outputs=tops,
        values=values,
        parameters={name: p for name, p in graph.parameters.items() if name in used},
        losses={},
    )
    return with_generator(carry_state(own).graph.replace(outputs=tops)), GradientNames(
        bottoms, tops
    )


def _backward(
    own: Graph, names: GradientNames, wanted: Sequence[str], learned: set[str]
) -> tuple[Joint, frozenset[str]]:
    """The gradients alone; what they read of the forward pass becomes an input."""
    joint = differentiate(own, parameters=learned, values=wanted, seeds=names.tops)
    forward = own.nodes[0]
    node = next((n for n in joint.graph.nodes if n.name == forward.name), None)
    made = (*joint.values.values(), *joint.parameters.values())
    outputs = tuple(dict.fromkeys(v for v in made if v not in joint.graph.inputs))
    recorded = node is not None and len(node.outputs) > len(forward.outputs)
    graph = joint.graph.replace(outputs=outputs)
    if node is not None:
        graph = _cut(graph, node, forward, recorded)
    live = with_nodes(graph, live_nodes(graph))
    read = {name for n in live.nodes for name in n.inputs}
    inputs = tuple(name for name in live.inputs if name in read)
    values = {n: replace(v, blob=n) for n, v in live.values.items()}  # each input by its own name
    joint = joint._replace(graph=live.replace(inputs=inputs, values=values))
    return joint, frozenset(inputs)


def _cut(graph: Graph, node: Node, forward: Node, recorded: bool) -> Graph:
    """The graph with the layer's tops as inputs; the layer stays for its record alone."""
    nodes = [n for n in graph.nodes if n is not node]
    values = dict(graph.values)
    for top in forward.outputs:
        values.setdefault(top, Value(top, top, graph.values[top].shape))
    if recorded:
        renamed = tuple(f"{top}~again" for top in forward.outputs)
        for top, again in zip(forward.outputs, renamed, strict=True):
            values[again] = replace(values[top], name=again, blob=again)
        rest = node.outputs[len(renamed) :]
        nodes.insert(0, replace(node, outputs=(*renamed, *rest)))
    inputs = (*graph.inputs, *forward.outputs)
    return graph.replace(nodes=tuple(nodes), inputs=inputs, values=values)
