"""Measures weight gradients on the device, netc's kernel beside libraries' algorithms.

As for products (netc.backends.cuda.tuning.tuner): an algorithm is measured in memory of its own,
with noise for values, and counts only if its sums are those that float64 gives on the host.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netc.backends.base import Progress
from netc.backends.cuda.device import Device, DeviceError
from netc.backends.cuda.emission import CudaEmitContext
from netc.backends.cuda.libraries.operation import LibraryAlgorithm
from netc.backends.cuda.products.launches import ChooseGradient
from netc.backends.cuda.products.outer import (
    GradientTarget,
    Outer,
    gradient_launch,
    gradient_operation,
)
from netc.backends.cuda.program import (
    DeviceContext,
    DeviceProgram,
    DeviceWeights,
    Launch,
    UndecidedGradient,
)
from netc.backends.cuda.resident import Residents
from netc.backends.cuda.source import Kernel, kernel_text
from netc.backends.cuda.tuning.measuring import NEVER
from netc.backends.cuda.tuning.trials import TOLERANCE, noise
from netc.backends.cuda.uploads import DevicePacking, Uploads
from netc.backends.shared.views import Arena, View
from netc.backends.variables import Variables
from netc.cache import content_key, read_entry, write_entry
from netc.ops.array import AnyArray
from netc.ops.window import Axis

_ROUNDS = 7
_SAMPLED = 4  # rows and columns of the weights that are looked at
Choices = dict[str, LibraryAlgorithm | None]


class GradientTuner:
    """Finds who makes weight gradients, for one device and precision.

    Args:
        device: where.
        emission: whose facts and precision count.
        progress: told while kernels are compiled.
    """

    def __init__(
        self, device: Device, emission: CudaEmitContext, progress: Progress | None = None
    ) -> None:
        self._device, self._emission, self._progress = device, emission, progress
        facts = emission.facts
        words = (facts.name, facts.capability, facts.processors, emission.precision.name)
        text = repr((*words, device.libraries, kernel_text(Kernel("outer"))))
        self._name = f"cuda-gradients-{content_key(text.encode())}.json"
        self._known = _read(self._name)

    def choosing(self, gradients: Iterable[UndecidedGradient]) -> ChooseGradient:
        """Chooses what was measured, now or before."""
        unknown = {}
        for gradient in gradients:
            key = _key(self._emission, gradient)
            if key and key not in self._known:
                unknown[key] = gradient
        if unknown:
            for key, gradient in unknown.items():
                self._known[key] = self._fastest(gradient)
            write_entry(
                self._name, json.dumps({**_read(self._name), **self._known}, indent=0).encode()
            )
        known = dict(self._known)
        return lambda emission, gradient: known.get(_key(emission, gradient))

    def _fastest(self, gradient: UndecidedGradient) -> LibraryAlgorithm | None:
        trial = trial_of(gradient)
        real = gradient_operation(self._emission, gradient.outer, gradient.target)
        tried = gradient_operation(self._emission, trial.outer, trial.target)
        if real is None or tried is None:
            return None
        found = self._device.algorithms(replace(tried, alignment=real.alignment))
        if not found:
            return None  # nothing to measure
        bench = GradientBench(self._device, self._emission, trial)
        times: dict[LibraryAlgorithm | None, float] = {None: bench.seconds(None)}
        times |= {algorithm: bench.seconds(algorithm) for algorithm in found}
        return min(times, key=times.__getitem__)


class GradientTrial(NamedTuple):
    """A weight gradient between places of its own, in an arena of so many elements."""

    outer: Outer
    target: GradientTarget
    arena: int


def trial_of(gradient: UndecidedGradient) -> GradientTrial:
    """A gradient of the same sizes."""
    outer, target, place = gradient.outer, gradient.target, 0
    views: list[View] = []
    for view in (outer.a, outer.b, target.view):
        views.append(replace(view, place=Arena(place)))
        place += -(-view.span // 128) * 128
    a, b, w = views
    return GradientTrial(replace(outer, a=a, b=b), replace(target, view=w), place)


class GradientBench:
    """A trial's values, as long as its algorithms are measured."""

    def __init__(self, device: Device, emission: CudaEmitContext, trial: GradientTrial) -> None:
        self._device, self._emission, self._trial = device, emission, trial
        kind = emission.precision.kind
        self._given = {v: noise((v.n, v.c, v.h, v.w)).astype(kind) for v in self._read}
        self._sample = sample(trial, *(self._given[view] for view in self._read))

    @property
    def _read(self) -> tuple[View, View]:
        return self._trial.outer.a, self._trial.outer.b

    def seconds(self, algorithm: LibraryAlgorithm | None) -> float:
        """The seconds it takes; infinity if it cannot run or its result is wrong."""
        device, trial = self._device, self._trial
        launch = gradient_launch(self._emission, "trial", trial.outer, trial.target, algorithm)
        with suppress(DeviceError, MemoryError):
            context = self._context(launch)
            time = device.measure(context.run, _ROUNDS)
            flat = context.flat(trial.target.view, (trial.target.view.count,))
            got = device.to_host(flat).astype(np.float64)[self._sample.places]
            scale = float(np.abs(self._sample.values).max(initial=0)) or 1.0
            error = float(np.abs(got - self._sample.values).max(initial=0)) / scale
            # A result that is no number is no smaller than anything.
            return time if error <= TOLERANCE[self._emission.precision.name] else NEVER
        device.release()
        return NEVER

    def _context(self, launch: Launch) -> DeviceContext:
        device, item = self._device, self._emission.precision.item
        program = DeviceProgram((launch,), item * self._trial.arena, item)
        device.build(program.kernels)
        residents = Residents(device)
        placed = Uploads(device).program(program, DevicePacking(device, {}, residents))
        weights = DeviceWeights(device, Variables(), residents)
        context = DeviceContext(placed, device, weights)
        for view, array in self._given.items():
            context.array(view)[...] = device.asarray(array)
        return context


