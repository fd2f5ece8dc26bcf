"""What int8 changes: of each layer by itself, and of a net's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netc.backends.base import BackendOptions, Executable, Options
from netc.backends.registry import backend
from netc.ir.draft import Draft
from netc.ir.graph import Array, Graph, Node
from netc.ir.types import count
from netc.ops.reduced import Int8
from netc.passes.base import run_passes
from netc.passes.pipeline import ALL
from netc.passes.reduce import reduction
from netc.quantize.calibrate import Feeds, OnCount

Answers = Mapping[str, Array]
_ELEMENTS = 1 << 24  # of results that are compared in one run


def program(graph: Graph, layers: Mapping[str, Int8] | None = None) -> Executable:
    """A graph made ready, in float32 or with some layers in int8."""
    own = BackendOptions("int8", dict(layers)) if layers else BackendOptions()
    return backend("cpu").prepare(graph, Options(ALL, own=own))


def layer_errors(
    graph: Graph, layers: Mapping[str, Int8], items: Sequence[Feeds], progress: OnCount
) -> dict[str, float]:
    """Each layer's error: its result in int8 beside float32's, both of the same float32 input.

    The norm of the difference over the norm of the result, over all items.

    Args:
        graph: as ``before_reduction`` gives it.
        layers: layer -> what its input is rounded to.
        items: inputs by the names of values.
        progress: called with 1 for each run.
    """
    nodes = [node for node in graph.nodes if node.name in layers]
    found: dict[str, float] = {}
    for group in _groups(graph, nodes):
        doubled, twins = _with_twins(graph, group, layers)
        made = backend("cpu").prepare(doubled, Options((), own=BackendOptions()))
        sums = {name: np.zeros(2) for name in twins}
        for item in items:
            results = made.run(item)
            for name, (plain, twin) in twins.items():
                sums[name] += _norms(results[twin], results[plain])
            progress(1)
        found |= {name: _ratio(*pair) for name, pair in sums.items()}
    return found


def _groups(graph: Graph, nodes: Sequence[Node]) -> list[list[Node]]:
    """Layers whose results are looked at together, so that they fit in memory."""
    groups: list[list[Node]] = [[]]
    elements = 0
    for node in nodes:
        size = 2 * count(graph.shape(node.outputs[0]))
        if groups[-1] and elements + size > _ELEMENTS:
            groups.append([])
            elements = 0
        groups[-1].append(node)
        elements += size
    return groups


def _with_twins(
    graph: Graph, nodes: Sequence[Node], layers: Mapping[str, Int8]
) -> tuple[Graph, dict[str, tuple[str, str]]]:
    """Each node a second time, in int8, with a result of its own."""
    draft, twins = Draft(graph), {}
    names = {}
    for node in nodes:
        value = node.outputs[0]
        twin = draft.fresh_value(f"{value}~int8", value, graph.shape(value))
        name = f"{node.name}~int8"
        draft.put_after(node.name, replace(node, name=name, outputs=(twin,)))
        twins[node.name], names[name] = (value, twin), node.name
    wanted = tuple(dict.fromkeys(v for pair in twins.values() for v in pair))
    doubled = draft.result().replace(outputs=wanted, updates={}, losses={})

    def choose(node: Node) -> Int8 | None:
        return layers[names[node.name]] if node.name in names else None

    return run_passes(doubled, [reduction("int8", choose)])[0], twins


def _norms(found: Array, want: Array) -> NDArray[np.float64]:
    difference = found.astype(np.float64) - want
    return np.array([np.square(difference).sum(), np.square(want.astype(np.float64)).sum()])


def _ratio(error: float, size: float) -> float:
    return float(np.sqrt(error / size)) if size > 0 else float(np.sqrt(error))


class Agreement(NamedTuple):
    """How the answers of int8 agree with those of float32.

    Args:
        error: norm of the difference over norm of the answers; of the output where it is largest.
        top1: share of the items whose largest score is of the same class; None where no output is
            scores.
        items: how many.
    """

    error: float
    top1: float | None
    items: int


def scores_of(graph: Graph) -> str | None:
    """The output that is one row of scores, if there is one."""
    for name in graph.outputs:
        shape = graph.shape(name)
        if len(shape) >= 2 and shape[1] > 1 and count(shape) == shape[0] * shape[1]:
            return name
    return None


def agreement(
    made: Executable, want: Sequence[Answers], items: Sequence[Feeds], scores: str | None
) -> Agreement:
    """Hold a program's answers to those of float32."""
    sums: dict[str, NDArray[np.float64]] = {}
    same = 0
    for item, answers in zip(items, want, strict=True):
        found = made.run(item)
        for name, array in answers.items():
            sums[name] = sums.get(name, np.zeros(2)) + _norms(found[name], array)
        if scores is not None:
            same += int(np.argmax(found[scores]) == np.argmax(answers[scores]))
    error = max((_ratio(*pair) for pair in sums.values()), default=0.0)
    top1 = same / len(items) if scores is not None and items else None
    return Agreement(error, top1, len(items))
