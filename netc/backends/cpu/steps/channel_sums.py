"""Steps of sums over pixels: moments of batches, gradients of normalisation, of scales and biases.

All take their sums by runs of pixels first, into the workspace, and then over the runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from netc.backends.cpu import jit
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Argument, Step
from netc.backends.cpu.steps.outer import Side, TapShift
from netc.backends.cpu.sum_args import (
    RUN_SUMS,
    JoinArgs,
    NormalizeBackArgs,
    RunSumArgs,
    TapSumArgs,
)
from netc.backends.shared.views import Place, View, Workspace

_RUN_ELEMENTS = 1 << 13  # elements of a run, about: it stays in the first cache
_MIN_RUN_PIXELS, _MAX_RUN_PIXELS = 16, 512  # pixels of a run
_LANES = 16  # rows are whole vectors of the widest machine


class Average(NamedTuple):
    """How a running average moves: keep * old + share * (new + term)."""

    old: Place
    new: Place
    share: float
    term: float = 0.0


class SumTarget(NamedTuple):
    """Where sums go; distances in floats from a row and from a channel to the next."""

    place: Place
    row: int = 0
    channel: int = 1


class _Runs(NamedTuple):
    """The runs of a value's pixels in the workspace."""

    kind: str
    number: int
    per_unit: int
    row: int  # floats

    @property
    def size(self) -> int:
        """Floats of all of them."""
        return self.number * len(RUN_SUMS[self.kind]) * self.row

    def join_args(self, x: View, output: Place, **more: Argument) -> JoinArgs:
        return JoinArgs(
            sums=Workspace(),
            row=4 * self.row,
            runs=self.number,
            per_unit=self.per_unit,
            pixels=x.pixels,
            channels=x.c,
            output=output,
            **more,
        )


def sum_steps(
    name: str,
    x: View,
    y: View | None,
    target: SumTarget,
    machine: Machine,
    *,
    negative: bool = False,
) -> list[Step]:
    """For each channel the sum over all pixels of x, or of x * y.

    With ``negative`` of those x alone that are not above 0.
    """
    kind = "negative" if negative else "product"
    runs = _runs("sum" if y is None else kind, x)
    first = _run_step(name, runs, x, y)
    return [first, _added(name, (runs.number, 1, runs.row), x.c, target, machine)]


def batch_moments_steps(
    name: str, x: View, mean: Place, deviation: Place, eps: float, machine: Machine
) -> list[Step]:
    """Each channel's mean and sqrt(variance + eps) over the pixels of all images."""
    runs = _runs("moments", x)
    args = runs.join_args(x, mean, output2=deviation, eps=_float(eps))
    return [_run_step(name, runs, x), _join_step(name, runs, "moments", args, machine)]


def running_steps(
    name: str, x: View, keep: float, mean: Average, variance: Average, machine: Machine
) -> list[Step]:
    """The averages that a layer keeps, with the moments of a batch added."""
    runs = _runs("moments", x)
    args = runs.join_args(
        x,
        mean.new,
        output2=variance.new,
        first=mean.old,
        second=variance.old,
        eps=_float(variance.term),
        keep=_float(keep),
        share=_float(mean.share),
        share2=_float(variance.share),
    )
    return [_run_step(name, runs, x), _join_step(name, runs, "running", args, machine)]


def slope_steps(
    name: str, x: View, y: View, output: Place, eps: float, machine: Machine
) -> list[Step]:
    """For each channel the sum of y times x by its mean and deviation."""
    runs = _runs("both", x)
    args = runs.join_args(x, output, eps=_float(eps))
    return [_run_step(name, runs, x, y), _join_step(name, runs, "slope", args, machine)]


