"""Variables: parameters whose elements may change between runs, and who may have changed them.

A :class:`Variable` is a place: one float32 array in C order that is never moved or replaced, so
that a program may hold its address. A :class:`Variables` is the places of a net by name. All
executables of a net that share one see each other's writes: those of several input shapes, or a
TEST net that runs with the weights of a TRAIN net.

How a change is noticed
    Programs keep copies of variables in other layouts (packed weights, Winograd transforms), and
    must know when to make them anew. A variable has a ``version`` that counts its changes. Writes
    through :meth:`Variable.write` count at once. Arrays that callers were given may be written at
    any time while somebody holds them, or a view of them: a weak reference tells whether. As long
    as it lives, :meth:`Variable.current_version` compares the elements with those at the last
    look; when it is gone, what was written before it went is counted once, and nothing is compared
    from then on. See docs/decisions/0009-variables.md.

Writing to an array while a run is under way gives that run old elements, new ones or some of both;
the next run has the new ones.

Elements elsewhere
    A program that runs on a device updates its copy there and says so (:meth:`Variable.moved_to`).
    The array here is then out of date until somebody asks for it: :attr:`Variable.array`,
    :meth:`Variable.lend` and all that goes through them bring the elements back first. An array
    that a caller holds cannot ask, so it is brought up to date at the end of each run.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from netc.backends.shared.joint import JointMemory
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array, Graph, Parameter
from netc.ir.types import Shape, count
from netc.memory import check_memory
from netc.ops.array import AnyArray

_ALIGNMENT = 64  # bytes: a cache line, and the widest vector
_COMPARED = 1 << 18  # elements that are compared at a time


class NewerCopy(Protocol):
    """A variable's elements in other memory, where they are newer than the variable's own."""

    def fetch(self, into: Array) -> None:
        """Copy the elements into an array of the variable's shape."""

    def copied(self) -> Callable[[], Array]:
        """Keep a copy of the elements as of now where they are; what it gives fetches that."""


class Variable:
    """One place.

    Args:
        name: the parameter's.
        values: what it holds at first; copied.
        shared: where it lies with what it holds, in memory that other processes write to as well;
            None for memory of its own.
        beside: memory for what is derived of it, which those processes share too.

    Raises:
        NetcError: too-little-memory.
    """

    def __init__(
        self,
        name: str,
        values: Array,
        shared: Array | None = None,
        beside: JointMemory | None = None,
    ) -> None:
        self.name, self.shared, self.beside = name, shared is not None, beside
        if shared is None:
            check_memory(4 * values.size, f"the place of variable `{name}`")
            shared = _aligned(values.shape)
            shared[...] = values
        self._array = shared.reshape(values.shape)
        self._turn = threading.RLock()  # a read may fall into the end of a run
        self._elsewhere: NewerCopy | None = None  # who has newer elements; never while lent
        self._moves = False  # whether programs change it in other memory
        self._version = 0
        self._lent: weakref.ref[Array] | None = None  # what callers' arrays are views of
        self._seen: Array | None = None  # the elements at the last look, while anything is lent

    @property
    def array(self) -> Array:
        """The elements, at one place for good: up to date at the moment of asking."""
        with self._turn:
            newer, self._elsewhere = self._elsewhere, None
            if newer is not None:
                newer.fetch(self._array)
                self._look()
        return self._array

    @property
    def shape(self) -> Shape:
        """The parameter's shape."""
        return self._array.shape

    def offset_of(self, view: AnyArray) -> int:
        """Bytes from the first element to that of a view of the place."""
        return int(view.ctypes.data - self._array.ctypes.data)

    def copied(self) -> Callable[[], Array]:
        """A function that gives the elements as they are now; they are copied where they lie."""
        with self._turn:
            if self._elsewhere is not None:
                return self._elsewhere.copied()
            copy = self._array.copy()
        return lambda: copy

    def lend(self) -> Array:
        """The elements as an array that may be written to, for callers.

        All views of it refer to one array that nothing here holds, so its end is that of all.
        """
        with self._turn:
            current = self.array
            lent = self._lent() if self._lent is not None else None
            if lent is None:
                lent = _outer_view(current)
                self._lent = weakref.ref(lent)
                if self._moves:  # a look that finds them unchanged spares the way back
                    self._seen = current.copy()
            return lent.reshape(self.shape)

    def write(self, values: AnyArray, part: Sequence[int] = ()) -> None:
        """Change the elements, or a part of them in C order.

        Args:
            values: an array of the variable's shape.
            part: begin and end of the elements that change; empty for all.
        """
        if part:
            chosen = slice(*part)
            self.array.reshape(-1)[chosen] = values.reshape(-1)[chosen]
        else:
            with self._turn:
                self._elsewhere = None  # all of it is written over
                self._array[...] = values
        self.changed()

    def changed(self) -> None:
        """Count a change of the elements that a program has made here."""
        self._version += 1
        self._look()

    def moved_to(self, elsewhere: NewerCopy) -> int:
        """Count a change that a program has made in other memory; the new version."""
        with self._turn:
            self._elsewhere, self._moves = elsewhere, True
            self._version += 1
            if self._lent is not None and self._lent() is None:
                self._lent = self._seen = None  # what was written meanwhile has been written over
            if self._lent is not None:
                self.array  # noqa: B018 - whoever holds an array of it sees the new elements
            return self._version

    def _look(self) -> None:
        """Remember the elements as they are, where somebody may write to them."""
        if self._seen is not None:
            self._seen[...] = self._array

    def current_version(self) -> int:
        """How often the elements have changed, as far as can be told; equal means unchanged."""
        if self._lent is None:
            return self._version
        held = self._lent() is not None  # asked before the look: who held it may write meanwhile
        if self._seen is None or not _same_bits(self._seen, self._array):
            self._version += 1
            self._seen = self._array.copy() if held else None
        if not held:
            self._lent = self._seen = None
        return self._version


