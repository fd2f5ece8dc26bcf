"""The GPU backend: passes, storage, steps, and contexts that run them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import numpy as np

from netc.backends.base import Executable, ExecutableReport, MemoryPlan, Options, Progress, StepTime
from netc.backends.cuda.copies import edge_copy, image_copy, in_few_pieces
from netc.backends.cuda.device import Device, DeviceError, KernelCall
from netc.backends.cuda.dynamic import MixedExecutable, split
from netc.backends.cuda.emission import (
    PRECISIONS,
    CudaEmitContext,
    storage_views,
)
from netc.backends.cuda.emit.moves import copy_kernel, image_kernel
from netc.backends.cuda.emit.table import emit
from netc.backends.cuda.emit.updates import values_in_variables
from netc.backends.cuda.fusing import passes_for
from netc.backends.cuda.libraries.operation import LibraryKernel
from netc.backends.cuda.lowering import ChainRecord, lower_chains, needs_of
from netc.backends.cuda.options import CudaOptions
from netc.backends.cuda.products.choice import guessed
from netc.backends.cuda.products.launches import (
    Choose,
    ChooseGradient,
    decided,
    gradients_of,
    own_kernel,
    products_of,
)
from netc.backends.cuda.program import (
    ArrayStep,
    DeviceContext,
    DeviceProgram,
    DeviceWeights,
    Launch,
    Steps,
)
from netc.backends.cuda.refusals import check_precision, out_of_memory, refusal
from netc.backends.cuda.resident import Residents
from netc.backends.cuda.rules import RULES, padding
from netc.backends.cuda.schedule import scheduled
from netc.backends.cuda.together import joined
from netc.backends.cuda.tuning.gradients import GradientTuner
from netc.backends.cuda.tuning.tuner import Tuner, choosing
from netc.backends.cuda.uploads import DevicePacking, Uploads
from netc.backends.shared.derived import versions
from netc.backends.shared.layout import c_strides, stored_strides
from netc.backends.variables import Variables
from netc.diagnostics import NetcError
from netc.ir.graph import Graph
from netc.ops.array import AnyArray
from netc.passes.base import Applied, run_passes
from netc.passes.recompute import recomputed
from netc.plan.storage import BYTES, Storage, find_aliases, plan_storage

Result = TypeVar("Result")
_COPIES = 64  # layouts of callers' arrays whose copy kernels are remembered


class CudaBackend:
    """Runs graphs on a GPU with kernels compiled at run time."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._uploads, self._residents = Uploads(device), Residents(device)

    options = CudaOptions
    precisions = tuple(PRECISIONS)
    on_host = False

    def memory_plan(self, graph: Graph) -> MemoryPlan | None:
        """The arena of a plan in float32; None where sizes are only known in a run."""
        if split(graph)[1] is not None:
            return None
        arena = planned_storage(graph, lower_chains(graph)).arena
        return MemoryPlan(arena.size, arena.floor)

    def convert_input(self, value: object) -> AnyArray:
        """A caller's array as it is taken: where it lies, if that is the device."""
        return self._device.asarray(value) if self._device.owns(value) else np.asarray(value)

    def prepare(self, graph: Graph, options: Options) -> Executable:
        """The graph after its passes, planned, made into steps, its weights on the device.

        Layers whose sizes depend on what is fed cannot be planned: they, and what follows them,
        run by their definitions on the host.
        """
        variables = Variables() if options.variables is None else options.variables
        options, graph = replace(options, variables=variables), variables.bind(graph)
        planned, rest = split(graph)
        if rest is None:
            return self._prepared(planned, options)
        inner = self._prepared(planned, options) if planned.nodes else None
        return MixedExecutable(graph, inner, rest, self._device, variables)

    def _prepared(self, graph: Graph, options: Options) -> CudaExecutable:
        return prepare(graph, options, self._device, self._uploads, self._residents)


