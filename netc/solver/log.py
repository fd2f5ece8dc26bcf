"""A run as Caffe's log: the same lines and digits, so that existing log parsers work.

A line is ``I1128 20:40:32.583240 18108 solver.cpp:239] text``: severity, month and day, time,
thread, and the place in Caffe's source where it prints such a line. Numbers have six significant
digits, as C++ streams print them. parse_log.py (BVLC/caffe tools/extra) reads it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import singledispatchmethod
from typing import TextIO

import numpy as np

from netc.ir.graph import Array
from netc.printable import printable
from netc.solver import events
from netc.sources.paths import ResolvedPath

Clock = Callable[[], float]
Line = tuple[str, str] | tuple[str, str, str]  # place, text, and a severity other than I


class CaffeLog:
    """Writes a run's events as log lines; a listener of a solver.

    Args:
        stream: the text stream to write to.
        display: the solver's `display`, iterations between displayed losses.
        clock: returns seconds; used for the printed speed and each line's time.
    """

    def __init__(self, stream: TextIO, display: int = 0, clock: Clock = time.time) -> None:
        self._stream, self._display, self._clock = stream, display, clock
        self._last = (clock(), 0)

    def __call__(self, event: events.Event) -> None:
        """Write an event's lines."""
        if isinstance(event, events.Debug):
            for severity, place, text in event.lines:
                self.line(place, text, severity)
            return
        for found in self._lines(event):
            self.line(*found)

    def line(self, place: str, text: str, severity: str = "I") -> None:
        """Write one line; ``place`` is "file:line" of Caffe's source."""
        now = datetime.fromtimestamp(self._clock())
        thread = threading.get_native_id()
        stamp = now.strftime("%m%d %H:%M:%S.%f")
        shown = "\t".join(map(printable, text.split("\t")))  # `caffe time` has tabs
        self._stream.write(f"{severity}{stamp} {thread:5d} {place}] {shown}\n")
        self._stream.flush()

    @singledispatchmethod
    def _lines(self, event: events.Event) -> Iterator[Line]:
        raise TypeError(f"no lines for {event!r}")

    @_lines.register
    def _(self, event: events.Started) -> Iterator[Line]:
        self._last = (self._clock(), event.iteration)
        yield "solver.cpp:289", f"Solving {event.net}"
        yield "solver.cpp:290", f"Learning Rate Policy: {event.policy}"

    @_lines.register
    def _(self, event: events.Displayed) -> Iterator[Line]:
        before, done = self._last
        self._last = (self._clock(), event.iteration)
        seconds, number = max(self._last[0] - before, 1e-9), event.iteration - done
        speed = f"{number / seconds:g} iter/s, {seconds:g}s/{self._display} iters"
        loss = f"loss = {event.loss:g}"
        yield "solver.cpp:239", f"Iteration {event.iteration} ({speed}), {loss}"
        yield from outputs("solver.cpp:258", "    Train net", event.outputs, event.weights)

    @_lines.register
    def _(self, event: events.RateUsed) -> Iterator[Line]:
        yield "sgd_solver.cpp:112", f"Iteration {event.iteration}, lr = {event.rate:g}"

    @_lines.register
    def _(self, event: events.StepReached) -> Iterator[Line]:
        text = f"MultiStep Status: Iteration {event.iteration}, step = {event.step}"
        yield "sgd_solver.cpp:50", text

    @_lines.register
    def _(self, event: events.Clipped) -> Iterator[Line]:
        yield (
            "sgd_solver.cpp:98",
            f"Gradient clipping: scaling down gradients (L2 norm {event.norm:g} > "
            f"{event.limit:g}) by scale factor {event.scale:g}",
        )

    @_lines.register
    def _(self, event: events.Stepped) -> Iterator[Line]:
        yield from ()

    @_lines.register
    def _(self, event: events.Testing) -> Iterator[Line]:
        yield "solver.cpp:347", f"Iteration {event.iteration}, Testing net (#{event.net})"
        for name in event.ignored:
            yield "net.cpp:677", f"Ignoring source layer {name}"

    @_lines.register
    def _(self, event: events.Tested) -> Iterator[Line]:
        if event.loss is not None:
            yield "solver.cpp:401", f"Test loss: {event.loss:g}"
        for classes in event.classes.values():
            yield from _class_lines(classes, event.shows_classes)
        yield from outputs("solver.cpp:414", "    Test net", event.scores, event.weights)

    @_lines.register
    def _(self, event: events.Interrupted) -> Iterator[Line]:
        yield "solver.cpp:395", "Test interrupted."

    @_lines.register
    def _(self, event: events.Snapshotted) -> Iterator[Line]:
        kind = "HDF5" if event.weights.endswith(".h5") else "binary proto"
        yield "solver.cpp:464", f"Snapshotting to {kind} file {event.weights}"
        place = "sgd_solver.cpp:296" if kind == "HDF5" else "sgd_solver.cpp:284"
        yield place, f"Snapshotting solver state to {kind} file {event.state}"

    @_lines.register
    def _(self, event: events.LastLoss) -> Iterator[Line]:
        yield "solver.cpp:327", f"Iteration {event.iteration}, loss = {event.loss:g}"

    @_lines.register
    def _(self, event: events.Finished) -> Iterator[Line]:
        if event.early:
            yield "solver.cpp:316", "Optimization stopped early."
        else:
            yield "solver.cpp:332", "Optimization Done."


def log_found(log: CaffeLog, found: Sequence[ResolvedPath]) -> None:
    """Write a line for each file that the texts name: Caffe would have looked in one place only."""
    for one in dict.fromkeys(found):
        log.line("io.cpp:1", str(one))


def _class_lines(classes: Mapping[int, float | None], all_of_them: bool) -> Iterator[Line]:
    """Average precisions of classes (weiliu89/caffe@ssd solver.cpp:524 and 540)."""
    for label, precision in classes.items():
        if precision is None:
            yield "solver.cpp:524", f"Missing true_pos for label: {label}", "W"
        elif all_of_them:
            yield "solver.cpp:540", f"class{label}: {precision:g}"


def outputs(
    place: str, net: str, arrays: Mapping[str, Array], weights: Mapping[str, float]
) -> Iterator[Line]:
    """A line for each element of each output (solver.cpp:244-262)."""
    number = 0
    for name, array in arrays.items():
        weight = np.float32(weights.get(name, 0))
        for value in array.reshape(-1):
            said = f" (* {weight:g} = {weight * value:g} loss)" if weight else ""
            yield place, f"{net} output #{number}: {name} = {value:g}{said}"
            number += 1
