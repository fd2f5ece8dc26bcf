"""What happens in a run, in Caffe's order: a log, a table or a picture is made of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from netc.ir.graph import Array


@dataclass(frozen=True, slots=True)
class Started:
    """Solving begins (solver.cpp:289)."""

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
    """The rate of an update in a displayed iteration (sgd_solver.cpp:112)."""

    iteration: int
    rate: np.float32


@dataclass(frozen=True, slots=True)
class StepReached:
    """Policy multistep or plateau goes on by one (sgd_solver.cpp:46)."""

    iteration: int
    step: int


@dataclass(frozen=True, slots=True)
class Clipped:
    """Gradients were scaled down (sgd_solver.cpp:96)."""

    norm: np.float32
    limit: float
    scale: np.float32


@dataclass(frozen=True, slots=True)
class Stepped:
    """An iteration has ended: how many updates there were, and its loss, not smoothed."""

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
    """A test's means (solver.cpp:401-414); ``loss`` with test_compute_loss alone."""

    iteration: int
    net: int
    scores: Mapping[str, Array]
    weights: Mapping[str, float]
    loss: float | None


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
    """The end; ``early`` where it was asked to stop (solver.cpp:332)."""

    iteration: int
    early: bool


class Line(NamedTuple):
    """A line of a log: its severity, where Caffe's source prints it, and its text."""

    severity: str
    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Debug:
    """What `debug_info` asks for, of one pass (net.cpp, ForwardDebugInfo and its kin)."""

    iteration: int
    lines: tuple[Line, ...]


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
    """Listeners that call a function for the events of one kind."""

    def listener(kind: type, function: Callable[..., None]) -> Listener:
        return lambda event: function(event) if isinstance(event, kind) else None

    kinds = (Stepped, Tested, Snapshotted)
    pairs = zip(kinds, functions, strict=True)
    return [listener(kind, function) for kind, function in pairs if function is not None]
