"""The CPU backend: passes, storage, steps, and contexts that run them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np

from netc.backends.base import (
    BackendOptions,
    Executable,
    ExecutableReport,
    MemoryPlan,
    Options,
    StepTime,
)
from netc.backends.cpu.allocate import ExecutionPlan, plan_graph
from netc.backends.cpu.context import Context
from netc.backends.cpu.dynamic import StagedExecutable
from netc.backends.cpu.emit.edges import load_inputs, store_outputs, store_updates
from netc.backends.cpu.emit.emission import EmitContext
from netc.backends.cpu.emit.table import reports_rows
from netc.backends.cpu.machine import Machine, machine
from netc.backends.cpu.packing import StepPacking
from netc.backends.cpu.parts import HeadExecutable, PartsExecutable, of_batch
from netc.backends.cpu.precision import precision_report, warn_if_slow
from netc.backends.cpu.program import Program, PythonStep, Step
from netc.backends.cpu.status import check_numbers, new_status, of_exact_size, status_nodes
from netc.backends.cpu.variable_values import shared_gradients
from netc.backends.reduction import check_reduced, passes_for
from netc.backends.reference import ReferenceBackend
from netc.backends.shared.derived import versions
from netc.backends.threads import thread_count
from netc.backends.variables import Variables
from netc.ir.graph import Array, Graph, Node
from netc.ir.types import count
from netc.memory import check_memory, on_behalf
from netc.ops.array import AnyArray
from netc.ops.catalog import has_role
from netc.ops.ranks import sharing_group
from netc.ops.role import Role
from netc.passes.base import Applied, run_passes
from netc.passes.constants import FOLD_CONSTANTS
from netc.passes.recompute import recomputed
from netc.plan.batches import images_at_a_time, without_head
from netc.plan.needs import ask_for_arena, definition_bytes
from netc.plan.rows import ChosenRows, bounded_rows
from netc.plan.split import split
from netc.plan.storage import BYTES

Result = TypeVar("Result")


class CpuBackend:
    """Runs graphs on NumPy arrays with compiled kernels."""

    options = BackendOptions
    precisions = ("float32", "fp16", "bf16", "int8")
    on_host = True

    def convert_input(self, value: object) -> AnyArray:
        """The value as a NumPy array."""
        return np.asarray(value)

    def memory_plan(self, graph: Graph) -> MemoryPlan:
        """The arena of a plan; no kernel is asked for, and parameters need no arrays."""
        # Records are made of shapes; zeros that are broadcast take no memory.
        zeros = {
            name: replace(
                p,
                array=None if p.owner else np.broadcast_to(np.float32(0), p.shape or ()),
                variable=False,
            )
            for name, p in graph.parameters.items()
        }
        graph = graph.replace(parameters={**graph.parameters, **zeros})
        arena = plan_graph(EmitContext(graph)).arena
        return MemoryPlan(arena.size, arena.floor)

    def prepare(self, graph: Graph, options: Options) -> Executable:
        """The graph after its passes, planned and made into steps.

        What depends on sizes that only a run tells is planned while running. Blobs without
        elements are no work for kernels: such a graph runs by its definitions.
        """
        if any(value.shape and count(value.shape) == 0 for value in graph.values.values()):
            return ReferenceBackend().prepare(graph, options)
        variables = Variables() if options.variables is None else options.variables
        options, graph = replace(options, variables=variables), variables.bind(graph)
        planned, rest = split(graph, bounded_rows(graph, reports_rows))
        if rest is None:
            return self._in_parts(graph, options, variables)
        first = self._plan(planned, options, variables) if planned.nodes else None
        return StagedExecutable(
            graph, first, rest, lambda late: self.prepare(late, options), variables
        )

    def _in_parts(self, graph: Graph, options: Options, variables: Variables) -> Executable:
        """The graph planned for its whole batch, or for a few images of it at a time."""
        threads = thread_count(options.threads)
        body, head = graph, None
        if any(has_role(node.op, Role.BOX_ROWS) for node in graph.nodes):
            body, head = without_head(run_passes(graph, (FOLD_CONSTANTS,))[0])
        images = images_at_a_time(body, machine().l3 // 2, threads)
        part = of_batch(body, images) if images else None
        if part is None:
            return self._plan(graph, options, variables)
        check_memory(outputs_bytes(body), "a batch's outputs")
        parts = PartsExecutable(body, self._plan(part, options, variables), images, variables)
        if head is None:
            return parts
        return HeadExecutable(graph, parts, self._plan(head, options, variables), variables)

    def _plan(self, graph: Graph, options: Options, variables: Variables) -> Executable:
        known = versions(variables.read_by(graph))  # before anything is made of them
        built = build_program(graph, options, variables, machine())
        program, plan = built.program, built.plan
        optimized, threads = plan.context.graph, plan.context.threads
        warn_if_slow(plan.context)
        besides = outputs_bytes(optimized) + program.working(threads)
        ask_for_arena(optimized, plan.arena, besides + temporaries(built, optimized))
        program.compile(options.progress)
        packing = StepPacking(program.derived, known, program.machine, threads)
        kept = replace(plan, records={})  # their steps are built
        return CpuExecutable(graph, kept, program, built.applied, packing, built.rows, variables)


class BuiltProgram(NamedTuple):
    """A graph's program, none of whose kernels is compiled yet.

    ``defined`` are the nodes that definitions have a part in; ``applied`` is what passes did;
    ``rows`` are the outputs of which a run tells how many rows there are.
    """

    program: Program
    plan: ExecutionPlan
    defined: tuple[Node, ...]
    applied: tuple[Applied, ...]
    rows: Mapping[str, ChosenRows]


def build_program(
    graph: Graph,
    options: Options,
    variables: Variables,
    target: Machine,
    bounded: Callable[[Node], bool] = reports_rows,
) -> BuiltProgram:
    """Plan a graph all of whose sizes are known for a machine, which need not be this one.

    ``bounded`` are the layers that choose rows and are planned for the most there can be.

    Raises:
        NetcError: too-little-memory, for weights as the kernels read them; what cannot be
            recomputed to fit in ``options.blobs``.
    """
    own = options.own_as(BackendOptions)
    optimized, applied = run_passes(graph, passes_for(options, target))
    check_reduced(optimized, own)
    context = EmitContext(
        optimized,
        machine=target,
        threads=thread_count(options.threads),
        exact=options.exact,
        half=own.precision == "fp16",
        variables=variables,
    )

    def size(graph: Graph) -> int:
        return plan_graph(replace(context, graph=graph)).arena.size

    optimized, applied = recomputed(optimized, applied, size, options.blobs)
    plan = plan_graph(replace(context, graph=optimized))
    ask_for_arena(optimized, plan.arena, outputs_bytes(optimized))
    steps, defined = built_steps(plan)
    program = Program(steps, plan.arena.size // BYTES, plan.context.target, plan.buffers)
    known = bounded_rows(graph, bounded)
    rows = {name: known[name] for name in graph.outputs if name in known}
    return BuiltProgram(program, plan, defined, applied, rows)


def temporaries(built: BuiltProgram, graph: Graph) -> int:
    """Bytes of the most that a definition takes; what finishes a kernel's work takes none."""
    steps = built.program.steps
    finished = {s.name for s in steps if isinstance(s, PythonStep) and s.finishes}
    slow = (node for node in built.defined if node.name not in finished)
    return max((definition_bytes(graph, node) for node in slow), default=0)


