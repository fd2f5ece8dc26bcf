"""Programs: steps over one arena on a device, and the contexts that run them.

A :class:`Launch` is a kernel with a grid and arguments; places among the arguments become addresses
when a context is made. An :class:`ArrayStep` is anything else: it is called between launches with
the context, which shows values as arrays. A program is immutable and shared; a context has an
arena of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from netc.backends.cuda.device import Code, Device, DeviceBuffer, KernelCall, Mark, StreamSlot
from netc.backends.shared.derived import Derived, elements, trained
from netc.backends.shared.derived import Weights as TrainedArray
from netc.backends.shared.views import Arena, Place, View, Workspace, moved
from netc.backends.variables import Variable, Variables
from netc.diagnostics import NetcError
from netc.ir.graph import Graph
from netc.ops.array import AnyArray

if TYPE_CHECKING:
    from netc.backends.cuda.products.outer import GradientTarget, Outer
    from netc.backends.cuda.products.product import Product
    from netc.backends.cuda.resident import Residents

ALIGNMENT = 256  # bytes; what device memory allocators give


class SplitKCounters(NamedTuple):
    """The address of the step's split-K counters, which are 0 before and after it."""


class FaultPlace(NamedTuple):
    """The address of two floats, which the step sets at each run: how often it has met what it
    cannot take, and the first such value.
    """


class AllFaults(NamedTuple):
    """The address of the places of all the program's steps that have one, or their number."""

    number: bool = False


class DeviceConstant(NamedTuple):
    """An array that is on the device (see netc.backends.cuda.uploads)."""

    buffer: DeviceBuffer


class Int64(NamedTuple):
    """A 64-bit integer."""

    value: int


_Place = Place | SplitKCounters | FaultPlace | AllFaults | DeviceConstant
Argument = int | float | Int64 | _Place | TrainedArray


@dataclass(frozen=True, slots=True, eq=False)
class Launch:
    """A kernel, started once.

    Args:
        name: the layer's name.
        kernel: what to run, ours or a library's.
        grid: blocks.
        threads: of a block.
        arguments: int (32 bits), float (float32), :class:`Int64`, a place, or a NumPy array, in
            place of which a :class:`DeviceConstant` stands before the program runs.
        reads: values it reads.
        writes: values it writes.
        workspace: bytes of memory it needs while it runs.
        counters: 32-bit counters it needs.
        fault: makes an error of the first value that it could not take; None where it takes all.
        updates: variables that it changes in place.
    """

    name: str
    kernel: Code
    grid: tuple[int, int, int]
    threads: int
    arguments: tuple[Argument, ...]
    reads: tuple[View, ...] = ()
    writes: tuple[View, ...] = ()
    workspace: int = 0
    counters: int = 0
    fault: Callable[[float], NetcError] | None = None
    updates: tuple[Variable, ...] = ()

    @property
    def variables(self) -> frozenset[Variable]:
        """Variables whose own elements it reads or changes; not those it has derived arrays of."""
        given = (a for a in self.arguments if isinstance(a, Derived) and a.make is None)
        return frozenset(self.updates).union(*(array.variables for array in given))


@dataclass(frozen=True, slots=True, eq=False)
class ArrayStep:
    """A step done by array operations, or on the host."""

    name: str
    function: Callable[[DeviceContext], None]
    host: bool = False


Step = Launch | ArrayStep


@dataclass(frozen=True, slots=True, eq=False)
class Undecided:
    """A product among a node's steps, for which no configuration has been chosen yet.

    Args:
        product: what is computed.
        taken: elements of the workspace that are not its own.
    """

    product: Product
    taken: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class UndecidedGradient:
    """A weight gradient among a node's steps, by netc's kernel or a library's.

    Args:
        name: the node's.
        outer: what is summed.
        target: where the sums go.
    """

    name: str
    outer: Outer
    target: GradientTarget


AnyStep = Step | Undecided | UndecidedGradient
Steps = list[AnyStep]


