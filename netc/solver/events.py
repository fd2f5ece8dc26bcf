"""The events of a run, in Caffe's order; logs, tables and plots are made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from netc.ir.graph import Array


@dataclass(frozen=True, slots=True)
class Started:
    """Solving begins (solver.cpp:289): the net's name, the lr_policy, the first iteration."""

    net: str
    policy: str
    iteration: int


@dataclass(frozen=True, slots=True)
class Displayed:
    """An iteration that is displayed (solver.cpp:235-263).

    ``loss`` is smoothed. ``outputs`` are those of the iteration's last pass, by name in
    alphabetical order, ``weights`` their weights in the loss.
    """

    iteration: int
    loss: float
    outputs: Mapping[str, Array]
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RateUsed:
    """The learning rate of the update in a displayed iteration (sgd_solver.cpp:112)."""

    iteration: int
    rate: np.float32


@dataclass(frozen=True, slots=True)
class StepReached:
    """Policy multistep or plateau advances to its next step (sgd_solver.cpp:46)."""

    iteration: int
    step: int


@dataclass(frozen=True, slots=True)
class Clipped:
    """Gradients were clipped: their L2 norm, clip_gradients, and the factor (sgd_solver.cpp:96)."""

    norm: np.float32
    limit: float
    scale: np.float32


@dataclass(frozen=True, slots=True)
class Stepped:
    """An iteration has ended: the number of updates so far, and its loss, not smoothed."""

    iteration: int
    loss: np.float32


@dataclass(frozen=True, slots=True)
class Testing:
    """A test begins (solver.cpp:347).

    ``ignored`` are the layers of the TRAIN net whose names the TEST net lacks (net.cpp:677).
    """

    iteration: int
    net: int
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tested:
    """A test's means (solver.cpp:401-414); ``loss`` with test_compute_loss alone.

    ``classes`` are average precisions by output and class, None of a class of which nothing was
    found; ``shows_classes`` is the solver's `show_per_class_result`.
    """

    iteration: int
    net: int
    scores: Mapping[str, Array]
    weights: Mapping[str, float]
    loss: float | None
    classes: Mapping[str, Mapping[int, float | None]] = field(default_factory=dict)
    shows_classes: bool = False


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A test that ended without a result, since the run is to stop (solver.cpp, Test)."""

    iteration: int
    net: int


@dataclass(frozen=True, slots=True)
class Snapshotted:
    """A snapshot was written: its weights and its state (solver.cpp:464)."""

    iteration: int
    weights: str
    state: str


@dataclass(frozen=True, slots=True)
class LastLoss:
    """The loss of one more forward pass at the end (solver.cpp:320-327)."""

    iteration: int
    loss: float


@dataclass(frozen=True, slots=True)
class Finished:
    """Solving has ended; ``early`` where ``stop`` was called (solver.cpp:332)."""

    iteration: int
    early: bool


class LogLine(NamedTuple):
    """A line of a log: its severity, its place in Caffe's source ("file:line"), and its text."""

    severity: str
    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Debug:
    """The lines of `debug_info` for one pass (net.cpp, ForwardDebugInfo, BackwardDebugInfo ...)."""

    iteration: int
    lines: tuple[LogLine, ...]


Event = (
    Started
    | Debug
    | Displayed
    | RateUsed
    | StepReached
    | Clipped
    | Stepped
    | Testing
    | Tested
    | Interrupted
    | Snapshotted
    | LastLoss
    | Finished
)


Listener = Callable[[Event], None]


def callbacks(*functions: Callable[..., None] | None) -> list[Listener]:
    """Listeners for Stepped, Tested and Snapshotted that call these functions; None for none."""

    def listener(kind: type, function: Callable[..., None]) -> Listener:
        return lambda event: function(event) if isinstance(event, kind) else None

    kinds = (Stepped, Tested, Snapshotted)
    pairs = zip(kinds, functions, strict=True)
    return [listener(kind, function) for kind, function in pairs if function is not None]
