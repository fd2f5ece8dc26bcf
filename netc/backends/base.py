"""What a backend is.

Constants and variables
    A parameter of a graph is a constant, or a variable (``Parameter.variable``): a place whose
    elements may change between runs without a new plan or new kernels. Places are held in a
    :class:`~netc.backends.variables.Variables`; ``Options.variables`` hands in one that other
    executables use too, and every executable has the one it reads in ``Executable.variables``.

        train = backend.prepare(train_graph, options)
        test = backend.prepare(test_graph, replace(options, variables=train.variables))
        train.variables["conv1/0"][...] = array      # the next run of both uses it

    * A node reads a variable as one of its ``parameters``, or as an ordinary value: that of a
      ``Parameter`` node (``Node(name, "Parameter", ParameterParams(shape), (), (value,),
      (parameter,))``). Any number of nodes may do both; a parameter need not be a layer's weights.
    * ``Graph.updates`` says what is written to variables at the end of each run. Values are read
      by nodes as they were before the run, updates are written together after the last node, and
      forms of the weights in other layouts are made again when they are next needed.
    * What changes from run to run and is no variable, such as a rate or an iteration, is an input
      of the graph, with shape ``()`` or any other; feeding it needs no new plan.
    * Runs that share variables go one after another, whichever thread they are called from; a
      graph without variables may be run by several threads at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypedDict, TypeVar

from netc.backends.variables import Variables
from netc.ir.graph import Array, Graph
from netc.memory import Budget
from netc.ops.array import AnyArray
from netc.ops.reduced import Int8
from netc.passes.base import Pass

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """What any backend may be asked for; a backend with further options has a subclass.

    Args:
        precision: what products are computed in, one of the backend's ``precisions``.
        layers: with "int8", the layers that are computed so, and what their inputs are rounded to.
    """

    precision: str = "float32"
    layers: Mapping[str, Int8] = field(default_factory=dict, hash=False)


Own = TypeVar("Own", bound=BackendOptions)


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may choose about how a net runs.

    Args:
        passes: what rewrites the graph, in order.
        exact: whether kernels must keep the order of sums too (no Winograd).
        threads: how many; None for ``NETC_NUM_THREADS`` or the machine's cores.
        own: the backend's own options, of the type that its ``Backend.options`` names; None for
            their defaults.
        progress: called as (done, total, name) while kernels are compiled for the first time.
        variables: the places of the graph's variables, by parameter name, which other executables
            may read too; those it lacks are added, with the graph's arrays as their first content.
            None makes them for this executable.
        memory: how much may be taken; None for the budget in force (netc.memory).
        blobs: bytes that a plan's blobs and scratch memory may take; where they would take more,
            values are made again for the backward pass (netc.passes.recompute). None for any.
    """

    passes: tuple[Pass, ...] = ()
    exact: bool = False
    threads: int | None = None
    own: BackendOptions | None = None
    progress: Progress | None = None
    variables: Variables | None = None
    memory: Budget | None = None
    blobs: int | None = None

    def own_as(self, kind: type[Own]) -> Own:
        """The backend's own options.

        Raises:
            TypeError: they are those of another backend.
        """
        own = kind() if self.own is None else self.own
        if not isinstance(own, kind):
            raise TypeError(f"a backend takes {kind.__name__}, not {type(own).__name__}")
        return own


class MemoryPlan(NamedTuple):
    """Bytes of blobs and scratch memory that a plan holds at once, and the least any plan could."""

    planned: int
    floor: int


class StepTime(NamedTuple):
    """What a step took; ``compiled`` is False where a definition ran in its place."""

    name: str
    compiled: bool
    seconds: float


class Description(NamedTuple):
    """What a backend runs on here: facts as JSON takes them, and (device, line) for people.

    A line without a device goes on about the one before.
    """

    facts: Mapping[str, object]
    lines: tuple[tuple[str, str], ...]


class ExecutableReport(TypedDict, total=False):
    """What an executable is made of, as far as its backend has such things.

    Memory is in bytes, and steps and layers are named. ``arena_floor_bytes`` is the least that any
    placing of the values could take; ``passes`` are the rewrites by pass. ``images_at_a_time`` is
    there where a batch runs in parts. ``instructions`` says whether the machine has some for what
    ``reduced_layers`` are computed in; ``float32_layers`` are the other convolutions and inner
    products, and why they are not computed so.
    """

    net: str
    backend: str
    device: str
    isa: str
    threads: int
    precision: str
    images_at_a_time: int
    steps: int
    kernels: int
    library_steps: list[str]
    array_steps: list[str]
    host_steps: list[str]
    reference_steps: list[str]
    late_steps: list[str]
    arena_bytes: int
    arena_floor_bytes: int
    workspace_bytes: int
    weights_bytes: int
    float16_weights: list[str]
    float32_weights: list[str]
    reduced_layers: list[str]
    float32_layers: dict[str, str]
    instructions: bool
    passes: dict[str, int]


class Executable(Protocol):
    """A graph made ready for fixed input shapes. May be called from several threads at once."""

    @property
    def variables(self) -> Variables:
        """The places of the graph's variables; empty where all parameters are constants."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Each of the graph's outputs for these inputs, as new float32 arrays.

        The graph's updates are written to the variables before it returns.
        """

    def timed(self, feeds: Mapping[str, Array]) -> tuple[dict[str, Array], list[StepTime]]:
        """What ``run`` gives, and what each step took of a run's wall time, in order."""

    def graphs(self) -> tuple[Graph, ...]:
        """What it runs, after passes, as far as that is planned; steps have nodes' names."""

    def report(self) -> ExecutableReport:
        """What it is made of: backend, steps, memory in bytes."""


class Backend(Protocol):
    """A way of running graphs. A new one is a class like this and a line in registry.py."""

    @property
    def options(self) -> type[BackendOptions]:
        """The type of its own options."""

    @property
    def precisions(self) -> tuple[str, ...]:
        """What it can compute products in, the usual one first."""

    @property
    def on_host(self) -> bool:
        """True if its blobs lie in the host's memory."""

    def convert_input(self, value: object) -> AnyArray:
        """A caller's array as this backend takes it, with its dtype; without a copy if it can be.

        Raises:
            ValueError, TypeError, RuntimeError, BufferError: it is no array.
        """

    def prepare(self, graph: Graph, options: Options) -> Executable:
        """An executable for a graph with inferred shapes and parameters that have arrays."""

    def memory_plan(self, graph: Graph) -> MemoryPlan | None:
        """What a graph's blobs would take, after passes and before anything is packed.

        None where nothing is planned.
        """