@dataclass(frozen=True, eq=False)
class DeviceProgram:
    """Steps in order.

    Args:
        steps: in order.
        arena: bytes of the arena.
        item: bytes of an element.
        slots: for the first of launches in a row, the stream slot of each of them.
    """

    steps: tuple[Step, ...]
    arena: int
    item: int = 4
    slots: Mapping[int, Sequence[StreamSlot]] = field(default_factory=dict)

    @property
    def rows(self) -> list[tuple[int, int]]:
        """Where launches in a row begin and end; each other step is a row of its own."""
        found: list[tuple[int, int]] = []
        for index, step in enumerate(self.steps):
            joins = index > 0 and isinstance(step, Launch) == isinstance(
                self.steps[index - 1], Launch
            )
            if joins and isinstance(step, Launch):
                found[-1] = (found[-1][0], index + 1)
            else:
                found.append((index, index + 1))
        return found

    @property
    def launches(self) -> tuple[Launch, ...]:
        """The kernels among the steps."""
        return tuple(s for s in self.steps if isinstance(s, Launch))

    @property
    def kernels(self) -> tuple[Code, ...]:
        """All kernels and libraries' operations, each once."""
        return tuple(dict.fromkeys(launch.kernel for launch in self.launches))

    @property
    def workspace(self) -> int:
        """Bytes of the workspace that the steps share."""
        return max((launch.workspace for launch in self.launches), default=0)

    @property
    def counters(self) -> int:
        """Counters of all steps."""
        return sum(launch.counters for launch in self.launches)

    @property
    def faults(self) -> tuple[Callable[[float], NetcError], ...]:
        """What the steps complain of, in order."""
        return tuple(launch.fault for launch in self.launches if launch.fault is not None)

    @property
    def constants(self) -> int:
        """Bytes of the arrays that kernels read."""
        arrays: dict[int, int] = {}
        for launch in self.launches:
            for argument in launch.arguments:
                if isinstance(argument, DeviceConstant):
                    arrays[id(argument.buffer)] = argument.buffer.size
                elif isinstance(argument, np.ndarray | Derived):
                    arrays[id(argument)] = argument.nbytes
        return sum(arrays.values())


class DeviceWeights:
    """Trained arrays as definitions read them: the device's library's, or the host's.

    Args:
        device: where; constants are uploaded when they are first needed.
        variables: the graph's.
        residents: variables on the device.
    """

    def __init__(self, device: Device, variables: Variables, residents: Residents) -> None:
        self._device, self._variables, self._residents = device, variables, residents
        self._known: dict[str, TrainedArray] = {}
        self._arrays: dict[str, AnyArray] = {}

    def array(self, graph: Graph, name: str) -> AnyArray:
        """One of them on the device."""
        array = self._trained(graph, name)
        if isinstance(array, Derived):
            return array.now(self._residents.seen)
        if name not in self._arrays:
            self._arrays[name] = self._device.asarray(array)
            self._device.wait()  # a call that is on another stream may read it next
        return self._arrays[name]

    def on_host(self, graph: Graph, name: str) -> AnyArray:
        """One of them on the host, as of now."""
        return elements(self._trained(graph, name))

    def _trained(self, graph: Graph, name: str) -> TrainedArray:
        if name not in self._known:
            self._known[name] = trained(graph, self._variables, name)
        return self._known[name]


