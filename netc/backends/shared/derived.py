"""Arrays that are made of a net's variables, and are made again when those have changed.

Builders of steps compute with trained arrays: they pack them, fold factors, join branches. Where an
array is a constant, that is done once. Where it is a variable, the same expression gives a
:class:`Derived`, which remembers how it was made:

    packed = derived(pack_weights, weights, 32)      # an array, or a Derived of the same shape

A step takes either as an argument: the address of its elements never changes. :class:`Packing` are
the derived arrays of a program; before a run it makes those anew whose variables have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec

import numpy as np

from netc.backends.reference import parameter_array
from netc.backends.shared.joint import JointMemory
from netc.backends.variables import Variable, Variables
from netc.ir.graph import Graph
from netc.ops.array import AnyArray

Content = AnyArray
Recipe = Callable[[Any], Any]  # a backend's own: its machine -> the steps that fill an array


@dataclass(frozen=True, slots=True, eq=False)
class Derived:
    """An array made of variables.

    Args:
        array: its elements, always at one place.
        variables: what it is made of.
        make: gives its elements as of now, as a new array; None if ``array`` shares the memory of
            a variable, and so is a view of its elements. It is given what reads such views, and
            works in the library that has what this gives.
        base: the derived array in whose memory it lies; None where that is its own.
        recipe: what a backend fills ``array`` by in the place of ``make``; until a program's first
            run the array then holds nothing.
        parts: what it was joined of, one after another.
        joint: the shared memory that it lies in, where ranks make it together.
    """

    array: Content
    variables: tuple[Variable, ...]
    make: Callable[[Read], Content] | None = None
    base: Derived | None = None
    recipe: Recipe | None = None
    parts: tuple[Weights, ...] = ()
    joint: JointMemory | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """As of the array."""
        return self.array.shape

    @property
    def strides(self) -> tuple[int, ...]:
        """As of the array."""
        return self.array.strides

    @property
    def size(self) -> int:
        """As of the array."""
        return self.array.size

    @property
    def ndim(self) -> int:
        """As of the array."""
        return self.array.ndim

    @property
    def nbytes(self) -> int:
        """As of the array."""
        return self.array.nbytes

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """As of the array."""
        return self.array.dtype

    @property
    def T(self) -> Weights:  # noqa: N802 - NumPy's name
        """Its axes turned around."""
        return derived(np.transpose, self)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: object) -> Weights:
        if self.parts and isinstance(index, tuple) and index[0] == slice(None):
            return joined([part[index] for part in self.parts])
        if self.parts and isinstance(index, slice):
            return self._slice(*index.indices(len(self)))
        return derived(lambda array: array[index], self)

    def _slice(self, start: int, stop: int, step: int) -> Weights:
        """A slice of joined arrays; one that lies in a single part depends on that part alone."""
        first = 0
        for part in self.parts:
            if first <= start and stop <= first + len(part) and step == 1:
                return part[start - first : stop - first]
            first += len(part)
        return derived(lambda array: array[start:stop:step], self)

    def reshape(self, *shape: int) -> Weights:
        """Its elements in another shape."""
        if self.parts and shape[0] == len(self):
            return joined([part.reshape(len(part), *shape[1:]) for part in self.parts])
        return derived(lambda array: array.reshape(*shape), self)

    def transpose(self, *axes: int) -> Weights:
        """Its axes in another order."""
        if self.parts and axes[0] == 0:
            return joined([part.transpose(*axes) for part in self.parts])
        return derived(lambda array: array.transpose(*axes), self)

    def now(self, read: Read | None = None) -> Content:
        """Its elements as of now; ``read`` gives those of views, the host's if it is None."""
        read = read or _on_host
        return read(self) if self.make is None else self.make(read)


Read = Callable[[Derived], Content]  # a view of a variable -> its elements


def _on_host(view: Derived) -> Content:
    for variable in view.variables:
        variable.array  # noqa: B018 - which brings them up to date
    return view.array


Weights = Content | Derived


