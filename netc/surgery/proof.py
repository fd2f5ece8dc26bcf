"""Checks that two nets are equal: runs both on the same inputs and compares every common blob."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from netc.analysis.feeds import drawn_inputs
from netc.backends.reference import run
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array, Graph
from netc.ir.types import Shape
from netc.ops.catalog import CATALOG

TOLERANCE = 1e-4
"""Of the largest number of a blob: what float32 sums in another order may differ by."""


ROUNDING = 1e-3
"""The same where weights were multiplied and rounded anew, layer upon layer."""


@dataclass(frozen=True, slots=True)
class Error:
    """The error between two arrays of one blob.

    Attributes:
        blob: the blob's name.
        shape: the shape of both arrays.
        largest: the largest absolute difference; infinite where one element is NaN or infinite
            and the other is not.
        scale: the largest absolute element of the first array.
        layer: the layer that makes the blob.
    """

    blob: str
    shape: Shape
    largest: float
    scale: float
    layer: str = ""

    @property
    def relative(self) -> float:
        """``largest`` over ``scale``."""
        if self.largest == 0:
            return 0.0
        return self.largest / self.scale if self.scale > 0 else float("inf")


def error_of(blob: str, first: Array, second: Array, layer: str = "") -> Error:
    """The error between two arrays of the same shape."""
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    finite = np.isfinite(one) & np.isfinite(other)
    same = finite | (one == other) | (np.isnan(one) & np.isnan(other))
    gaps = np.abs(np.where(finite, one, 0) - np.where(finite, other, 0))
    largest = float(gaps.max(initial=0.0)) if same.all() else float("inf")
    scale = float(np.abs(np.where(np.isfinite(one), one, 0)).max(initial=0.0))
    return Error(blob, tuple(one.shape), largest, scale, layer)


def departure(errors: Iterable[Error], tolerance: float) -> Error | None:
    """The first blob whose relative error exceeds the tolerance; None if there is none."""
    return next((error for error in errors if not error.relative <= tolerance), None)


def proven(
    before: Graph,
    after: Graph,
    *,
    pairs: Mapping[str, str] | None = None,
    feeds: Mapping[str, Array] | None = None,
    tolerance: float = TOLERANCE,
    seed: int = 1,
) -> tuple[Error, ...]:
    """The errors of all common blobs; raises if one exceeds the tolerance.

    Args:
        before: the reference graph.
        after: the graph made from it, with the same inputs.
        pairs: value of ``before`` -> value of ``after``; by default those with the same name.
            Their shapes may differ by axes of size 1.
        feeds: input -> array; missing ones are random.
        tolerance: the largest relative error allowed.
        seed: of the random inputs.

    Raises:
        NetcError: not-equal, naming the first blob that differs; what running raises.
    """
    pairs = common_values(before, after) if pairs is None else pairs
    chosen = _chosen(before)
    if not chosen.issuperset(pairs):
        pairs = {value: other for value, other in pairs.items() if value not in chosen}
    fed = drawn_inputs(before, feeds or {}, seed)
    errors = compared(before, after, pairs, fed)
    worst = departure(errors, tolerance)
    if worst is not None:
        raise NetcError(
            Diagnostic(
                "not-equal",
                f"the new net is not the old one: blob `{worst.blob}` differs by "
                f"{worst.largest:.3g}, {worst.relative:.2g} of its largest number, and "
                f"{tolerance:g} is allowed",
                help=("nothing was written; please report the net, or give a --tolerance",),
            )
        )
    return errors


def _chosen(graph: Graph) -> set[str]:
    """Values of layers that choose boxes or rows, which a last bit turns, and what follows."""
    found: set[str] = set()
    for node in graph.nodes:
        if CATALOG[node.op].dynamic or found.intersection(node.inputs):
            found.update(node.outputs)
    return found


def compared(
    before: Graph, after: Graph, pairs: Mapping[str, str], fed: Mapping[str, Array]
) -> tuple[Error, ...]:
    """The errors of pairs of values, in the order in which the first graph makes them."""
    order = [value for node in before.nodes for value in node.outputs if value in pairs]
    first = run(before, fed, order)
    inputs = before.input_blobs
    fed = {name: fed[inputs[after.values[name].blob]] for name in after.inputs}
    second = run(after, fed, [pairs[value] for value in order])
    makers = before.producers
    return tuple(
        error_of(
            before.values[value].blob if value == before.values[value].blob else value,
            first[value],
            second[pairs[value]].reshape(first[value].shape),
            makers[value].name,
        )
        for value in order
    )


def common_values(before: Graph, after: Graph) -> dict[str, str]:
    """The values with the same name in both graphs, and the same shape but for axes of size 1."""
    return {
        name: name
        for name in before.producers
        if name in after.producers and _plain(before, name) == _plain(after, name)
    }


def _plain(graph: Graph, name: str) -> Shape:
    return tuple(size for size in graph.shape(name) if size != 1)


def describe_errors(errors: Sequence[Error]) -> str:
    """``12 blobs equal within 3e-07``."""
    worst = max((error.relative for error in errors), default=0.0)
    blobs = "1 blob" if len(errors) == 1 else f"{len(errors)} blobs"
    return f"{blobs} equal" + (f" within {worst:.1g}" if worst else ", bit for bit")