def prepare(
    graph: Graph, options: Options, device: Device, uploads: Uploads, residents: Residents
) -> CudaExecutable:
    """An executable of a graph whose sizes are known, and whose variables are bound."""
    variables = Variables() if options.variables is None else options.variables
    packing = DevicePacking(device, versions(variables.read_by(graph)), residents)
    optimized, applied = run_passes(graph, passes_for(options.passes))
    optimized, applied = recomputed(optimized, applied, _arena_bytes, options.blobs)
    records, own = lower_chains(optimized), options.own_as(CudaOptions)
    storage, in_place = planned_storage(optimized, records), values_in_variables(optimized)
    emission = CudaEmitContext(
        optimized,
        storage_views(optimized, storage),
        device.facts,
        PRECISIONS[own.precision],
        options.exact,
        variables=variables,
        records=records,
        in_place=in_place,
    )
    check_precision(emission)
    tuner = Tuner(device, emission, options.progress) if own.tune else None
    steps = [step for node in optimized.nodes for step in emit(emission, node)]
    choose = guessed if tuner is None else _measured(steps, device, tuner)
    choose_gradient: ChooseGradient = own_kernel
    if tuner is not None and (summed := gradients_of(steps)):
        with device.active():
            choose_gradient = GradientTuner(device, emission, options.progress).choosing(summed)
    item = emission.precision.item
    program = scheduled(
        joined(decided(emission, steps, choose, choose_gradient)),
        storage.arena.size * item // BYTES,
        item,
    )
    return CudaExecutable(
        emission,
        storage,
        program,
        applied,
        device,
        uploads,
        packing,
        residents,
        own.graph,
        options.progress,
        variables,
    )


def _arena_bytes(graph: Graph) -> int:
    """What a graph's values take, in bytes of float32."""
    return planned_storage(graph, lower_chains(graph)).arena.size


def planned_storage(graph: Graph, records: Mapping[str, ChainRecord]) -> Storage:
    """Where a graph's values lie, in bytes of float32."""
    return plan_storage(
        graph,
        find_aliases(graph, RULES, values_in_variables(graph)),
        lambda node: needs_of(records, node),
        lambda value: padding(graph, value),
    )


def _measured(steps: Steps, device: Device, tuner: Tuner) -> Choose:
    """The configurations of all products that were fastest when measured, now or before."""
    with device.active():
        return choosing(tuner.choices(products_of(steps)))


