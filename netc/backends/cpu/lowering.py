"""One record for each node: what will run it, before anything has a place in memory.

    Graph ──aliases──▶ views of named buffers ──lower──▶ records ──storage──▶ offsets ──▶ Program

A record (:class:`LoweredNode`) is a node's sweeps and the scratch memory they share. All that
storage has to know follows from it: which inputs the first output may be written over, and how much
scratch memory there must be. The steps of a program are built from the same sweeps, so that there
is no second opinion of what a node does; a step that touches what its sweep does not name is
refused when it is built.

Values have buffers with names here, and offsets in an arena only later (``Program.buffers``).
Nothing is packed yet: a sweep's steps are built when storage is planned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from netc.backends.cpu.program import PythonStep, Step
from netc.backends.cpu.steps.moving import Strided
from netc.backends.shared.views import Buffer, Place, View
from netc.diagnostics import InternalError
from netc.ir.graph import Graph, Node
from netc.ops.fused import bind_stages
from netc.passes.epilogue import chain_of

Steps = Sequence[Step | PythonStep]
Touched = View | Strided | Place | None


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """Steps that together write each element of what they write once.

    Args:
        build: makes the steps.
        reads: names of buffers that the steps read in any order.
        pointwise: names of buffers of which a step reads an element only to write the element of
            the same index, after it has read it. The steps may write in their place.
        writes: names of buffers that are written.
        scratch: floats of the node's scratch memory that must be there.
    """

    build: Callable[[], Steps]
    reads: frozenset[str]
    pointwise: frozenset[str]
    writes: frozenset[str]
    scratch: int = 0

    def touches(self, buffer: str) -> bool:
        """True if any step reads or writes it."""
        return buffer in self.reads or buffer in self.pointwise or buffer in self.writes


def sweep_of(
    build: Callable[[], Steps],
    reads: Iterable[Touched] = (),
    writes: Iterable[Touched] = (),
    pointwise: Iterable[Touched] = (),
    scratch: int = 0,
) -> Sweep:
    """A sweep over values at these places; those that are the caller's arrays count for nothing."""
    return Sweep(build, _names(reads), _names(pointwise), _names(writes), scratch)


def _names(things: Iterable[Touched]) -> frozenset[str]:
    places = [t.place if isinstance(t, View | Strided) else t for t in things]
    return frozenset(place.name for place in places if isinstance(place, Buffer))


@dataclass(frozen=True, slots=True, eq=False)
class LoweredNode:
    """A node as it will run.

    Args:
        node: which.
        sweeps: in order.
    """

    node: Node
    sweeps: tuple[Sweep, ...]

    @property
    def scratch(self) -> int:
        """Floats of its scratch memory."""
        return max((sweep.scratch for sweep in self.sweeps), default=0)

    def overwritable(self, graph: Graph, roots: Mapping[str, str]) -> tuple[str, ...]:
        """The inputs over whose elements the first output may be written, the best first.

        An input's elements must have been read when the output's are written: it is touched before
        the sweep that first touches the output, or in that one element by element, and not again.

        Args:
            graph: of the node.
            roots: value -> the name of the buffer it lies in.
        """
        output = self.node.outputs[0]
        return tuple(
            value
            for value in _by_stage(self.node)
            if value in graph.producers
            and graph.shape(value) == graph.shape(output)
            and self._is_read_before(roots[value], roots[output])
        )

    def _is_read_before(self, value: str, output: str) -> bool:
        first = next((i for i, s in enumerate(self.sweeps) if s.touches(output)), None)
        if first is None:
            return False
        own, later = self.sweeps[first], self.sweeps[first + 1 :]
        in_order = value not in own.reads and value not in own.writes
        return in_order and not any(sweep.touches(value) for sweep in later)

    def steps(self) -> Iterator[Step | PythonStep]:
        """The steps, checked against what the sweeps say of them.

        Raises:
            InternalError: a step touches a buffer in a way that its sweep does not name.
        """
        for sweep in self.sweeps:
            for step in sweep.build():
                self._check(sweep, step)
                yield step

    def _check(self, sweep: Sweep, step: Step | PythonStep) -> None:
        named = sweep.reads | sweep.pointwise | sweep.writes
        if unnamed := step.touched - named:
            raise InternalError(
                f"layer `{self.node.name}`: a step touches {sorted(unnamed)}, and its record does "
                "not say so"
            )
        only_pointwise = sweep.pointwise - sweep.reads - sweep.writes
        if wrong := (step.touched & only_pointwise) - step.pointwise:
            raise InternalError(
                f"layer `{self.node.name}`: a step reads {sorted(wrong)} in any order, and its "
                "record says element by element"
            )


def _by_stage(node: Node) -> list[str]:
    """A node's inputs, those of a chain's later stages first: they are ready last."""
    found: list[str] = []
    for bound in bind_stages(chain_of(node), node.inputs):
        found = [*bound.inputs, *found]
    return list(dict.fromkeys(found))
