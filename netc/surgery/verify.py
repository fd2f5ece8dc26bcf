"""Compares a net with another program's results, blob by blob."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from netc.analysis.feeds import drawn_inputs
from netc.backends.base import Options
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcError
from netc.frontend import with_outputs
from netc.infer import inferred
from netc.ir.graph import Array, Graph
from netc.ir.types import show
from netc.passes.pipeline import chosen
from netc.surgery.loading import LoadedState
from netc.surgery.opponents import Opponent
from netc.surgery.proof import TOLERANCE, Error, departure, error_of


@dataclass(frozen=True, slots=True, eq=False)
class Verification:
    """The result of a comparison.

    Attributes:
        graph: the net's graph.
        errors: of every common blob, in the order in which the net makes them.
        apart: blob -> why it was not compared: only one side has it, or the shapes differ.
        feeds: input blob -> array.
        seed: of the random inputs.
        tolerance: the largest relative error allowed.
        own, other: value -> the array of each side, for what was compared.
    """

    graph: Graph
    errors: tuple[Error, ...]
    apart: Mapping[str, str]
    feeds: Mapping[str, Array]
    seed: int
    tolerance: float
    own: Mapping[str, Array]
    other: Mapping[str, Array]

    @property
    def departed(self) -> Error | None:
        """The first blob whose error exceeds the tolerance; None if there is none."""
        return departure(self.errors, self.tolerance)

    @property
    def equal(self) -> bool:
        """Whether all blobs are equal within the tolerance."""
        return self.departed is None


def verify_against(
    net: LoadedState,
    opponent: Opponent,
    *,
    feeds: Mapping[str, Array] | None = None,
    seed: int = 1,
    tolerance: float = TOLERANCE,
    backend: str = "cpu",
) -> Verification:
    """Run both on the same inputs and compare every blob that both have.

    Args:
        net: the net with its weights.
        opponent: the other program, or its saved results.
        feeds: input blob -> array; by default the opponent's own, else random.
        seed: of the random inputs.
        tolerance: the largest error allowed, relative to a blob's largest element.
        backend: netc's backend.

    Raises:
        NetcError: nothing-common, where no blob has the same name; other-failed; what running
            raises.
    """
    graph = net.graph
    given = {**opponent.inputs(), **(feeds or {})}
    graph, fed = _fed(graph, given, seed)
    theirs = opponent.blobs(graph, fed)
    if not theirs:
        message = "there is no blob that both have under one name"
        raise NetcError(Diagnostic("nothing-common", message))
    ours = _blobs(graph, fed, tuple(theirs), backend)
    makers, errors = graph.producers, []
    apart = {name: "the other has none" for name in makers if name not in theirs}
    for name in (name for name in makers if name in theirs):
        if ours[name].size != theirs[name].size or _plain(ours[name]) != _plain(theirs[name]):
            shapes = show(ours[name].shape), show(theirs[name].shape)
            apart[name] = f"it is {shapes[0]} here and {shapes[1]} there"
            continue
        there = theirs[name].reshape(ours[name].shape)
        errors.append(error_of(name, there, ours[name], makers[name].name))
    if not errors:
        message = f"no blob is of one shape in both: `{next(iter(theirs))}`: " + next(
            apart[name] for name in theirs
        )
        raise NetcError(Diagnostic("nothing-common", message))
    return Verification(graph, tuple(errors), apart, fed, seed, tolerance, ours, theirs)


def _plain(array: Array) -> tuple[int, ...]:
    return tuple(size for size in array.shape if size != 1)


def _fed(graph: Graph, given: Mapping[str, Array], seed: int) -> tuple[Graph, dict[str, Array]]:
    """The graph for the shapes that are given, and all inputs by blob."""
    own = {name: given[blob] for blob, name in graph.input_blobs.items() if blob in given}
    if any(array.shape != graph.shape(name) for name, array in own.items()):
        graph = inferred(graph, {name: array.shape for name, array in own.items()})
    fed = drawn_inputs(graph, own, seed)
    return graph, {graph.values[name].blob: array for name, array in fed.items()}


def _blobs(
    graph: Graph, fed: Mapping[str, Array], names: tuple[str, ...], backend: str
) -> dict[str, Array]:
    net = CompiledNet(with_outputs(graph, names), backend, Options(chosen(True)))
    with net:
        return {name: np.asarray(array, np.float32) for name, array in net(fed).items()}


def array_hash(array: Array) -> str:
    """The SHA-256 of an array's shape and its little-endian float32 elements, in hexadecimal."""
    digest = hashlib.sha256(repr(tuple(array.shape)).encode())
    digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    return digest.hexdigest()
