"""``cv2.dnn.Layer``: a layer of a net, its trained arrays, and what it computes by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from netc.backends.variables import Variables
from netc.compat.engine import ready
from netc.compat.opencv.constants import DNN_TARGET_CPU
from netc.diagnostics import Diagnostic, NetcError, counted
from netc.infer import inferred
from netc.ir.edit import with_variables
from netc.ir.graph import Array, Graph, Node, Value
from netc.ir.types import Shape
from netc.weights.match import assign

if TYPE_CHECKING:
    from netc.compat.opencv.net import Net


class _Algorithm:
    """What layers have of ``cv2.Algorithm``."""

    def empty(self) -> bool:
        """False: it is a layer."""
        return False

    def clear(self) -> None:
        """Nothing: a layer keeps no state outside of its blobs."""

    def getDefaultName(self) -> str:
        """What OpenCV calls it in files of its own."""
        return "my_object"


class Layer(_Algorithm):
    """A layer's name, type and trained arrays.

    The arrays in ``blobs`` may be written to or replaced; the net's next forward pass uses them.
    """

    def __init__(self, net: Net, node: Node, name: str) -> None:
        self._net = net
        self._node = node
        self.name = name
        self.type = node.op
        self.preferableTarget = DNN_TARGET_CPU

    def __repr__(self) -> str:
        return f"<Layer `{self.name}` ({self.type})>"

    @property
    def blobs(self) -> list[Array]:
        """The trained arrays, float32; empty where the weights have none for the layer."""
        return self._net._held_arrays(self._node)

    @blobs.setter
    def blobs(self, arrays: Sequence[object]) -> None:
        self._net._put_arrays(self._node, arrays)

    def finalize(
        self, inputs: Sequence[object], outputs: Sequence[Array] | None = None
    ) -> tuple[Array, ...]:
        """Arrays for the layer's outputs, for inputs of these shapes; nothing is computed.

        Args:
            inputs: arrays, of which only the shapes are used.
            outputs: arrays to return if they have the right shapes; else new ones are made.

        Raises:
            NetcError: bottom-count, and what shapes that do not fit raise.
        """
        graph = alone(self._node, self.blobs, [np.asarray(each).shape for each in inputs])
        return _places([graph.shape(name) for name in graph.outputs], outputs or ())

    def run(
        self,
        inputs: Sequence[object],
        internals: object = (),
        outputs: Sequence[Array] | None = None,
    ) -> tuple[tuple[Array, ...], tuple[()]]:
        """Compute this layer alone.

        Args:
            inputs: an array for each bottom.
            internals: ignored: netc has its own scratch memory.
            outputs: written to if they have the right shapes.

        Returns:
            The outputs, and no internals.

        Raises:
            NetcError: bottom-count, and what shapes that do not fit raise.
        """
        arrays = [np.ascontiguousarray(each, np.float32) for each in inputs]
        graph = alone(self._node, self.blobs, [array.shape for array in arrays])
        net = ready(with_variables(graph), "cpu", Variables())
        made = net(dict(zip(graph.inputs, arrays, strict=True)))
        places = _places([made[name].shape for name in graph.outputs], outputs or ())
        for place, name in zip(places, graph.outputs, strict=True):
            place[...] = made[name]
        return places, ()

    def outputNameToIndex(self, outputName: str) -> int:
        """The index of the output with this blob name; -1 for none."""
        blobs = [self._net._graph.values[name].blob for name in self._node.outputs]
        return blobs.index(outputName) if outputName in blobs else -1


class InputLayer(_Algorithm):
    """Layer 0, whose outputs are the net's inputs."""

    name = "_input"
    type = ""
    blobs: Sequence[Array] = ()

    def __init__(self, inputs: Sequence[str]) -> None:
        self._inputs = list(inputs)
        self.preferableTarget = DNN_TARGET_CPU

    def outputNameToIndex(self, outputName: str) -> int:
        """The index of the input with this name; -1 for none."""
        return self._inputs.index(outputName) if outputName in self._inputs else -1


class AsyncArray:
    """The result of ``forwardAsync``, which is already complete."""

    def __init__(self, array: Array) -> None:
        self._array = array

    def get(self, timeoutNs: float = -1) -> Array:
        """The array."""
        return self._array

    def wait_for(self, timeoutNs: float) -> bool:
        """True: the result is always ready."""
        return True

    def valid(self) -> bool:
        """True: the result can always be retrieved."""
        return True


def alone(node: Node, arrays: Sequence[Array], shapes: Sequence[Shape]) -> Graph:
    """A graph of one layer, with inputs of these shapes.

    Raises:
        NetcError: bottom-count, weight-shape, and what shapes that do not fit raise.
    """
    if len(shapes) != len(node.inputs):
        message = (
            f"layer `{node.name}` ({node.op}) has {counted(len(node.inputs), 'bottom')}, and "
            f"{counted(len(shapes), 'array')} are given"
        )
        raise NetcError(Diagnostic("bottom-count", message, node.span))
    names = tuple(f"bottom {index}" for index in range(len(shapes)))
    values = {n: Value(n, n, tuple(s)) for n, s in zip(names, shapes, strict=True)}
    values |= {name: Value(name, name) for name in node.outputs}
    single = replace(node, inputs=names, parameters=(), param_specs=(), propagate_down=())
    graph = inferred(Graph(node.name, (single,), names, node.outputs, values))
    given = {node.name: list(arrays)} if arrays else None
    return assign(graph, given, missing="fill")[0]


def _places(shapes: Sequence[Shape], given: Sequence[Array]) -> tuple[Array, ...]:
    """An array for each shape: one that is given and fits, or a new one of zeros."""
    places = zip_longest(shapes, given[: len(shapes)])
    return tuple(old if _fits(old, shape) else np.zeros(shape, np.float32) for shape, old in places)


def _fits(array: object, shape: Shape) -> TypeGuard[Array]:
    if not isinstance(array, np.ndarray) or array.shape != shape:
        return False
    return array.dtype == np.float32 and array.flags.writeable
