"""Arrays that programs read, on the device: each content once, as long as a program uses it.

The plans of one net for several input shapes have the same weights, and share them here.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from netc.backends.cuda.device import Device, DeviceBuffer
from netc.backends.cuda.program import Argument, DeviceConstant, DeviceProgram, Launch, Step
from netc.backends.shared.derived import Derived, Versions, versions
from netc.backends.variables import Variable
from netc.ops.array import AnyArray


class Uploads:
    """What has been uploaded to a device and is in use."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._buffers: WeakValueDictionary[bytes, DeviceBuffer] = WeakValueDictionary()

    def buffer(self, array: AnyArray) -> DeviceBuffer:
        """The device's copy of an array's bytes."""
        flat = _bytes(array)
        key = hashlib.blake2b(flat.data, digest_size=16).digest()
        with self._lock:
            found = self._buffers.get(key)
            if found is None:
                found = self._device.upload(flat)
                self._device.wait()  # who finds it may be on another stream
                self._buffers[key] = found
            return found

    def program(self, program: DeviceProgram, packing: DevicePacking) -> DeviceProgram:
        """The program with its arrays on the device; the host's need not be kept."""

        def argument(value: Argument) -> Argument:
            if isinstance(value, Derived):
                return DeviceConstant(packing.buffer(value))
            return DeviceConstant(self.buffer(value)) if isinstance(value, np.ndarray) else value

        def placed(step: Step) -> Step:
            if not isinstance(step, Launch):
                return step
            return replace(step, arguments=tuple(map(argument, step.arguments)))

        return replace(program, steps=tuple(map(placed, program.steps)))


class DevicePacking:
    """A program's derived arrays on the device, each in memory of its own.

    Args:
        device: where.
        known: the variables' versions from before the arrays were made.
    """

    def __init__(self, device: Device, known: Versions) -> None:
        self._device = device
        self._known = dict(known)
        self._buffers: dict[Derived, DeviceBuffer] = {}

    def buffer(self, array: Derived) -> DeviceBuffer:
        """The device's copy of an array."""
        if array not in self._buffers:
            self._buffers[array] = self._device.upload(_bytes(array.array))
            self._device.wait()  # the next call may be on another stream
        return self._buffers[array]

    def refresh(self) -> set[Variable]:
        """Bring what has changed to the device: the variables.

        No run that reads them may be under way.
        """
        now = versions(self._known)
        changed = {variable for variable in now if now[variable] != self._known[variable]}
        for array, buffer in self._buffers.items():
            if not changed.isdisjoint(array.variables):
                content = _bytes(array.now())
                there = self._device.view(buffer, 0, content.shape, (1,), np.uint8)
                there[...] = self._device.asarray(content)
        self._known = now
        return changed


def _bytes(array: AnyArray) -> NDArray[np.uint8]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
