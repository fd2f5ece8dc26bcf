"""Listeners that act on a run: keep the best weights, stop early, write extra snapshots."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netc.boundary import strangers_bytes
from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.solver import events
from netc.solver.net_file import save_net
from netc.solver.rows import flattened
from netc.solver.snapshots import damaged_beside
from netc.solver.solver import Solver


@dataclass
class Best:
    """Keeps the weights of the best test, and stops early after tests without improvement.

    A run that goes on from a snapshot knows the best test and how many came after it, unless that
    was of another output or its weights are no longer there.

    Args:
        solver: the solver.
        score: an output of TEST net 0. Lower is better for losses (outputs with a loss weight, or
            with "loss" or "error" in their name), higher for all others.
        path: the weights file to write; empty to keep none.
        patience: tests without improvement after which the run stops; None never stops it.
    """

    solver: Solver
    score: str
    path: str = ""
    patience: int | None = None
    value: float | None = None
    iteration: int = 0
    _since: int = 0

    def __post_init__(self) -> None:
        """Go on from what a snapshot keeps."""
        kept: Any = self.solver.kept.get("best")
        if kept is None or (self.path and not Path(self.path).exists()):
            return
        with strangers_bytes(lambda error: damaged_beside(f"{self.solver.prefix}_iter_...")):
            if kept["score"] == self.score:
                self.value, self.iteration = float(kept["value"]), int(kept["iteration"])
                self._since = int(kept["since"])

    def _keep(self) -> None:
        self.solver.kept["best"] = {
            "score": self.score,
            "value": self.value,
            "iteration": self.iteration,
            "since": self._since,
        }

    def __call__(self, event: events.Event) -> None:
        """Look at a test."""
        if not isinstance(event, events.Tested) or event.net != 0:
            return
        scores = flattened(event.scores)
        if self.score not in scores:
            message = f"test net 0 has no output `{self.score}`"
            raise NetcError(
                Diagnostic("unknown-output", message, help=did_you_mean(self.score, scores))
            )
        value = float(scores[self.score])
        if self.value is None or self._is_better(value, self.value, event):
            self.value, self.iteration, self._since = value, event.iteration, 0
            self._keep()
            if self.path:
                net = self.solver.choice
                save_net(self.path, net.message, net.state, dict(self.solver.params))
            return
        self._since += 1
        self._keep()
        if self.patience is not None and self._since >= self.patience:
            self.solver.stop()

    def _is_better(self, new: float, old: float, event: events.Tested) -> bool:
        name = self.score.partition("[")[0]
        lower = bool(event.weights.get(name)) or "loss" in name or "error" in name
        return new < old if lower else new > old


@dataclass
class SnapshotsAt:
    """Writes snapshots after these iterations, besides those of the solver's `snapshot`."""

    solver: Solver
    iterations: Collection[int]

    def __call__(self, event: events.Event) -> None:
        """Look at an iteration that has ended."""
        if isinstance(event, events.Stepped) and event.iteration in self.iterations:
            self.solver.snapshot()