def _outer_view(array: Array) -> Array:
    """A flat view of an array to which all further views refer, and not to the array itself.

    A view of a view has the last array of the chain as its base. What a memoryview gives is the
    last array, since its own base is none.
    """
    if not array.size:
        return np.empty(0, np.float32)
    return np.frombuffer(array.reshape(-1).data, np.float32)


def _aligned(shape: Shape) -> Array:
    """A new array whose elements start at a cache line."""
    size = 4 * count(shape)
    memory = np.zeros(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(np.float32).reshape(shape)


def _same_bits(one: Array, other: Array) -> bool:
    """True if two arrays are equal bit for bit, NaN included."""
    flat: list[NDArray[np.uint32]] = [a.reshape(-1).view(np.uint32) for a in (one, other)]
    starts = range(0, one.size, _COMPARED)
    return all(
        np.array_equal(flat[0][at : at + _COMPARED], flat[1][at : at + _COMPARED]) for at in starts
    )


class Variables(Mapping[str, Array]):
    """A net's variables by the names of their parameters; an item is an array to write to.

    ``lock`` is held by each run of a program that reads variables, from the look at what has
    changed to the updates at its end: runs that share variables go one after another.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._variables: dict[str, Variable] = {}

    def __getitem__(self, name: str) -> Array:
        return self._variables[name].lend()

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def variable(self, name: str) -> Variable:
        """The variable of a name."""
        return self._variables[name]

    def add(self, variable: Variable) -> None:
        """A place that lies in memory of the caller's, before any graph is bound."""
        self._variables[variable.name] = variable

    def fit(self, graph: Graph) -> bool:
        """True if the graph's variables have the shapes of those that are there already."""
        parameters = graph.parameters.items()
        there = [(self._variables[n].shape, p.shape) for n, p in parameters if n in self._variables]
        return all(own == other for own, other in there)

    def read_by(self, graph: Graph) -> list[Variable]:
        """The variables that a graph has bound."""
        own = [n for n, p in graph.parameters.items() if p.variable and p.owner is None]
        return [self._variables[name] for name in own]

    def bind(self, graph: Graph) -> Graph:
        """The graph with its variables' arrays being the places; new names get places of their own.

        A place that is there already keeps its elements.

        Raises:
            NetcError: weight-shape, where a variable of that name has another shape.
        """
        if not any(p.variable for p in graph.parameters.values()):
            return graph
        bound = {n: self._bound(p) if p.variable else p for n, p in graph.parameters.items()}
        return graph.replace(parameters=bound)

    def _bound(self, parameter: Parameter) -> Parameter:
        if parameter.owner is not None:
            return parameter
        assert parameter.array is not None and parameter.shape is not None
        name = parameter.name
        if name not in self._variables:
            self._variables[name] = Variable(name, parameter.array)
        held = self._variables[name]
        if held.shape != parameter.shape:
            raise NetcError(
                Diagnostic(
                    "weight-shape",
                    f"variable `{name}` is {held.shape}, and the net that shares it has "
                    f"{parameter.shape}",
                    parameter.span,
                )
            )
        return replace(parameter, array=held.array)

    def fetch(self) -> None:
        """Bring all elements up to date in the arrays that bound graphs have of them."""
        for variable in self._variables.values():
            variable.array  # noqa: B018 - which brings them

    def update(self, values: Mapping[str, AnyArray]) -> None:
        """Write to several variables, by name."""
        for name, array in values.items():
            self._variables[name].write(array)
