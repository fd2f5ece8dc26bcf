"""Variables on a device: parameters, histories and statistics stay there from run to run.

Each variable that a program reads or updates has one copy on the device, which all programs of the
device share. It is uploaded where a caller has written the variable, which the variable's version
tells, and fetched only when somebody asks for the variable's elements:

    caller writes ──▶ Variable ──refresh──▶ Resident ◀──▶ kernels, updates
    caller reads  ◀── Variable ◀──fetch────
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary, WeakValueDictionary, ref

import numpy as np

from netc.backends.cuda.device import Device, DeviceBuffer
from netc.backends.shared.derived import Derived
from netc.backends.variables import Variable
from netc.ir.graph import Array
from netc.ir.types import Shape
from netc.ops.array import AnyArray

_FLOAT = 4  # bytes


class Resident:
    """A variable's elements on a device, float32 in C order at one place."""

    def __init__(self, device: Device, variable: Variable) -> None:
        self._device, self._shape = device, variable.shape
        self._variable = ref(variable)  # which refers to this one while its own are out of date
        self.buffer: DeviceBuffer = device.allocate(max(_FLOAT, _FLOAT * variable.array.size))
        self._version = -1
        self.refresh(variable)

    @property
    def array(self) -> AnyArray:
        """The elements as an array of the device's library, in place."""
        return self._view(self.buffer, self._shape)

    def _view(self, buffer: DeviceBuffer, shape: Shape) -> AnyArray:
        strides = np.empty(shape, np.bool_).strides
        return self._device.view(
            buffer, 0, shape, [_FLOAT * stride for stride in strides], np.float32
        )

    def refresh(self, variable: Variable) -> None:
        """Upload what has been written to the variable since its elements were here last."""
        version = variable.current_version()
        if version != self._version and variable.array.size:
            self.array[...] = self._device.asarray(variable.array)
        self._version = version

    def updated(self) -> None:
        """A program has changed the elements here; all work on them is done."""
        variable = self._variable()
        if variable is not None:
            self._version = variable.moved_to(self)

    def fetch(self, into: Array) -> None:
        """Copy the elements to the host."""
        if into.size:
            with self._device.active():
                into[...] = self._device.to_host(self.array)

    def copied(self) -> Callable[[], Array]:
        """Keep a copy on the device; what it gives fetches that."""
        device = self._device
        with device.active():
            kept = device.allocate(self.buffer.size)
            there = self._view(kept, self._shape)
            if there.size:
                there[...] = self.array
            device.wait()  # the next run may be on another stream

        def fetched() -> Array:
            with device.active():
                found: Array = device.to_host(self._view(kept, self._shape))
                return found

        return fetched


# Variable -> its copies by their devices' ids; a copy holds its device. Nets are compiled one by
# one, and what they have in common is the variable.
_KNOWN: WeakKeyDictionary[Variable, WeakValueDictionary[int, Resident]] = WeakKeyDictionary()
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Residents:
    """The variables that are on a device."""

    device: Device

    def of(self, variable: Variable) -> Resident:
        """A variable's copy; whoever needs it holds it."""
        with _LOCK:
            copies = _KNOWN.setdefault(variable, WeakValueDictionary())
            found = copies.get(id(self.device))
            if found is None:
                found = copies[id(self.device)] = Resident(self.device, variable)
            return found

    def seen(self, view: Derived) -> AnyArray:
        """What :meth:`Derived.now` reads to be made on the device."""
        (variable,) = view.variables
        array = view.array
        if not array.size:
            return self.device.empty(array.shape, np.float32)
        offset = variable.offset_of(array)
        buffer = self.of(variable).buffer
        return self.device.view(buffer, offset, array.shape, array.strides, np.float32)