class GradientSample(NamedTuple):
    """Some of the right weights: where each lies after the first, and its value."""

    places: NDArray[np.int64]
    values: NDArray[np.float64]


def sample(trial: GradientTrial, a: AnyArray, b: AnyArray) -> GradientSample:
    """Some weights' sums in float64; ``a`` and ``b`` are (n, c, h, w)."""
    outer, target = trial.outer, trial.target
    down, across = outer.axes
    rows, channels = a.shape[1] // outer.groups, b.shape[1] // outer.groups
    below, beside = (_padding(x, a.shape[i], b.shape[i]) for i, x in ((2, down), (3, across)))
    wide = np.pad(b, ((0, 0), (0, 0), below, beside))
    high, broad = down.stride * a.shape[2], across.stride * a.shape[3]
    places: list[int] = []
    values: list[float] = []
    chosen = product({0, outer.groups - 1}, _some(rows), _some(outer.taps), _some(channels))
    for group, row, tap, channel in chosen:
        top, left = tap // across.kernel * down.dilation, tap % across.kernel * across.dilation
        seen = wide[:, group * channels + channel]
        seen = seen[:, top : top + high : down.stride, left : left + broad : across.stride]
        values.append(float((a[:, group * rows + row].astype(np.float64) * seen).sum()))
        at = group * target.group + row * target.row
        places.append(at + tap * target.tap + channel * target.channel)
    return GradientSample(np.array(places, np.int64), np.array(values))


def _padding(axis: Axis, places: int, size: int) -> tuple[int, int]:
    """Pixels before the first and after the last, as far as windows reach."""
    last = axis.stride * places + axis.dilation * (axis.kernel - 1)
    return axis.pad, max(axis.pad, last - size - axis.pad)


def _some(number: int) -> list[int]:
    """A few numbers below this one, the first and the last among them."""
    return sorted({i * (number - 1) // (_SAMPLED - 1) for i in range(_SAMPLED)})


def _key(emission: CudaEmitContext, gradient: UndecidedGradient) -> str:
    """What is stored under: all that a library would be asked; empty where none could be."""
    operation = gradient_operation(emission, gradient.outer, gradient.target)
    return "" if operation is None else repr(operation)


def _read(name: str) -> Choices:
    data = read_entry(name)
    try:
        found: Mapping[str, Any] = json.loads(data) if data else {}
        return {key: one and LibraryAlgorithm(*one) for key, one in found.items()}
    except (ValueError, TypeError, AttributeError):  # cut short, or of another program
        return {}
