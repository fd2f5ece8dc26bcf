"""Measures a configuration of a product on the device, and checks its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from netc.backends.cuda.device import Device, DeviceBuffer, DeviceError, KernelCall, StreamSlot
from netc.backends.cuda.emission import CudaEmitContext
from netc.backends.cuda.products.tiles import ProductConfig
from netc.backends.cuda.program import DeviceContext, DeviceProgram, DeviceWeights, Launch
from netc.backends.cuda.resident import Residents
from netc.backends.cuda.tuning.trials import (
    OTHER,
    TOLERANCE,
    SampledResults,
    Trial,
    error_of,
    noise,
    sample,
)
from netc.backends.cuda.uploads import DevicePacking, Uploads
from netc.backends.shared.derived import elements
from netc.backends.variables import Variables
from netc.ops.array import AnyArray

_COLD = 64 << 20  # bytes of weights among which the runs go round, so that few are in a cache
_COPIES = 8  # of the weights, at most
_ENOUGH = 3e-4  # seconds of work between two events
_ROUNDS = 7
NEVER = float("inf")


class _Kept(Uploads):
    """Uploads that know some arrays again by themselves, not by their content."""

    def __init__(self, device: Device, arrays: Sequence[AnyArray]) -> None:
        super().__init__(device)
        self._wanted = {id(array) for array in arrays}
        self._found: dict[int, DeviceBuffer] = {}

    def buffer(self, array: AnyArray) -> DeviceBuffer:
        if id(array) not in self._wanted:
            return self._device.upload(array)
        if id(array) not in self._found:
            self._found[id(array)] = self._device.upload(array)
        return self._found[id(array)]


class Bench:
    """A trial's values, on the host and on the device, as long as its configurations are measured.

    Args:
        device: where.
        emission: whose facts and precision count.
        trial: what is measured.
    """

    def __init__(self, device: Device, emission: CudaEmitContext, trial: Trial) -> None:
        self._device, self._emission, self._trial = device, emission, trial
        x, first = trial.product.x, elements(trial.product.weights())
        self._x = elements(emission.stored(noise((x.n, x.c, x.h, x.w))))
        self._there = device.asarray(self._x)
        copies = min(_COPIES, max(1, _COLD // max(1, first.nbytes)))
        self._weights = [trial.weights(emission, first + np.float32(i)) for i in range(copies)]
        self._uploads = _Kept(device, self._weights)
        self._samples: dict[bool, SampledResults | None] = {}
        self.worst = 0.0  # error of a configuration that was left out for it

    def seconds(self, config: ProductConfig) -> float:
        """The seconds a configuration takes; infinity if it cannot run or its result is wrong."""
        try:
            return self._measured(config)
        except DeviceError:
            return NEVER
        except MemoryError:
            pass  # with it goes the last that refers to what was allocated
        self._device.release()
        return NEVER

    def _measured(self, config: ProductConfig) -> float:
        device = self._device
        runs = [self._trial.launches(self._emission, config, w) for w in self._weights]
        context = self._context([launch for run in runs for launch in run])
        calls = [call for call in context.calls if isinstance(call, KernelCall)]
        copies = len(runs)
        estimate = device.measure(_started(device, calls[: len(calls) // copies]), 1)
        if not self._is_right(context, config):
            return NEVER
        times = max(1, min(4, int(_ENOUGH / max(estimate, 1e-9) / copies)))
        work = device.record(calls * times, [StreamSlot(0)] * (times * len(calls)))
        seconds = device.measure(work or _started(device, calls * times), _ROUNDS)
        return seconds / (times * copies)

    def _context(self, launches: Sequence[Launch]) -> DeviceContext:
        """A context that runs the launches, with the trial's input copied in."""
        device, item = self._device, self._emission.precision.item
        program = DeviceProgram(tuple(launches), item * self._trial.arena, item)
        device.build(program.kernels)
        residents = Residents(device)  # a trial has no variables
        placed = self._uploads.program(program, DevicePacking(device, {}, residents))
        context = DeviceContext(placed, device, DeviceWeights(device, Variables(), residents))
        context.array(self._trial.product.x)[...] = self._there
        if self._trial.epilogue.other is not None:
            there = context.array(self._trial.epilogue.other)
            there[...] = device.asarray(np.full(there.shape, OTHER, self._x.dtype))
        return context

    def _is_right(self, context: DeviceContext, config: ProductConfig) -> bool:
        """True if the outputs are what they should be, after a run with the first weights."""
        wanted = self._sample(
            config.algorithm is not None and config.algorithm.fuses_epilogue and not config.winograd
        )
        if wanted is None:
            return True
        views = [target.view for target in self._trial.product.targets]
        places = (wanted.start, wanted.step, wanted.pixels)
        outputs = [self._device.to_host(context.pixels(view, *places)) for view in views]
        error = error_of(wanted, outputs)
        if error <= TOLERANCE[self._emission.precision.name]:
            return True
        self.worst = max(self.worst, error)
        return False

    def _sample(self, fused: bool) -> SampledResults | None:
        if fused not in self._samples:
            trial, precise = self._trial, self._x.astype(np.float32)
            length = len(trial.product.taps) * trial.product.channels
            weights = self._weights[0]
            if trial.product.phases is None:
                weights = weights[:, :length].astype(np.float32)
            self._samples[fused] = sample(trial, precise, weights, fused)
        return self._samples[fused]


def _started(device: Device, calls: Sequence[KernelCall]) -> Callable[[], None]:
    """Starts calls one by one."""

    def work() -> None:
        for call in calls:
            device.launch(call)

    return work
