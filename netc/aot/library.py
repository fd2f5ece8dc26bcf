"""The tables of an ahead-of-time library: a program's steps, their arguments, and its constants.

A kernel's argument is one int64. Here each is a kind and a number, from which the library computes
the int64 when an instance is created and addresses are known::

    NUMBER     the int64 itself
    ARENA      byte offset in the instance's arena
    WORKSPACE  byte offset in the memory that a step's threads share
    WEIGHTS    byte offset in the weights
    STATUS     byte offset in the run's status words (netc.backends.cpu.status), int64
    EXTERNAL+k byte offset in the caller's array k: set before each run
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from netc.aot.targets import Target
from netc.backends.cpu.backend import BuiltProgram
from netc.backends.cpu.jit import KernelSpec
from netc.backends.cpu.program import Argument, Constant, Program, PythonStep, Step
from netc.backends.cpu.status import reports_faults, status_index, status_nodes
from netc.backends.shared.derived import Derived
from netc.backends.shared.views import Arena, Buffer, External, Workspace
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Graph, Node
from netc.ir.types import Shape, count
from netc.ops.catalog import has_role
from netc.ops.linear import EmbedParams
from netc.ops.role import Role

NUMBER, ARENA, WORKSPACE, WEIGHTS, STATUS, EXTERNAL = range(6)
ALIGNMENT = 64  # bytes: a cache line, and the widest vector
FLOAT = 4


class RowsStatus(NamedTuple):
    """The status word that a run writes an output's number of rows to, and the axis of the rows."""

    status: int
    axis: int


class LibraryBlob(NamedTuple):
    """An input or output: its net's and its C name, its (largest) shape, where rows are counted."""

    blob: str
    name: str
    shape: Shape
    chosen: RowsStatus | None = None

    @property
    def elements(self) -> int:
        """The number of floats in the array."""
        return count(self.shape)

    @property
    def row(self) -> int:
        """The number of floats in a row, for outputs with ``chosen`` rows; rows are contiguous."""
        assert self.chosen is not None
        return count(self.shape[self.chosen.axis + 1 :])


class StepEntry(NamedTuple):
    """A step: its kernel, its first argument's index, its units of work, their smallest chunk."""

    kernel: KernelSpec
    arguments: int
    units: int
    grain: int


@dataclass(frozen=True, eq=False)
class PlannedLibrary:
    """A planned net for a target; all sizes are in bytes.

    Args:
        name: a C identifier, the prefix of all public names.
        net: the net's own name.
        target: the target.
        inputs: in the order of the caller's arrays.
        outputs: the caller's arrays after the inputs, in order.
        rows: the steps.
        arguments: (kind, number) of all steps' arguments, one after the other.
        arena: size of the arena.
        workspace: size of the memory that a step's threads share.
        scratch: size of each thread's own scratch memory.
        weights: all constants, each at a multiple of 64 bytes.
        threads: whether a step may be split among several threads.
        telling: names of the layers that write a status word, in the order of the words.
        faults: index of a word that reports a fault, by a value below 0 -> what is wrong then.
    """

    name: str
    net: str
    target: Target
    inputs: tuple[LibraryBlob, ...]
    outputs: tuple[LibraryBlob, ...]
    rows: tuple[StepEntry, ...]
    arguments: tuple[tuple[int, int], ...]
    arena: int
    workspace: int
    scratch: int
    weights: bytes
    threads: bool
    telling: tuple[str, ...] = ()
    faults: Mapping[int, str] = field(default_factory=dict)

    @property
    def kernels(self) -> tuple[KernelSpec, ...]:
        """The distinct kernels, in order of first use."""
        return tuple(dict.fromkeys(row.kernel for row in self.rows))

    @property
    def hash(self) -> str:
        """16 hex digits of the weights' SHA-256; the library checks a weights file by it."""
        return hashlib.sha256(self.weights).hexdigest()[:16]


def library_of(built: BuiltProgram, target: Target, name: str, *, threads: bool) -> PlannedLibrary:
    """Convert a CPU program to a library's tables.

    Raises:
        NetcError: no-kernel, with every layer that only a definition in Python can run.
    """
    program, graph = built.program, built.plan.context.graph
    steps = _compiled(program, built.defined)
    weights = _Weights()
    arguments: list[tuple[int, int]] = []
    rows = []
    for step in steps:
        rows.append(StepEntry(step.kernel, len(arguments), step.units, step.grain))
        arguments += [_argument(program, given, weights) for given in step.args]
    arguments = _with_status(arguments, status_index(graph))
    telling = status_nodes(graph)
    number = {node.name: k for k, node in enumerate(telling)}
    chosen = {v: RowsStatus(number[r.maker], r.axis) for v, r in built.rows.items()}
    taken: set[str] = set()
    return PlannedLibrary(
        name,
        graph.name,
        target,
        tuple(_blobs(graph, graph.inputs, taken)),
        tuple(_blobs(graph, graph.outputs, taken, chosen)),
        tuple(rows),
        tuple(arguments),
        FLOAT * program.arena,
        program.workspace,
        program.scratch,
        bytes(weights.memory),
        threads,
        tuple(number),
        {number[n.name]: _fault(n) for n in telling if reports_faults(n)},
    )


