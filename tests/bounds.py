"""How far results may be apart, by the size of what is summed and not of what is left of it.

Two ways to compute a net agree where each rounds its terms differently: terms that cancel leave
little, and the difference of two ways may be as large as that. So each value's bound follows from
its node's definition: what comes out of it when what goes in, its weights and its numbers are off
by a small part of their own sizes, plus what came in with a bound already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from netc.backends.reference import parameter_array, run_definition
from netc.ir.graph import Graph, Node

PART = 1e-5  # some 100 times float32's rounding: sums of some thousand terms, in any order
# Sums of products of inputs and weights, whose terms are what absolute values give.
_PRODUCTS = frozenset(
    {"Convolution", "Deconvolution", "InnerProduct", "LocallyConnected", "Local", "Fused"}
)


def error_bounds(graph: Graph, feeds: Mapping[str, Any], part: float = PART) -> dict[str, Any]:
    """Value -> how far each of its elements may be off, as float64; 0 where it is no number.

    Args:
        graph: with parameters that have arrays.
        feeds: of each input value; these are exact.
        part: relative error of each number that a node reads.
    """
    values = {name: np.asarray(array) for name, array in feeds.items()}
    bounds: dict[str, Any] = {name: np.zeros(array.shape) for name, array in values.items()}
    for node in graph.nodes:
        inputs = [values[name] for name in node.inputs]
        weights = [parameter_array(graph, name) for name in node.parameters]
        outputs = [np.asarray(a) for a in run_definition(node, inputs, weights)]
        come = [bounds[name] + part * _size(x) for name, x in zip(node.inputs, inputs, strict=True)]
        made = _moved(node, inputs, weights, outputs, come, part)
        values.update(zip(node.outputs, outputs, strict=True))
        bounds.update(zip(node.outputs, made, strict=True))
    return bounds


def _size(array: Any) -> Any:
    """Absolute values in float64, with 0 for what is no number."""
    return np.nan_to_num(np.abs(array.astype(np.float64)), nan=0, posinf=0, neginf=0)


def _moved(
    node: Node, inputs: list[Any], weights: list[Any], outputs: list[Any], come: list[Any],
    part: float,
) -> list[Any]:  # fmt: skip
    if node.op in _PRODUCTS:
        sizes = [_size(w) for w in weights]
        return [
            np.asarray(run_definition(node, come, sizes)[0])
            + part * np.asarray(run_definition(node, list(map(_size, inputs)), sizes)[0])
        ]
    made = [part * _size(array) for array in outputs]
    for changed in _changes(node, inputs, weights, come, part):
        for index, (was, now) in enumerate(zip(outputs, run_definition(*changed), strict=True)):
            if np.shape(now) == was.shape:
                made[index] = made[index] + _size(np.asarray(now, np.float64) - was)
    return made


def _changes(
    node: Node, inputs: list[Any], weights: list[Any], come: list[Any], part: float
) -> Iterator[tuple[Node, Sequence[Any], Sequence[Any]]]:
    """The node with one thing that it reads larger, then smaller: of each the effect is added."""
    for sign in (1, -1):
        for i, error in enumerate(come):
            yield node, _with(inputs, i, inputs[i] + sign * error), weights
        for i, array in enumerate(weights):
            yield node, inputs, _with(weights, i, array + sign * part * _size(array))
        for params in _off(node.params, 1 + sign * part):
            yield replace(node, params=params), inputs, weights


def _with(arrays: list[Any], index: int, array: Any) -> list[Any]:
    dtype = arrays[index].dtype
    return [*arrays[:index], array.astype(dtype), *arrays[index + 1 :]]


def _off(params: Any, factor: float) -> Iterator[Any]:
    """Parameters with one of their numbers changed."""
    if is_dataclass(params) and not isinstance(params, type):
        for item in fields(params):
            value = getattr(params, item.name)
            if isinstance(value, float):
                yield replace(params, **{item.name: value * factor})


def within(got: Any, want: Any, bound: Any, what: str = "") -> None:
    """Assert that ``got`` is ``want`` up to a bound, and equal where that is no number."""
    assert got.shape == want.shape, what
    usual = np.isfinite(want) & (want > np.finfo(np.float32).min)
    np.testing.assert_array_equal(got[~usual], want[~usual], err_msg=what)
    error = np.abs(got[usual].astype(np.float64) - want[usual])
    room = np.broadcast_to(bound, want.shape)[usual] + np.finfo(np.float32).tiny
    worst = float((error / room).max(initial=0))
    assert worst <= 1, f"{what}: {worst:.2f} of what rounding explains"
