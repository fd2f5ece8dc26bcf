"""Forward and backward pass with all that is on the way given back, and nothing updated."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from netc.ir.edit import with_variables
from netc.ir.graph import Array, Graph
from netc.train.differentiate import differentiate
from netc.train.generator import with_generator
from netc.train.joint import GradientParts
from netc.train.step import carried_graph
from netc.train.wanted import Use


class Observed(NamedTuple):
    """A joint graph whose outputs are all values of the forward pass and all gradients."""

    graph: Graph
    parts: GradientParts


class Observation(NamedTuple):
    """What one forward and backward pass computed.

    Args:
        values: the net's values, those that are fed as well.
        passed, learned, totals: as of netc.train.differentiate.Parts, with arrays.
    """

    values: Mapping[str, Array]
    passed: Mapping[tuple[str, int], Array]
    learned: Mapping[tuple[str, int], Array]
    totals: Mapping[str, Array]


def observed_graph(graph: Graph, learned: Sequence[str], silent: Collection[Use] = ()) -> Observed:
    """The graph for looking at a pass of a TRAIN net.

    Args:
        graph: with inferred shapes and arrays, no passes run.
        learned: the parameters whose gradients are wanted.
        silent: uses of them that add nothing: see netc.train.differentiate.

    Raises:
        NetcError: no-gradient, no-loss.
    """
    graph, _ = carried_graph(with_variables(with_generator(graph)))
    made = tuple(value for node in graph.nodes for value in node.outputs)
    joint = differentiate(graph.replace(outputs=made), parameters=learned, silent=silent)
    parts = joint.parts
    found = (*parts.passed.values(), *parts.learned.values(), *parts.totals.values())
    live = {value for node in joint.graph.nodes for value in node.outputs}
    outputs = tuple(dict.fromkeys(v for v in (*made, *found) if v in live))
    return Observed(joint.graph.replace(outputs=outputs), parts)


def observation(observed: Observed, made: Mapping[str, Array]) -> Observation:
    """The arrays of a run, by what they are of; ``made`` has what was fed too."""
    parts = observed.parts
    return Observation(
        made,
        {key: made[v] for key, v in parts.passed.items() if v in made},
        {key: made[v] for key, v in parts.learned.items() if v in made},
        {key: made[v] for key, v in parts.totals.items() if v in made},
    )
