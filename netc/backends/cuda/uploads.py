"""Arrays that programs read, on the device: each content once, as long as a program uses it.

The plans of one net for several input shapes have the same weights, and share them here.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from netc.backends.cuda.device import Buffer, Device
from netc.backends.cuda.program import Argument, Launch, Program, Resident, Step


class Uploads:
    """What has been uploaded to a device and is in use."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._buffers: WeakValueDictionary[bytes, Buffer] = WeakValueDictionary()

    def buffer(self, array: NDArray[Any]) -> Buffer:
        """The device's copy of an array's bytes."""
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        key = hashlib.blake2b(flat.data, digest_size=16).digest()
        with self._lock:
            found = self._buffers.get(key)
            if found is None:
                found = self._device.upload(flat)
                self._device.wait()  # who finds it may be on another stream
                self._buffers[key] = found
            return found

    def program(self, program: Program) -> Program:
        """The program with its arrays on the device; the host's need not be kept."""
        return replace(program, steps=tuple(map(self._step, program.steps)))

    def _step(self, step: Step) -> Step:
        if not isinstance(step, Launch):
            return step
        return replace(step, arguments=tuple(map(self._argument, step.arguments)))

    def _argument(self, argument: Argument) -> Argument:
        return Resident(self.buffer(argument)) if isinstance(argument, np.ndarray) else argument