@dataclass
class CudaExecutable:
    """A program and the contexts that run it, one for each call that is under way."""

    emission: CudaEmitContext
    storage: Storage
    program: DeviceProgram
    applied: tuple[Applied, ...]
    device: Device
    uploads: Uploads
    packing: DevicePacking
    residents: Residents
    graph: bool = True
    progress: Progress | None = None
    variables: Variables = field(default_factory=Variables)
    _copies: dict[tuple[str, tuple[int, ...] | None], KernelCall | None] = field(
        default_factory=dict
    )
    _idle: list[DeviceContext] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        text = self.emission.precision.text
        self._load, self._store = copy_kernel("float", text), copy_kernel(text, "float")
        self._load_image = image_kernel("float", text)
        total = self.program.constants + self.program.arena + self.program.workspace
        if total > self.device.facts.memory:  # before anything is uploaded
            raise NetcError(out_of_memory(self.report(), self.device.facts.memory))
        with self.device.active():
            self._within_memory(self._upload)

    def _upload(self) -> None:
        """Have kernels and weights on the device."""
        edges = (self._load, self._store, self._load_image)
        self.device.build((*self.program.kernels, *edges), self.progress)
        self.program = self.uploads.program(self.program, self.packing)
        self._updated = {n: self.variables.variable(n) for n in self.emission.graph.updates}
        for variable in self.variables.read_by(self.emission.graph):
            self.packing.resident(variable)
        self._weights = DeviceWeights(self.device, self.variables, self.residents)
        self.device.wait()  # the next call may be on another stream

    def run(self, feeds: Mapping[str, object]) -> dict[str, AnyArray]:
        """Each output for these inputs, as new arrays: on the device if the first input is.

        Then the updates are written, which waits for the device.
        """
        with self.device.active():
            if not self.reads_variables:
                return self._within_memory(lambda: self._run(feeds))
            with self.variables.lock:
                return self._within_memory(lambda: self._run_and_update(feeds))

    @property
    def reads_variables(self) -> bool:
        """True if runs must go one after another."""
        return any(p.variable for p in self.emission.graph.parameters.values())

    def _run_and_update(self, feeds: Mapping[str, object]) -> dict[str, AnyArray]:
        self.packing.refresh()
        results = self._run(feeds)
        self.device.wait()  # the next run may write to what this one reads
        for variable in self._updated.values():
            self.packing.resident(variable).updated()
        return results

    def _run(self, feeds: Mapping[str, object]) -> dict[str, AnyArray]:
        """The outputs; updates are written to the variables' copies on the device."""
        graph, device = self.emission.graph, self.device
        on_device = any(device.owns(feeds[name]) for name in graph.inputs[:1])
        context = self._take()
        device.follow(context.mark)
        for name in graph.inputs:
            self._feed(context, name, feeds[name])
        context.run()
        if error := context.complaint():
            self._give_back(context)
            raise error
        results = {name: self._result(context, name) for name in graph.outputs}
        for name, variable in self._updated.items():
            if graph.updates[name] in self.emission.in_place:
                continue  # its kernel has written it
            target = self.packing.resident(variable).buffer.address
            self._store_value(context, graph.updates[name], target)
        self._give_back(context)
        if on_device:
            return results
        return {name: device.to_host(array) for name, array in results.items()}

    def _give_back(self, context: DeviceContext) -> None:
        context.mark = self.device.mark()
        with self._lock:
            self._idle.append(context)

    def _within_memory(self, work: Callable[[], Result]) -> Result:
        """Turns a lack of memory into an error with the plan's numbers, and frees what can be."""
        try:
            return work()
        except DeviceError as error:
            raise NetcError(refusal(self.device.facts.name, str(error))) from None
        except MemoryError:
            pass  # with it goes the last that refers to what the work has allocated
        with self._lock:
            self._idle.clear()
        self.device.release()
        raise NetcError(out_of_memory(self.report(), self.device.facts.memory))

    def report(self) -> ExecutableReport:
        """Steps, passes and memory in bytes."""
        steps = [s for s in self.program.steps if isinstance(s, ArrayStep)]
        return {
            "backend": "cuda",
            "device": self.device.facts.name,
            "precision": self.emission.precision.name,
            "steps": len(self.program.steps),
            "kernels": len(self.program.kernels),
            "library_steps": [
                s.name for s in self.program.launches if isinstance(s.kernel, LibraryKernel)
            ],
            "array_steps": [s.name for s in steps if not s.host],
            "host_steps": [s.name for s in steps if s.host],
            "arena_bytes": self.program.arena,
            "arena_floor_bytes": self.storage.arena.floor * self.program.item // BYTES,
            "workspace_bytes": self.program.workspace,
            "weights_bytes": self.program.constants,
            "passes": {item.name: item.rewrites for item in self.applied},
        }

    def timed(self, feeds: Mapping[str, object]) -> tuple[dict[str, AnyArray], list[StepTime]]:
        """What ``run`` gives, and what each step takes when it is started by itself."""
        return self.run(feeds), self.profile(feeds, 1)

    def graphs(self) -> tuple[Graph, ...]:
        """The graph that its steps were made from."""
        return (self.emission.graph,)

    def profile(self, feeds: Mapping[str, object], rounds: int) -> list[StepTime]:
        """Each step's median time in seconds over some rounds, in order, started one by one."""
        with self.device.active():
            return self._within_memory(lambda: self._profile(feeds, max(1, rounds)))

    def _profile(self, feeds: Mapping[str, object], rounds: int) -> list[StepTime]:
        device, context = self.device, self._take()
        device.follow(context.mark)
        for name in self.emission.graph.inputs:
            self._feed(context, name, feeds[name])
        context.run()
        times = []
        for step, call in zip(self.program.steps, context.calls, strict=True):
            seconds = device.measure(partial(context.start, call), rounds)
            times.append(StepTime(step.name, isinstance(step, Launch), seconds))
        device.wait()
        with self._lock:
            self._idle.append(context)
        return times

    def _take(self) -> DeviceContext:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return DeviceContext(self.program, self.device, self._weights, self.graph)

    def _feed(self, context: DeviceContext, name: str, value: object) -> None:
        """Copy a caller's array to where the net has it."""
        array = in_few_pieces(self.device.asarray(value))
        known = (name, array.strides)
        if known not in self._copies:
            shape, view = self.emission.graph.shape(name), self.emission.view(name)
            strides = [stride // array.dtype.itemsize for stride in array.strides]
            if len(self._copies) > _COPIES:
                self._copies.clear()
            self._copies[known] = (
                image_copy(self._load_image, view, strides)
                if view.zeros
                else edge_copy(self._load, shape, strides, stored_strides(shape, view))
            )
        place = context.address(self.emission.view(name))
        self._start(self._copies[known], self.device.address(array), place)

    def _result(self, context: DeviceContext, name: str) -> AnyArray:
        """A value as a new array."""
        array = self.device.empty(self.emission.graph.shape(name), np.float32)
        self._store_value(context, name, self.device.address(array))
        return array

    def _store_value(self, context: DeviceContext, name: str, target: int) -> None:
        """Copy a value to an address, as float32 in C order."""
        shape, view = self.emission.graph.shape(name), self.emission.view(name)
        if (name, None) not in self._copies:
            own = stored_strides(shape, view)
            self._copies[name, None] = edge_copy(self._store, shape, own, c_strides(shape))
        self._start(self._copies[name, None], context.address(view), target)

    def _start(self, copy: KernelCall | None, source: int, target: int) -> None:
        if copy is not None:
            addresses = (np.uint64(source), np.uint64(target))
            self.device.launch(copy._replace(arguments=addresses + copy.arguments))
