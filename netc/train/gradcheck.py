"""Gradients against finite differences, in float64, by the definitions of layers.

For an objective L, the weighted sum of a net's losses and of what arrives at its outputs, the
gradient by an element x is compared with (L(x + h) - L(x - h)) / 2h. Where that does not agree the
step is made smaller; where the slopes to the left and to the right of x differ even then, x lies on
a kink (a ReLU at 0, a tie of maxima), has no derivative, and is counted as such.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.gradients.catalog import GRADIENTS
from netc.train.differentiate import differentiate
from netc.train.double import Double, DoubleRun
from netc.train.generator import KEY
from netc.train.joint import Joint
from netc.train.wanted import owner_of

_STEPS = (1e-5, 1e-7)  # of x, relative where x is greater than 1
_FLOOR = 1e-2  # errors count relative to this part of the largest gradient of an array at least


@dataclass(frozen=True, slots=True)
class Checked:
    """One blob's or parameter's gradient.

    Args:
        name: of the blob, or ``layer/index``.
        kind: "blob" or "parameter".
        elements: how many were compared.
        kinks: how many besides have no derivative.
        error: the largest, relative to the larger of both numbers.
        at: the index of that element.
        gradient: what the layers' gradients gave there.
        difference: what finite differences gave there.
        ok: whether the error is within the tolerance.
        note: why it need not be, where Caffe's gradient is not the derivative.
    """

    name: str
    kind: str
    elements: int
    kinks: int
    error: float
    at: tuple[int, ...]
    gradient: float
    difference: float
    ok: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class GradientCheck:
    """All that was compared; true where all is well."""

    rows: tuple[Checked, ...]
    tolerance: float

    @property
    def ok(self) -> bool:
        """True if every gradient agrees, or need not."""
        return all(row.ok or row.note for row in self.rows)

    def __bool__(self) -> bool:
        return self.ok

    def to_json(self) -> dict[str, object]:
        """The same as plain values."""
        return {
            "ok": self.ok,
            "tolerance": self.tolerance,
            "gradients": [asdict(row) for row in self.rows],
        }


def check_graph(
    graph: Graph,
    feeds: Mapping[str, object],
    seeds: Mapping[str, object],
    *,
    elements: int = 24,
    tolerance: float = 1e-4,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> GradientCheck:
    """Every gradient of a graph against finite differences.

    Args:
        graph: with parameters that have arrays, no passes run.
        feeds: each input value's array.
        seeds: value -> the gradient that arrives there, in its shape.
        elements: how many of an array are compared at most, chosen by ``seed``.
        tolerance: the largest relative error.
        seed: of the choice.
        progress: called as (done, total, name) before each array, and at the end.

    Raises:
        NetcError: no-gradient, no-loss: see :func:`netc.train.differentiate.differentiate`.
    """
    owners = dict.fromkeys(owner_of(graph, n) for node in graph.nodes for n in node.parameters)
    blobs = [v for v in graph.inputs if v != KEY]
    joint = differentiate(graph, parameters=tuple(owners), reached=blobs, seeds=tuple(seeds))
    given = {joint.seeds[v]: array for v, array in seeds.items() if v in joint.seeds}
    backward = DoubleRun(joint.graph, {**feeds, **given})
    check = _Check(graph, joint, DoubleRun(graph, feeds), backward, dict(seeds), tolerance)
    rng = np.random.default_rng(seed)
    made = [(v, "blob", joint.values[v]) for v in blobs if v in joint.values]
    made += [(name, "parameter", value) for name, value in joint.parameters.items()]
    tell = progress or (lambda done, total, name: None)
    rows = []
    for done, (name, kind, value) in enumerate(made):
        tell(done, len(made), name)
        rows.append(check.compare(name, kind, _some(backward, value, elements, rng)))
    tell(len(made), len(made), "")
    return GradientCheck(tuple(rows), tolerance)


def _some(run: DoubleRun, value: str, elements: int, rng: np.random.Generator) -> list[int]:
    """Places of elements to compare: all of few, else a choice."""
    size = run.values[value].size
    if size <= elements:
        return list(range(size))
    return sorted(rng.choice(size, elements, replace=False).tolist())


class _Moved(NamedTuple):
    """An element that is moved, the nodes behind it, and the objective where it is not."""

    name: str
    array: Double
    place: int
    after: list[Node]
    middle: float


@dataclass
class _Check:
    """A graph's run, and its joint graph's, between which gradients are compared."""

    graph: Graph
    joint: Joint
    forward: DoubleRun
    backward: DoubleRun
    seeds: dict[str, Any]
    tolerance: float

    def compare(self, name: str, kind: str, places: Sequence[int]) -> Checked:
        """One array's gradient."""
        parameter = kind == "parameter"
        made = self.joint.parameters[name] if parameter else self.joint.values[name]
        array = self.forward.parameters[name] if parameter else self.forward.values[name]
        gradient = self.backward.values[made].reshape(-1)
        floor = max(_FLOOR * float(np.abs(gradient).max(initial=0)), 1e-6)
        worst = (-1.0, 0, 0.0, 0.0)
        kinks = 0
        after = self.forward.after(name)
        middle = self._objective(name, array, after)
        for place in places:
            moved = _Moved(name, array, place, after, middle)
            slope = self._slope(moved, float(gradient[place]), floor)
            if slope is None:
                kinks += 1
                continue
            error = _error(float(gradient[place]), slope, floor)
            worst = max(worst, (error, place, float(gradient[place]), slope))
        error, place, own, slope = worst
        at = tuple(int(i) for i in np.unravel_index(place, array.shape)) if array.shape else ()
        shown = name if parameter else self.graph.values[name].blob
        return Checked(
            shown,
            kind,
            len(places) - kinks,
            kinks,
            max(error, 0.0),
            at,
            own,
            slope,
            error <= self.tolerance,
            self._note(name),
        )

    def _slope(self, moved: _Moved, gradient: float, floor: float) -> float | None:
        """The derivative by an element by finite differences; None on a kink."""
        slope = 0.0
        for step in _STEPS:
            h = step * max(1.0, abs(float(moved.array.reshape(-1)[moved.place])))
            right, left = self._beside(moved, h), self._beside(moved, -h)
            slope = (right - left) / (2 * h)
            if _error(gradient, slope, floor) <= self.tolerance:
                return slope
            sides = ((right - moved.middle) / h, (moved.middle - left) / h)
        return None if _error(*sides, floor) > 10 * self.tolerance else slope

    def _beside(self, moved: _Moved, by: float) -> float:
        """The objective when an element is moved."""
        flat = moved.array.reshape(-1)
        old = flat[moved.place]
        flat[moved.place] = old + by
        found = self._objective(moved.name, moved.array, moved.after)
        flat[moved.place] = old
        return found

    def _objective(self, name: str, array: Double, after: list[Any]) -> float:
        values = dict(self.forward.values)
        if name in values:
            values[name] = array
        self.forward.run(after, values)
        total = 0.0
        for value, weight in self.graph.losses.items():
            if value not in self.seeds:
                total += weight * float(values[value].sum())
        for value, arriving in self.seeds.items():
            total += float((values[value] * arriving).sum())
        return total

    def _note(self, name: str) -> str:
        """Which layers above have Caffe's gradients, which are no derivatives."""
        found = []
        for node in self.forward.after(name):
            rule = GRADIENTS.get(node.op)
            why = rule.inexact(self.graph, node) if rule and rule.inexact else None
            if node.name in self.joint.overwritten:
                why = "Caffe reads its top when a layer in place has overwritten it"
            if why:
                found.append(f"{node.name}: {why}")
        return "; ".join(found)


def _error(one: float, other: float, floor: float) -> float:
    if not (np.isfinite(one) and np.isfinite(other)):
        return float("inf")
    return abs(one - other) / max(abs(one), abs(other), floor)