def _fault(node: Node) -> str:
    if has_role(node.op, Role.EMBEDDING):
        return f"an index is no whole number from 0 to {node.params_as(EmbedParams).input_dim - 1}"
    return "a region is of an image that is not in the batch"


def _with_status(arguments: Sequence[tuple[int, int]], array: int) -> list[tuple[int, int]]:
    """What is told goes into an array of the instance's own, and not into one of the caller's."""
    own = EXTERNAL + array
    return [(STATUS if kind == own else kind, number) for kind, number in arguments]


def _compiled(program: Program, defined: Sequence[Node]) -> list[Step]:
    if defined:
        faults = [
            Diagnostic(
                "no-kernel",
                f"layer `{node.name}` ({node.op}) has no kernel: it runs by its definition in "
                "Python alone",
                node.span,
                help=("`--until BLOB` builds the net up to a blob before it",),
            )
            for node in defined
        ]
        raise NetcError(faults)
    assert not any(isinstance(step, PythonStep) for step in program.steps)
    return [step for step in program.steps if isinstance(step, Step)]


class _Weights:
    """Constants one after the other; the same array once."""

    def __init__(self) -> None:
        self.memory = bytearray()
        self._known: dict[int, int] = {}
        self._alive: list[Constant] = []

    def place(self, array: Constant) -> int:
        """Bytes from the start to the array's elements."""
        if id(array) not in self._known:
            self.memory += bytes(-len(self.memory) % ALIGNMENT)
            self._known[id(array)] = len(self.memory)
            self._alive.append(array)
            self.memory += _memory_of(array)
        return self._known[id(array)]


def _memory_of(array: Constant) -> bytes:
    """The bytes from an array's first element to its last: kernels step through them themselves."""
    if array.flags.c_contiguous:
        return array.tobytes()
    begin, end = np.lib.array_utils.byte_bounds(array)
    assert begin == array.ctypes.data, "a constant with a negative stride"
    return ctypes.string_at(begin, end - begin)


def _argument(program: Program, given: Argument, weights: _Weights) -> tuple[int, int]:
    place = program.resolved(given) if isinstance(given, Buffer) else given
    if isinstance(place, Arena):
        return ARENA, FLOAT * place.offset
    if isinstance(place, Workspace):
        return WORKSPACE, FLOAT * place.offset
    if isinstance(place, External):
        return EXTERNAL + place.array, FLOAT * place.offset
    if isinstance(place, Derived):
        return WEIGHTS, weights.place(place.array)
    if isinstance(place, np.ndarray):
        return WEIGHTS, weights.place(place)
    if isinstance(place, float):
        return NUMBER, int(struct.unpack("<I", struct.pack("<f", place))[0])
    assert isinstance(place, int)
    return NUMBER, place


_KEYWORDS = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if "
    "inline int long register restrict return short signed sizeof static struct switch typedef "
    "union unsigned void volatile while class new delete this template "
    # What stands beside them in a function of the library, or in the example.
    "instance net n at main argc argv threads weights failed atoi exit fread fwrite fprintf printf "
    "stdin stdout stderr abs div index log exp read write time".split()
)


def identifier(text: str) -> str:
    """A text as a C identifier, other characters replaced."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII).strip("_").lower() or "net"
    return f"n{name}" if name[0].isdigit() else name


def _blobs(
    graph: Graph,
    values: Sequence[str],
    taken: set[str],
    chosen: Mapping[str, RowsStatus] = MappingProxyType({}),
) -> Iterator[LibraryBlob]:
    """Inputs or outputs with C names of their own."""
    for value in values:
        blob = graph.values[value].blob if value in graph.inputs else value
        name = identifier(blob)
        name = f"{name}_" if name in _KEYWORDS else name
        while name in taken or (value in chosen and f"{name}_rows" in taken):
            name += "_"
        taken.update((name, f"{name}_rows") if value in chosen else (name,))
        yield LibraryBlob(blob, name, graph.shape(value), chosen.get(value))
