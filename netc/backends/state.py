"""What a net keeps from one forward to the next, as Caffe's layers do.

The hidden states of recurrent layers (recurrent_layer.cpp) and the running averages of layers that
normalise by their batch (batch_norm_layer.cpp).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from netc.backends.base import Executable, ExecutableReport, StepTime
from netc.backends.reference import parameter_array
from netc.backends.variables import Variables
from netc.ir.graph import Array, Graph, Node
from netc.ops.catalog import CATALOG
from netc.passes.state import Carried, owner


@dataclass(eq=False)
class RunState:
    """What a net keeps between runs: states by the names they are fed under, and running averages.

    Args:
        read: parameter -> its array now.
        write: takes a parameter and its next array.
    """

    read: Callable[[str], Array]
    write: Callable[[str, Array], None]
    arrays: dict[str, Array] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def feeds(self, carried: Carried) -> dict[str, Array]:
        """What is fed besides the inputs; zeros at first, and after the streams' number changed."""
        return {name: self._array(name, carried.graph.shape(name)) for name in carried.states}

    def _array(self, name: str, shape: Sequence[int]) -> Array:
        known = self.arrays.get(name)
        if known is None or known.shape != tuple(shape):
            return np.zeros(shape, dtype=np.float32)
        return known

    def take(self, carried: Carried, values: Mapping[str, object]) -> None:
        """Go on from a forward.

        Args:
            carried: what was run.
            values: what was fed and what came out, by value.
        """
        for fed, given in carried.states.items():
            self.arrays[fed] = _host(values[given])
        for node in carried.moving:
            self._move(carried.graph, node, _host(values[node.inputs[0]]))

    def _move(self, graph: Graph, node: Node, batch: Array) -> None:
        op = CATALOG[node.op]
        owners = [owner(graph, name) for name in node.parameters]
        shapes = [graph.parameters[name].shape or () for name in node.parameters]
        moving = op.moving(node.params)
        arrays = [
            self.read(name).reshape(shape) if index in moving else parameter_array(graph, known)
            for index, (name, shape, known) in enumerate(
                zip(owners, shapes, node.parameters, strict=True)
            )
        ]
        assert op.train is not None
        _, moved = op.train(node.params, [batch], arrays)
        for index in moving:
            array = np.asarray(moved[index], dtype=np.float32)
            self.write(owners[index], array.reshape(self.read(owners[index]).shape))

    def forget(self) -> None:
        """Begin anew from zero, as a recurrent layer's Reset does; averages stay as they are."""
        self.arrays.clear()


def _host(array: object) -> Array:
    """An array of a device, or of NumPy, as NumPy's."""
    return np.asarray(array.get() if hasattr(array, "get") else array)


@dataclass(frozen=True)
class StatefulExecutable:
    """An executable whose forwards go on from the last; one call runs at a time."""

    inner: Executable
    carried: Carried
    state: RunState

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Each output for these inputs, from the state that the last call left."""
        return self._timed_by(feeds, lambda values: (self.inner.run(values), []))[0]

    def timed(self, feeds: Mapping[str, Array]) -> tuple[dict[str, Array], list[StepTime]]:
        """What ``run`` gives, and what each step of the inner one took."""
        return self._timed_by(feeds, self.inner.timed)

    def _timed_by(
        self,
        feeds: Mapping[str, Array],
        call: Callable[[Mapping[str, Array]], tuple[dict[str, Array], list[StepTime]]],
    ) -> tuple[dict[str, Array], list[StepTime]]:
        with self.state.lock:
            values = {**feeds, **self.state.feeds(self.carried)}
            results, times = call(values)
            self.state.take(self.carried, {**values, **results})
        return {name: results[name] for name in self.carried.outputs}, times

    def graphs(self) -> tuple[Graph, ...]:
        """The inner one's."""
        return self.inner.graphs()

    @property
    def variables(self) -> Variables:
        """The variables of the executable inside."""
        return self.inner.variables

    def report(self) -> ExecutableReport:
        """The report of the executable inside."""
        return self.inner.report()
