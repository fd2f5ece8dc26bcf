"""The graph: nodes in topological order over values that are each produced once.

Frozen. A Caffe blob that layers rewrite in place becomes several values; the last one keeps the
blob's plain name and each earlier one is called ``blob@layer`` after the layer that produced it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

from netc.diagnostics import Span
from netc.ir.params import HasParams
from netc.ir.types import Shape
from netc.numeric import np

if TYPE_CHECKING:
    Array = NDArray[np.float32]
else:
    Array = object


@dataclass(frozen=True, slots=True)
class Value:
    """A blob's content between its producer and its readers, float32.

    ``shape`` is None before shapes are inferred. ``blob`` is the blob's name in Caffe. ``filler``
    describes what an input holds when it is not fed (DummyData); None where it must be fed.
    """

    name: str
    blob: str
    shape: Shape | None = None
    span: Span | None = None
    filler: Any = None


class ParamSpec(NamedTuple):
    """A layer's ``param { }``: the name it shares a parameter by and its training multipliers."""

    name: str = ""
    lr_mult: float | None = None
    decay_mult: float | None = None
    permissive: bool = False
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A trained array of one or, when shared by name, several nodes.

    ``name`` is ``layer/index`` of the owner. ``filler`` is the op's frozen filler description.
    ``owner`` names the parameter whose elements this one reads in another shape
    (``share_mode: PERMISSIVE``); such a parameter has no elements of its own. ``lr_mult`` and
    ``decay_mult`` multiply a solver's rate and weight decay; with ``lr_mult`` 0 it is not learned.

    ``variable`` says whether the elements may change between runs. The array of a variable is a
    persistent place, which kernels read when they run; passes must not look at its elements. That
    of a constant never changes, and may be folded into others. An owner and those that read its
    elements are all variables, or none is.
    """

    name: str
    shape: Shape | None = None
    filler: Any = None
    array: Array | None = None
    span: Span | None = None
    owner: str | None = None
    variable: bool = False
    lr_mult: float = 1.0
    decay_mult: float = 1.0


@dataclass(frozen=True, slots=True)
class Node(HasParams):
    """One layer, or several fused: ``op`` names an entry of the catalogue.

    ``params`` is the op's own frozen dataclass; ``inputs`` and ``outputs`` name values,
    ``parameters`` names entries of ``Graph.parameters``. ``spans`` holds the layer's place, and
    every layer's where nodes were fused. ``param_specs`` are the layer's ``param`` entries.
    ``propagate_down`` says of each bottom whether a gradient passes to it; where it is empty that
    follows from what is below.
    """

    name: str
    op: str
    params: object
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    param_specs: tuple[ParamSpec, ...] = ()
    propagate_down: tuple[bool, ...] = ()

    @property
    def span(self) -> Span | None:
        """The first layer's place."""
        return self.spans[0] if self.spans else None

    def with_parameters(self, parameters: tuple[str, ...]) -> Node:
        """The node with other parameters; five times as fast as ``dataclasses.replace``."""
        return Node(
            self.name,
            self.op,
            self.params,
            self.inputs,
            self.outputs,
            parameters,
            self.spans,
            self.param_specs,
            self.propagate_down,
        )


@dataclass(frozen=True)
class Graph:
    """A net ready to be analysed, rewritten, planned and run.

    ``inputs`` are values fed by the caller; ``outputs`` are values given back, by default those
    nobody reads, in alphabetical order of blob name. ``losses`` are the values that are minimised
    in training, each with the weight that every element of it has in the sum; 0 for one that is
    part of what is displayed, and of no gradient.

    ``updates`` maps variables (parameters that have elements of their own) to values of their
    shapes. Each run ends by writing these values to the variables, all of them together: every
    node of the run reads what the variables held before it.
    """

    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: Mapping[str, Value]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    phase: str = "TEST"
    updates: Mapping[str, str] = field(default_factory=dict)
    losses: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def results(self) -> tuple[str, ...]:
        """The values that have to be kept until the last node has run: outputs, then updates."""
        return tuple(dict.fromkeys((*self.outputs, *self.updates.values())))

    @cached_property
    def input_blobs(self) -> Mapping[str, str]:
        """Blob name -> input value's name: ``data@input`` where a layer rewrites ``data``."""
        return {self.values[name].blob: name for name in self.inputs}

    @cached_property
    def producers(self) -> Mapping[str, Node]:
        """Value name -> the node that makes it (inputs are absent)."""
        return {v: node for node in self.nodes for v in node.outputs}

    @cached_property
    def readers(self) -> Mapping[str, tuple[Node, ...]]:
        """Value name -> the nodes that read it, in order; one that reads it twice stands twice."""
        found: dict[str, list[Node]] = {name: [] for name in self.values}
        for node in self.nodes:
            for name in node.inputs:
                found[name].append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    def shape(self, value: str) -> Shape:
        """The inferred shape of a value.

        Raises:
            ValueError: shapes have not been inferred.
        """
        shape = self.values[value].shape
        if shape is None:
            raise ValueError(f"the shape of `{value}` has not been inferred")
        return shape

    def replace(self, **changes: Any) -> Graph:
        """A copy with fields replaced."""
        return replace(self, **changes)
