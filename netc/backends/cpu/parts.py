"""Nets that run a few images of their batch at a time; see netc.plan.batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from netc.backends.base import Executable, ExecutableReport, StepTime
from netc.backends.cpu.dynamic import with_shapes
from netc.backends.variables import Variables
from netc.ir.graph import Array, Graph
from netc.plan.rows import of_rows

Call = Callable[[Mapping[str, Array]], dict[str, Array]]


def of_batch(graph: Graph, images: int) -> Graph | None:
    """The graph for so many images; None where it cannot be planned for them."""
    return with_shapes(graph, {n: of_rows(graph.shape(n), images) for n in graph.inputs})


@dataclass
class PartsExecutable:
    """An executable for some images, which runs once for each part of a batch.

    Args:
        graph: of the whole batch; each image's answers are its own.
        part: for a divisor of the batch.
        images: that ``part`` takes.
    """

    graph: Graph
    part: Executable
    images: int
    variables: Variables = field(default_factory=Variables)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Each output for these inputs, as new arrays."""
        return self._run(feeds, self.part.run)

    def timed(self, feeds: Mapping[str, Array]) -> tuple[dict[str, Array], list[StepTime]]:
        """What ``run`` gives, and what each step took for all parts, in order."""
        taken: list[list[StepTime]] = []

        def timing(given: Mapping[str, Array]) -> dict[str, Array]:
            results, times = self.part.timed(given)
            taken.append(times)
            return results

        results = self._run(feeds, timing)
        sums = (sum(step.seconds for step in steps) for steps in zip(*taken, strict=True))
        return results, [s._replace(seconds=t) for s, t in zip(taken[0], sums, strict=True)]

    def _run(self, feeds: Mapping[str, Array], call: Call) -> dict[str, Array]:
        results = {n: np.empty(self.graph.shape(n), np.float32) for n in self.graph.outputs}
        for images in self._parts():
            made = call({name: array[images] for name, array in feeds.items()})
            for name, whole in results.items():
                whole[images] = made[name]
        return results

    def _parts(self) -> Iterator[slice]:
        starts = range(0, self._batch, self.images)
        return (slice(begin, begin + self.images) for begin in starts)

    @property
    def _batch(self) -> int:
        return self.graph.shape(self.graph.inputs[0])[0]

    def graphs(self) -> tuple[Graph, ...]:
        """The part's graphs, with the whole batch's shapes."""
        return tuple(of_batch(graph, self._batch) or graph for graph in self.part.graphs())

    def parts(self) -> tuple[Executable, ...]:
        """The executable of a part."""
        return (self.part,)

    def report(self) -> ExecutableReport:
        """The part's, and how many images it has."""
        return {**self.part.report(), "images_at_a_time": self.images}


@dataclass
class HeadExecutable:
    """A net whose body runs in parts, and whose detections are made of the whole batch.

    Args:
        graph: all of it.
        body: gives what ``head`` reads, besides results of its own.
        head: the layers that find boxes.
    """

    graph: Graph
    body: Executable
    head: Executable
    variables: Variables = field(default_factory=Variables)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Each output for these inputs, as new arrays."""
        return self._run(feeds, self.body.run, self.head.run)

    def timed(self, feeds: Mapping[str, Array]) -> tuple[dict[str, Array], list[StepTime]]:
        """What ``run`` gives, and what each step took for all parts, in order."""
        times: list[StepTime] = []

        def timing(part: Executable) -> Call:
            def call(given: Mapping[str, Array]) -> dict[str, Array]:
                results, spent = part.timed(given)
                times.extend(spent)
                return results

            return call

        return self._run(feeds, timing(self.body), timing(self.head)), times

    def _run(self, feeds: Mapping[str, Array], body: Call, head: Call) -> dict[str, Array]:
        known = {**feeds, **body(feeds)}
        known.update(head({name: known[name] for name in self._read}))
        return {name: known[name] for name in self.graph.outputs}

    @cached_property
    def _read(self) -> tuple[str, ...]:
        return self.head.graphs()[0].inputs

    def graphs(self) -> tuple[Graph, ...]:
        """Those of the body and of the head, with the whole batch's shapes."""
        return (*self.body.graphs(), *self.head.graphs())

    def parts(self) -> tuple[Executable, ...]:
        """Both."""
        return self.body, self.head

    def report(self) -> ExecutableReport:
        """The body's, with the head's steps."""
        body, head = self.body.report(), self.head.report()
        slow = [*body.get("reference_steps", ()), *head.get("reference_steps", ())]
        return {**body, "steps": body["steps"] + head["steps"], "reference_steps": slow}
