"""Random inputs that a net accepts: labels below the number of classes, indices within range.

What an input may hold follows from the layers that read it, directly or behind layers that only
move elements (Slice, Reshape, Concat ...).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from itertools import zip_longest
from types import MappingProxyType

from netc.ir.graph import Array, Graph, Node
from netc.ir.types import Shape
from netc.numeric import np
from netc.ops.catalog import CATALOG
from netc.ops.contents import Contents, Whole
from netc.ops.define import zero_cost
from netc.ops.detection.proposal import proposal_contents
from netc.ops.detection.proposal_layers import proposal_of
from netc.ops.filler import fill, generator
from netc.ops.python import PythonParams


def drawn_inputs(
    graph: Graph,
    given: Mapping[str, Array] = MappingProxyType({}),
    seed: int = 0,
) -> dict[str, Array]:
    """An array for each input of a graph, float32, by value name.

    An input is filled by its DummyData filler; else with values that the layers reading it accept;
    else with standard normal numbers.

    Args:
        graph: with inferred shapes.
        given: input value -> array; these are returned as they are.
        seed: of the random numbers.

    Raises:
        NetcError: bad-filler, where a filler cannot fill its shape.
    """
    wanted = input_contents(graph)
    rng = np.random.default_rng(seed)
    drawn = {name: _drawn(graph, name, wanted.get(name), rng, seed) for name in graph.inputs}
    return {**drawn, **{name: given[name] for name in graph.inputs if name in given}}


def _drawn(
    graph: Graph, name: str, contents: Contents | None, rng: np.random.Generator, seed: int
) -> Array:
    value, shape = graph.values[name], graph.shape(name)
    if value.filler is not None:
        return fill(value.filler, shape, generator(value.blob, seed))
    if contents is None:
        return rng.standard_normal(shape, dtype=np.float32)
    return contents.draw(shape, rng)


def input_contents(graph: Graph) -> dict[str, Contents]:
    """Input -> what it may hold; inputs that may hold any numbers are absent."""
    known: dict[str, Contents] = {}
    for node in reversed(graph.nodes):
        for name, contents in _wanted(graph, node, known):
            known[name] = _narrowest(contents, known.get(name))
    return {name: known[name] for name in graph.inputs if name in known}


def _wanted(
    graph: Graph, node: Node, known: Mapping[str, Contents]
) -> Iterator[tuple[str, Contents]]:
    """A node's inputs that may not hold every number; ``known`` has its outputs."""
    own = _own_contents(node, [graph.shape(name) for name in node.inputs])
    passed = _passed_on(graph, node, known)
    read = node.inputs[: CATALOG[node.op].reads]
    for name, contents in zip_longest(read, own[: len(read)]):
        wanted = contents or passed
        if wanted is not None:
            yield name, wanted


def _own_contents(node: Node, shapes: list[Shape]) -> Sequence[Contents | None]:
    proposal = proposal_of(node.params) if isinstance(node.params, PythonParams) else None
    if proposal is not None:  # it is registered by its class's name, and has no op of its own
        return proposal_contents(proposal, shapes)
    return CATALOG[node.op].contents(node.params, shapes)


def _passed_on(graph: Graph, node: Node, known: Mapping[str, Contents]) -> Contents | None:
    """What a node's readers want of its inputs, where it only moves them."""
    op = CATALOG[node.op]
    shapes = [graph.shape(name) for name in node.inputs]
    if op.cost is not zero_cost and not (op.identity and op.identity(node.params, shapes)):
        return None
    wanted = [known[name] for name in node.outputs if name in known]
    return reduce(_narrowest, wanted) if wanted else None


def _narrowest(one: Contents, other: Contents | None) -> Contents:
    if isinstance(one, Whole) and isinstance(other, Whole):
        return Whole(min(one.below, other.below))
    return one if other is None or isinstance(other, Whole) else other
