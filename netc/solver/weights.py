"""The initial weights of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from netc.driver import Weights
from netc.solver.read import SolverText
from netc.sources.paths import find


def solver_weights(text: SolverText, given: Weights | Sequence[Weights]) -> tuple[Weights, ...]:
    """The weights given, else the files that the solver's `weights` names (solver.cpp:58-68).

    Each `weights` may be a comma-separated list; later files override earlier ones.

    Raises:
        NetcError: file-not-found, with every place that was looked at.
    """
    if given is not None:
        return _listed(given)
    folder = text.path.parent if text.path else None
    found: list[Weights] = []
    for index, entry in enumerate(text.message.get("weights")):
        span = text.message.span_of("weights", index)
        found += [find(name.strip(), folder, "weights", span) for name in entry.split(",")]
    return tuple(found)


def _listed(given: Any) -> tuple[Weights, ...]:
    if isinstance(given, str):
        return tuple(name.strip() for name in given.split(","))
    if isinstance(given, (os.PathLike, Mapping)):
        return (given,)
    return tuple(given)