def elements(weights: Weights) -> Content:
    """The elements as they are now."""
    return weights.now() if isinstance(weights, Derived) else weights


def trained(graph: Graph, variables: Variables, parameter: str) -> Weights:
    """A parameter's array, derived if it is a variable, an owner's elements where it has none."""
    own = graph.parameters[parameter]
    if own.variable:
        variable = variables.variable(own.owner or parameter)
        return Derived(variable.array.reshape(own.shape or ()), (variable,))
    return parameter_array(graph, parameter)


def derived(function: Callable[..., Content], *operands: object) -> Weights:
    """What a function makes of operands; a :class:`Derived` where any of them is one.

    Args:
        function: gives an array; it looks at elements only to compute with them, so that the
            result's shape and type never change. Where a backend keeps variables on a device it
            takes that library's arrays too.
        *operands: arrays, derived arrays, or anything else.
    """
    sources = [operand for operand in operands if isinstance(operand, Derived)]
    if not sources:
        return function(*operands)

    def make(read: Read) -> Content:
        return function(*(o.now(read) if isinstance(o, Derived) else o for o in operands))

    # Made once now for its shape and memory; ``make`` makes its elements again later.
    array = function(*(o.array if isinstance(o, Derived) else o for o in operands))
    # A slice or reshape of a derived array lies in that array's memory, and is refreshed with it.
    base = next((s.base or s for s in sources if np.may_share_memory(array, s.array)), None)
    if base is not None and base.make is None:
        return Derived(array, base.variables)
    if base is None and any((s.base or s).recipe is not None for s in sources):
        array = make(_on_host)  # what a backend is to fill holds nothing yet
    variables = tuple(dict.fromkeys(v for source in sources for v in source.variables))
    return Derived(array, variables, make, base)


def joined(arrays: Sequence[Weights]) -> Weights:
    """Arrays one after another; what is then cut out of one of them alone is of that one."""
    if len(arrays) == 1:
        return arrays[0]
    found = derived(lambda *parts: np.concatenate(parts), *arrays)
    return replace(found, parts=tuple(arrays)) if isinstance(found, Derived) else found


Others = ParamSpec("Others")


def derivable(
    function: Callable[Concatenate[Any, Others], Content],
) -> Callable[Concatenate[Any, Others], Any]:
    """A function whose first argument may be a derived array, and whose result then is one."""

    def wrapper(first: object, /, *args: Others.args, **kwargs: Others.kwargs) -> Any:
        return derived(lambda array: function(array, *args, **kwargs), first)

    return update_wrapper(wrapper, function)


Versions = Mapping[Variable, int]


def versions(variables: Iterable[Variable]) -> dict[Variable, int]:
    """What version each variable has now."""
    return {variable: variable.current_version() for variable in variables}


class Packing:
    """The derived arrays of a program.

    Args:
        arrays: what its steps read.
        known: the variables' versions from before the arrays were made.
    """

    def __init__(self, arrays: Iterable[Derived], known: Versions) -> None:
        # Slices of one array are packed once, by the array that owns their memory.
        owners = dict.fromkeys(array.base or array for array in arrays)
        self._arrays = [array for array in owners if array.make is not None]
        self._variables = tuple(dict.fromkeys(v for a in self._arrays for v in a.variables))
        self._known = {variable: known[variable] for variable in self._variables}
        for array in self._arrays:
            if array.recipe is not None:  # it holds nothing yet
                self._known = {v: k for v, k in self._known.items() if v not in array.variables}

    def refresh(self) -> int:
        """Make those anew whose variables have changed; how many those are.

        No run that reads them may be under way.
        """
        now = versions(self._variables)
        changed = {v for v in now if now[v] != self._known.get(v)}
        stale = [array for array in self._arrays if not changed.isdisjoint(array.variables)]
        if stale:
            self.make(stale)
        self._known = now
        return len(stale)

    def make(self, stale: Sequence[Derived]) -> None:
        """Fill arrays by their variables' elements."""
        for array in stale:
            np.copyto(array.array, array.now())