@dataclass(eq=False)
class DeviceContext:
    """A program bound to memory of its own. One call at a time may use it.

    Args:
        program: what to run.
        device: where.
        weights: what definitions read.
        graph: whether steps are recorded and started together.
    """

    program: DeviceProgram
    device: Device
    weights: DeviceWeights
    graph: bool = True
    mark: Mark | None = None
    _segments: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        program, device = self.program, self.device
        self._arena = device.allocate(max(program.arena, ALIGNMENT))
        self._workspace = device.allocate(max(program.workspace, ALIGNMENT))
        self._counters = device.upload(np.zeros(max(program.counters, 1), np.uint32))
        self._faults = device.upload(np.zeros(2 * max(len(program.faults), 1), np.float32))
        self.calls = self._bound()

    def __del__(self) -> None:
        # A pool gives memory that nothing refers to away at once, also to another stream than the
        # last call's, which may not have ended. When Python ends there may be no device any more.
        with suppress(Exception):
            self.device.reach(self.mark)

    def _bound(self) -> list[KernelCall | ArrayStep]:
        calls: list[KernelCall | ArrayStep] = []
        used, faults = 0, 0
        for step in self.program.steps:
            if isinstance(step, ArrayStep):
                calls.append(step)
                continue
            counters = self._counters.address + 4 * used
            fault = self._faults.address + 8 * faults
            arguments = tuple(self._argument(a, counters, fault) for a in step.arguments)
            calls.append(KernelCall(step.kernel, step.grid, step.threads, arguments))
            used += step.counters
            faults += step.fault is not None
        return calls

    def _argument(self, argument: Argument, counters: int, fault: int) -> np.generic:
        match argument:
            case Arena(offset):
                return np.uint64(self._arena.address + self.program.item * offset)
            case Workspace(offset):
                return np.uint64(self._workspace.address + self.program.item * offset)
            case SplitKCounters():
                return np.uint64(counters)
            case FaultPlace():
                return np.uint64(fault)
            case AllFaults(number):
                known = self._faults.address
                return np.int32(len(self.program.faults)) if number else np.uint64(known)
            case Int64(value):
                return np.int64(value)
            case DeviceConstant(buffer):
                return np.uint64(buffer.address)
            case float():
                return np.float32(argument)
            case int():
                return np.int32(argument)
        raise TypeError(f"a kernel cannot take {argument!r}")

    def address(self, view: View) -> int:
        """Where a value lies on the device."""
        return self._arena.address + self.program.item * view.place.offset

    def array(self, view: View) -> AnyArray:
        """A value as an array of shape (n, c, h, w) of the device's library, in place."""
        item = self.program.item
        row = item * view.ld * view.w
        strides = (row * view.h, item, row, item * view.ld)
        return self._view(view, (view.n, view.c, view.h, view.w), strides)

    def pixels(self, view: View, start: int, step: int, count: int) -> AnyArray:
        """Every so many pixels of a value, (count, channels), in place."""
        first = replace(view, place=moved(view.place, start * view.ld))
        item = self.program.item
        return self._view(first, (count, view.c), (item * step * view.ld, item))

    def flat(self, view: View, shape: Sequence[int]) -> AnyArray:
        """A value that lies in C order, as an array of its own shape, in place."""
        strides = [self.program.item * math.prod(shape[i + 1 :]) for i in range(len(shape))]
        return self._view(view, shape, strides)

    def _view(self, view: View, shape: Sequence[int], strides: Sequence[int]) -> AnyArray:
        kind = np.float32 if self.program.item == 4 else np.float16
        offset = self.program.item * view.place.offset
        return self.device.view(self._arena, offset, shape, strides, kind)

    def run(self) -> None:
        """Run all steps on the current stream; the first time one by one, then from graphs."""
        if self._segments:
            for start in self._segments:
                start()
            return
        for call in self.calls:
            self.start(call)
        self._segments = self._recorded() if self.graph else [self._start_all]

    def complaint(self) -> NetcError | None:
        """What a step of the last run could not take, if any; waits for the run."""
        if not self.program.faults:
            return None
        seen = self.device.view(self._faults, 0, (2 * len(self.program.faults),), (4,), np.float32)
        numbers = self.device.to_host(seen).reshape(-1, 2)
        counted = zip(numbers, self.program.faults, strict=True)
        return next((fault(float(value)) for (times, value), fault in counted if times), None)

    def start(self, call: KernelCall | ArrayStep) -> None:
        """Start one step."""
        if isinstance(call, KernelCall):
            self.device.launch(call)
        else:
            call.function(self)

    def _start_all(self) -> None:
        for call in self.calls:
            self.start(call)

    def _recorded(self) -> list[Callable[[], None]]:
        """Kernels in a row as one graph; what cannot be recorded is started one by one."""
        segments: list[Callable[[], None]] = []
        for first, last in self.program.rows:
            calls = self.calls[first:last]

            def start(calls: list[KernelCall | ArrayStep] = calls) -> None:
                for call in calls:
                    self.start(call)

            kernels = [call for call in calls if isinstance(call, KernelCall)]
            recorded = None
            if len(kernels) == len(calls) > 1:
                recorded = self.device.record(kernels, self.program.slots[first])
            segments.append(recorded or start)
        return segments
