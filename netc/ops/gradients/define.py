"""What a gradient rule is: how the loss changes with a layer's bottoms and trained arrays.

For a loss L, a layer's top y and a bottom or trained array x, a rule computes dL/dx from dL/dy;
"the top's gradient" is dL/dy everywhere here. A gradient has the shape of what it is of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar, cast

from netc.ir.graph import Graph, Node
from netc.ir.types import Shape
from netc.ops.array import AnyArray, Arrays
from netc.ops.define import OpDef, P


class Reads(NamedTuple):
    """Which bottoms, tops and trained arrays of the forward pass a gradient reads, by index.

    What no gradient reads is freed before the backward pass.
    """

    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    weights: tuple[int, ...] = ()


class Saved(NamedTuple):
    """What a gradient is given of the forward pass; None where it does not read it.

    ``shapes`` are those of all bottoms.
    """

    inputs: Arrays
    outputs: Arrays
    weights: Arrays
    shapes: Sequence[Shape]


NOTHING = Reads()
INPUT = Reads(inputs=(0,))
OUTPUT = Reads(outputs=(0,))


def reads_all(params: object, index: int, bottoms: int) -> Reads:
    """The rule of a gradient that reads every bottom."""
    return Reads(inputs=tuple(range(bottoms)))


P_contra = TypeVar("P_contra", contravariant=True)

# (the layer's params, saved, each top's gradient or None where none arrives, index) -> the gradient
# by the bottom or trained array of this index.
Definition = Callable[[P, Saved, Arrays, int], AnyArray]
ReadRule = Callable[[P, int, int], Reads]
BottomRule = Callable[[P, int], Sequence[int]]


class Build(Protocol):
    """Adds nodes to the backward pass; values go by their names."""

    def node(
        self, op: str, params: object, inputs: Sequence[str], parameters: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """Add a node of an op; returns the names of its outputs."""

    def shape(self, value: str) -> Shape:
        """The shape of a value of the forward or backward pass."""

    def zeros(self, value: str) -> str:
        """A value of zeros in the shape of another."""

    def loose(self, value: str) -> bool:
        """Whether only a run tells a value's sizes: what says them is not to be built from them.

        Its shape holds bounds. A rule that would write them down (where to cut, into what to
        reshape) leaves the bottom to its definition, which is given the sizes of the run.
        """


# (build, the layer, each top's gradient or None, wanted bottoms) -> bottom -> its gradient; a
# bottom that is left out is worked out by the definition.
BuildRule = Callable[[Build, Node, Sequence[str | None], Sequence[int]], Mapping[int, str]]


@dataclass(frozen=True, slots=True)
class Gradient(Generic[P_contra]):
    """The gradients of a layer type whose parameters are of a type P.

    Args:
        bottom: the gradient by a bottom: plain NumPy written against the arrays' own namespace,
            like a layer's definition. None where no bottom has one.
        reads: what ``bottom`` reads, for all bottoms or (params, index, number of bottoms) -> for
            one. A layer that draws is given the generator's key besides, if it had it.
        weight: the gradient by a trained array; None where the layer has none.
        weight_reads: what ``weight`` reads.
        build: makes gradients by bottoms of existing ops, where that can be.
        stops: (params, number of bottoms) -> bottoms that no gradient can pass (labels, indices):
            it is an error where something below one is to learn.
        ignored: likewise, bottoms whose gradient is 0 in Caffe without a word (Crop's second).
        paired: a bottom's gradient comes from the top at its place alone.
        tops: the tops that gradients come from; None for all.
        records: params -> params with which the forward pass gives one more top, that gradients
            read (the places of maxima), or None where these will do.
        in_place: what stands for all this where the layer rewrites its bottom and Caffe, which has
            but one blob for both, comes to another result.
        reads_left: Caffe reads the layer's first top after the whole forward pass. Where a layer
            behind it works in place, that is what this one has left there, and the definition is
            given it as ``saved.outputs[0]`` though it may work out the top by itself elsewhere.
        inexact: (graph, node) -> why a layer's gradient, which is Caffe's, is not the derivative;
            None where it is.
        available: params -> whether the layer has a gradient at all; None where it always has.
        host: the definitions need NumPy itself, not a device's arrays.
    """

    bottom: Definition[P_contra] | None = None
    reads: Reads | ReadRule[P_contra] = NOTHING
    weight: Definition[P_contra] | None = None
    weight_reads: Reads | ReadRule[P_contra] = NOTHING
    build: BuildRule | None = None
    stops: BottomRule[P_contra] | tuple[int, ...] = ()
    ignored: BottomRule[P_contra] | tuple[int, ...] = ()
    paired: bool = False
    tops: tuple[int, ...] | None = None
    records: Callable[[P_contra], object] | None = None
    in_place: Gradient[P_contra] | None = None
    reads_left: bool = False
    inexact: Callable[[Graph, Node], str | None] | None = None
    available: Callable[[P_contra], bool] | None = None
    host: bool = False

    def read(self, kind: str, params: P_contra, index: int, bottoms: int) -> Reads:
        """What one gradient reads; ``kind`` is "bottom" or "weight", ``index`` which of them."""
        rule = self.reads if kind == "bottom" else self.weight_reads
        return rule if isinstance(rule, tuple) else rule(params, index, bottoms)

    def takes(self, top: int) -> bool:
        """Whether a top's gradient counts."""
        return self.tops is None or top in self.tops

    def stopped(self, params: P_contra, bottoms: int) -> tuple[int, ...]:
        """Indices of the bottoms that no gradient can pass."""
        found = self.stops if isinstance(self.stops, tuple) else self.stops(params, bottoms)
        return tuple(found)

    def passed_over(self, params: P_contra, bottoms: int) -> tuple[int, ...]:
        """Indices of the bottoms whose gradient is 0."""
        rule = self.ignored
        return tuple(rule if isinstance(rule, tuple) else rule(params, bottoms))


# A gradient as a table of layer types holds it: see netc.ops.define.ErasedOp.
ErasedGradient = Gradient[object]


def of(op: OpDef[P], rule: Gradient[P]) -> tuple[str, ErasedGradient]:
    """A row of a family's table: a layer type and its gradient rule, of the op's parameters."""
    return op.name, cast(ErasedGradient, rule)


def gradients(*rows: tuple[str, ErasedGradient]) -> Mapping[str, ErasedGradient]:
    """A family's table: layer type -> gradient rule."""
    return dict(rows)


def every_bottom(params: object, bottoms: int) -> Sequence[int]:
    """Rule for ``stops`` and ``ignored``: all bottoms of a layer."""
    return range(bottoms)


def alias(
    build: Build, node: Node, tops: Sequence[str | None], wanted: Sequence[int]
) -> dict[int, str]:
    """Build rule of a layer whose gradient is its top's: bottom index -> that value."""
    top = tops[0]
    assert top is not None
    return dict.fromkeys(wanted, top)
