"""What a backward walk makes: the joint graph, names of gradients, and what stops it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError, Note
from netc.ir.graph import Graph, Node
from netc.ops.gradients.define import ErasedGradient, Reads
from netc.train.generator import KEY


class GradientParts(NamedTuple):
    """Gradients on the way, as values of a joint graph.

    Args:
        passed: (layer, index of a bottom) -> what the layer passes to it.
        learned: (layer, index of a parameter) -> what the layer adds to its gradient.
        totals: value -> its gradient, of all that read it.
    """

    passed: Mapping[tuple[str, int], str]
    learned: Mapping[tuple[str, int], str]
    totals: Mapping[str, str]


class Joint(NamedTuple):
    """A graph with its gradients.

    Args:
        graph: forward and backward; its outputs are the forward's and the wanted gradients.
        values: wanted value -> the value that holds its gradient; absent where that is 0.
        parameters: wanted parameter -> the value that holds its gradient; absent where that is 0.
        seeds: seeded value -> the input by which its gradient arrives.
        overwritten: layers whose gradients read what a layer in place has left of their tops, as
            Caffe's do; those are no derivatives.
        parts: the gradients on the way.
    """

    graph: Graph
    values: Mapping[str, str]
    parameters: Mapping[str, str]
    seeds: Mapping[str, str]
    overwritten: frozenset[str] = frozenset()
    parts: GradientParts = GradientParts({}, {}, {})


def no_loss(graph: Graph) -> NetcError:
    """There is nothing to differentiate."""
    return NetcError(
        Diagnostic(
            "no-loss",
            f"the net has no loss in phase {graph.phase}, and no gradient is given at an output",
            help=(
                "give a layer's top a `loss_weight`, or say what arrives: "
                f'seeds={{"{next(iter(graph.outputs), "prob")}": array}}',
            ),
        )
    )


def reads_of(node: Node, rule: ErasedGradient, kind: str, index: int) -> Reads:
    """What a gradient reads; of a layer that draws, the generator's key too."""
    own = [value for value in node.inputs if value != KEY]
    reads = rule.read(kind, node.params, index, len(own))
    if len(own) == len(node.inputs):
        return reads
    return reads._replace(inputs=(*reads.inputs, len(own)))


class UniqueNames:
    """Names that are each given out once, with ``~2``, ``~3`` ... after one that is taken."""

    def __init__(self, taken: Collection[str]) -> None:
        self._taken = set(taken)
        self._numbers: dict[str, int] = {}  # where the next search begins

    def take(self, name: str) -> str:
        """The name, or a new one made of it."""
        found, number = name, self._numbers.get(name, 2)
        while found in self._taken:
            found, number = f"{name}~{number}", number + 1
        self._taken.add(found)
        self._numbers[name] = number
        return found


def no_gradient(graph: Graph, node: Node, bottom: int | None = None) -> Diagnostic:
    """A layer that a gradient would have to pass, or a bottom of it."""
    why = "has no gradient"
    if bottom is not None:
        blob = graph.values[node.inputs[bottom]].blob
        why = f"passes no gradient to its bottom `{blob}`"
    below = node.inputs[bottom or 0] if node.inputs else None
    producer = graph.producers.get(below) if below else None
    note = Note(f"it would go on to layer `{producer.name}`", producer.span) if producer else None
    help = (
        "write `propagate_down: false` for the bottom that no gradient is to reach, or ask for "
        "other gradients by `wrt`"
    )
    return Diagnostic(
        "no-gradient",
        f"layer `{node.name}` ({node.op}) {why}, and one would have to pass here",
        node.span,
        notes=(note,) if note else (),
        help=(help,),
    )