def normalize_back_steps(
    name: str,
    x: View,
    y: View,
    output: View,
    eps: float,
    factors: Argument | None,
    machine: Machine,
) -> list[Step]:
    """The gradient of x by its batch's mean and deviation.

    Args:
        name: the layer's.
        x: what was normalised.
        y: the gradient of the result.
        output: where the gradient of x goes.
        eps: added to the variance.
        factors: for each channel, by which the result was multiplied after; None for 1.
        machine: for which.
    """
    runs = _runs("both", x)
    # Behind the runs: four rows of constants for each channel, from the join to the last step.
    place = Workspace(runs.size)
    scaled = factors is not None
    args = runs.join_args(x, place, first=0 if factors is None else factors, eps=_float(eps))
    joined = _join_step(name, runs, "back", args, machine, scaled)
    per_unit = max(1, 2 * _RUN_ELEMENTS // x.c)
    back = NormalizeBackArgs(
        x.place,
        4 * x.ld,
        y.place,
        4 * y.ld,
        output.place,
        4 * output.ld,
        place,
        4 * runs.row,
        x.pixels,
        x.c,
        per_unit,
    )
    kernel = jit.spec("normalize_back", "normalize_back")
    units, memory = math.ceil(x.pixels / per_unit), _memory(runs)
    return [
        _run_step(name, runs, x, y),
        joined,
        Step(name, kernel, back, units, workspace=memory),
    ]


def tap_sum_steps(
    name: str,
    x: Side,
    y: View,
    taps: Sequence[TapShift],
    target: SumTarget,
    machine: Machine,
) -> list[Step]:
    """For each channel and tap the sum over y's pixels of y times x moved by the tap.

    Args:
        name: the layer's.
        x: over y's grid; its step is the stride.
        y: what is not moved.
        taps: of the window.
        target: its rows are the taps.
        machine: for which.
    """
    # Partial sums of each unit, [unit][tap][channel], added up by the second step.
    row = _row(y.c)
    per_unit = max(1, 4 * _RUN_ELEMENTS // (y.w * y.c))
    units = math.ceil(y.n * y.h / per_unit)
    table = np.array([number for tap in taps for number in _numbers(tap)], np.int64)
    args = TapSumArgs(
        input=x.place,
        input_image=4 * x.image,
        input_row=4 * x.row,
        input_step=4 * x.step,
        other=y.place,
        other_row=4 * y.w * y.ld,
        other_step=4 * y.ld,
        images=y.n,
        rows=y.h,
        per_unit=per_unit,
        channels=y.c,
        taps=len(taps),
        table=table,
        output=Workspace(),
        row=4 * row,
    )
    memory = 4 * units * len(taps) * row
    first = Step(name, jit.spec("channel_sums", "tap_products"), args, units, workspace=memory)
    return [first, _added(name, (units, len(taps), row), y.c, target, machine)]


def _numbers(tap: TapShift) -> tuple[int, ...]:
    rows, columns = tap.rows, tap.columns
    return 4 * tap.shift, rows.start, rows.stop, columns.start, columns.stop


def _runs(kind: str, x: View) -> _Runs:
    # Not a function of the threads: the runs decide the order of the sums.
    per_unit = min(max(_MIN_RUN_PIXELS, _RUN_ELEMENTS // x.c), _MAX_RUN_PIXELS)
    return _Runs(kind, math.ceil(x.pixels / per_unit), per_unit, _row(x.c))


def _row(channels: int) -> int:
    return -(-channels // _LANES) * _LANES


def _memory(runs: _Runs) -> int:
    """Bytes of the runs and of four rows more."""
    return 4 * (runs.size + 4 * runs.row)


def _run_step(name: str, runs: _Runs, x: View, y: View | None = None) -> Step:
    other: tuple[Argument, int] = (0, 0) if y is None else (y.place, 4 * y.ld)
    sizes = (x.pixels, x.c, runs.per_unit)
    args = RunSumArgs(x.place, 4 * x.ld, *other, *sizes, Workspace(), 4 * runs.row)
    kernel = jit.spec("channel_sums", "runs", kind=runs.kind)
    return Step(name, kernel, args, runs.number, workspace=_memory(runs))


def _join_step(
    name: str, runs: _Runs, kind: str, args: JoinArgs, machine: Machine, scaled: bool = False
) -> Step:
    kernel = jit.spec("channel_sums", "join", kind=kind, scaled=scaled)
    units = math.ceil(int(args.channels) / machine.width)
    return Step(name, kernel, args, units, workspace=_memory(runs))


def _added(
    name: str, rows: tuple[int, int, int], channels: int, target: SumTarget, machine: Machine
) -> Step:
    """The sums of all runs; ``rows`` are runs, rows of each, and floats of a row."""
    count, each, row = rows
    args = JoinArgs(
        sums=Workspace(),
        row=4 * row,
        runs=count,
        per_unit=4 * each * row,
        pixels=0,
        channels=channels,
        output=target.place,
        first=4 * target.row,
        second=4 * target.channel,
    )
    units = each * math.ceil(channels / machine.width)
    kernel = jit.spec("channel_sums", "add_runs")
    scratch = 4 * machine.width
    return Step(name, kernel, args, units, scratch, workspace=4 * count * each * row)


def _float(value: float) -> float:
    return float(np.float32(value))