def outputs_bytes(graph: Graph) -> int:
    """Bytes of the arrays that a run returns."""
    return BYTES * sum(count(graph.shape(name)) for name in graph.outputs)


def built_steps(plan: ExecutionPlan) -> tuple[tuple[Step | PythonStep, ...], tuple[Node, ...]]:
    """All steps of a program in order, and the nodes that definitions have a part in.

    Raises:
        NetcError: too-little-memory, for weights as the kernels read them.
    """
    steps: list[Step | PythonStep] = []
    defined: list[Node] = []
    for record in plan.records.values():
        node = record.node
        with on_behalf(f"layer `{node.name}` ({node.op})", node.span):
            own = list(record.steps())
        steps += own
        if any(isinstance(step, PythonStep) for step in own):
            defined.append(node)
    context = plan.context
    edges = load_inputs(context), [*store_outputs(context), *store_updates(context)]
    return (*edges[0], *steps, *edges[1]), tuple(defined)


@dataclass
class CpuExecutable:
    """A program and the contexts that run it, one for each call that is under way."""

    graph: Graph
    plan: ExecutionPlan
    program: Program
    applied: tuple[Applied, ...]
    packing: StepPacking
    rows: Mapping[str, ChosenRows] = field(default_factory=dict)
    variables: Variables = field(default_factory=Variables)
    _idle: list[Context] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Each output for these inputs, as new arrays; then the updates are written."""
        return self._run(feeds, Context.run)[0]

    def timed(self, feeds: Mapping[str, Array]) -> tuple[dict[str, Array], list[StepTime]]:
        """What ``run`` gives, and what each step took of it, in order."""
        results, times = self._run(feeds, Context.time)
        steps = zip(self.program.steps, times, strict=True)
        return results, [StepTime(s.name, isinstance(s, Step), seconds) for s, seconds in steps]

    def graphs(self) -> tuple[Graph, ...]:
        """The graph that its steps were made from."""
        return (self.plan.context.graph,)

    # Looked for once: a small net runs in less time than it takes to look through its graph.
    @cached_property
    def reads_variables(self) -> bool:
        """True if runs must go one after another."""
        return any(p.variable for p in self.plan.context.graph.parameters.values())

    @cached_property
    def _telling(self) -> tuple[Node, ...]:
        return status_nodes(self.plan.context.graph)

    @cached_property
    def _group(self) -> str:
        return shared_gradients(self.plan.context.graph)

    def _run(
        self, feeds: Mapping[str, Array], call: Callable[[Context, Sequence[Array]], Result]
    ) -> tuple[dict[str, Array], Result]:
        if not self.reads_variables:
            return self._call(feeds, call, ())
        with self.variables.lock:
            self.packing.refresh()
            places = [self.variables.variable(name) for name in self.plan.context.graph.updates]
            found = self._call(feeds, call, [place.array for place in places])
            for place in places:
                place.changed()
            return found

    def _call(
        self,
        feeds: Mapping[str, Array],
        call: Callable[[Context, Sequence[Array]], Result],
        updates: Sequence[Array],
    ) -> tuple[dict[str, Array], Result]:
        graph = self.plan.context.graph
        given = [np.ascontiguousarray(feeds[name]) for name in graph.inputs]
        results = {name: np.empty(graph.shape(name), np.float32) for name in graph.outputs}
        context, status = self._take(), new_status(self._telling)
        shared = [sharing_group(self._group).areas.reshape(-1)] if self._group else []
        try:
            told = call(context, [*given, *results.values(), *updates, status, *shared])
        finally:
            with self._lock:
                self._idle.append(context)
        check_numbers(graph, self._telling, status)
        return of_exact_size(results, self.rows, self._telling, status), told

    def _take(self) -> Context:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return Context(self.program, self.plan.context.threads)

    def report(self) -> ExecutableReport:
        """Steps, passes and memory in bytes."""
        return {
            "backend": "cpu",
            "isa": self.program.machine.isa,
            "threads": self.plan.context.threads,
            "steps": len(self.program.steps),
            "reference_steps": list(self.program.by_definition),
            "arena_bytes": self.plan.arena.size,
            "arena_floor_bytes": self.plan.arena.floor,
            "workspace_bytes": self.program.working(self.plan.context.threads),
            **precision_report(self.graph, self.plan.context, self.program, self.applied),
            "passes": {item.name: item.rewrites for item in self.applied},
        }
