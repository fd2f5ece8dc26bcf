"""Nets with layers whose sizes depend on what is fed: the rest on the device, those on the host."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from netc.backends import reference
from netc.backends.base import Executable, ExecutableReport, StepTime
from netc.backends.cuda.device import Device
from netc.backends.variables import Variables
from netc.ir.graph import Graph
from netc.ops.array import AnyArray
from netc.plan.split import split as split


@dataclass(frozen=True)
class MixedExecutable:
    """A planned part, if there is one, and a part that runs by its definition on the host."""

    graph: Graph
    planned: Executable | None
    rest: Graph
    device: Device
    variables: Variables = field(default_factory=Variables)

    def run(self, feeds: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """Each output for these inputs: on the device if the first input is.

        Then the updates are written.
        """
        if not self.variables:
            return self._run(feeds)[0]
        with self.variables.lock:
            self.variables.fetch()  # the definitions on the host read them
            results, known = self._run(feeds)
            made = {name: self._on_host(known[v]) for name, v in self.graph.updates.items()}
            # A value may be the variable itself (Parameter), which an earlier update writes to.
            self.variables.update({name: np.array(array) for name, array in made.items()})
            return {n: np.array(a) if isinstance(a, np.ndarray) else a for n, a in results.items()}

    def timed(self, feeds: Mapping[str, AnyArray]) -> tuple[dict[str, AnyArray], list[StepTime]]:
        """What ``run`` gives, and the planned part's steps; the rest runs by its definition."""
        times = self.planned.timed(feeds)[1] if self.planned else []
        start = time.perf_counter()
        results = self.run(feeds)
        spent = time.perf_counter() - start - sum(step.seconds for step in times)
        rest = [node.name for node in self.rest.nodes]
        share = max(0.0, spent) / max(1, len(rest))
        return results, [*times, *(StepTime(name, False, share) for name in rest)]

    def graphs(self) -> tuple[Graph, ...]:
        """The planned part's, and the layers after it."""
        return (*(self.planned.graphs() if self.planned else ()), self.rest)

    def _run(
        self, feeds: Mapping[str, AnyArray]
    ) -> tuple[dict[str, AnyArray], dict[str, AnyArray]]:
        """The outputs, and all values there are at the end."""
        device = self.device
        there = any(device.owns(feeds[name]) for name in self.graph.inputs[:1])
        known = {**feeds, **(self.planned.run(feeds) if self.planned else {})}
        read = {name: self._on_host(known[name]) for name in self.rest.inputs}
        known.update(reference.run(self.rest, read))
        place = device.asarray if there else self._on_host
        return {name: place(known[name]) for name in self.graph.outputs}, known

    def _on_host(self, value: AnyArray) -> AnyArray:
        return self.device.to_host(value) if self.device.owns(value) else value

    def report(self) -> ExecutableReport:
        """The planned part's, and the layers that run on the host."""
        names = [node.name for node in self.rest.nodes]
        if self.planned is None:
            return {"backend": "cuda", "steps": len(names), "host_steps": names}
        plan = self.planned.report()
        steps = plan["steps"] + len(names)
        return {**plan, "steps": steps, "host_steps": [*plan["host_steps"], *names]}
