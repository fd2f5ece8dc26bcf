"""Arrays that programs read, on the device: each content once, as long as a program uses it.

The plans of one net for several input shapes have the same weights, and share them here.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from netc.backends.cuda.device import Device, DeviceBuffer
from netc.backends.cuda.program import Argument, DeviceConstant, DeviceProgram, Launch, Step
from netc.backends.cuda.resident import Resident, Residents
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
    """A program's variables on the device, and the arrays that are derived of them.

    A derived array that is the variable's elements in order is the variable's own copy there; each
    other has memory of its own, and is made anew on the device when its variables have changed.

    Args:
        device: where.
        known: the variables' versions from before the arrays were made.
        residents: the variables on the device.
    """

    def __init__(self, device: Device, known: Versions, residents: Residents) -> None:
        self._device, self._residents = device, residents
        self._known = dict(known)
        self._held: dict[Variable, Resident] = {}
        self._buffers: dict[Derived, DeviceBuffer] = {}

    def resident(self, variable: Variable) -> Resident:
        """A variable's copy on the device, as of the last refresh."""
        if variable not in self._held:
            self._held[variable] = self._residents.of(variable)
            self._device.wait()  # the next call may be on another stream
        return self._held[variable]

    def buffer(self, array: Derived) -> DeviceBuffer:
        """The device's copy of an array."""
        if array.make is None and array.array.flags.c_contiguous and array.size:
            (variable,) = array.variables
            return part(self.resident(variable).buffer, variable.offset_of(array.array))
        if array not in self._buffers:
            for variable in array.variables:
                self.resident(variable)
            self._buffers[array] = self._device.upload(_bytes(array.array))
            self._device.wait()  # the next call may be on another stream
        return self._buffers[array]

    def refresh(self) -> None:
        """Bring to the device what callers have written, and make anew what is made of it.

        No run that reads the variables may be under way.
        """
        now = versions(self._known)
        changed = {variable for variable in now if now[variable] != self._known[variable]}
        for variable in changed & self._held.keys():
            self._held[variable].refresh(variable)
        for array, buffer in self._buffers.items():
            if array.size and not changed.isdisjoint(array.variables):
                strides = np.empty(array.shape, array.dtype).strides
                there = self._device.view(buffer, 0, array.shape, strides, array.dtype)
                there[...] = array.now(self._residents.seen)
        self._known = now


@dataclass(frozen=True, slots=True)
class BufferPart:
    """The bytes of a buffer from some place on."""

    whole: DeviceBuffer
    offset: int

    @property
    def address(self) -> int:
        """Its address on the device."""
        return self.whole.address + self.offset

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.whole.size - self.offset


def part(buffer: DeviceBuffer, offset: int) -> DeviceBuffer:
    """A buffer from a byte on."""
    return BufferPart(buffer, offset) if offset else buffer


def _bytes(array: AnyArray) -> NDArray[np.uint8]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
