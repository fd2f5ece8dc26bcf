"""``readNetFromCaffe`` and the net it gives, with the methods of ``cv2.dnn.Net``."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netc.backends.reference import parameter_array
from netc.backends.variables import Variables
from netc.compat.engine import ready, warn
from netc.compat.opencv.arrays import Arrays, HeldArrays
from netc.compat.opencv.constants import (
    DNN_BACKEND_CUDA,
    DNN_BACKEND_DEFAULT,
    DNN_TARGET_CPU,
    DNN_TARGET_CUDA_FP16,
)
from netc.compat.opencv.custom import CustomLayers
from netc.compat.opencv.images import normalised
from netc.compat.opencv.introspection import Introspection
from netc.compat.opencv.layer import AsyncArray, InputLayer, Layer
from netc.compat.opencv.names import opencv_names
from netc.compat.opencv.timing import Forward
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcError, did_you_mean, first_of
from netc.driver import load
from netc.frontend import build, runnable
from netc.ir.edit import with_variables
from netc.ir.graph import Array, Graph, Node
from netc.ir.types import Shape
from netc.lower.before import LayerChoice
from netc.ops.catalog import LAYERS
from netc.ops.define import ErasedOp
from netc.recent import LeastRecentlyUsed
from netc.schema.message import Message
from netc.weights.match import assign

_MAX_COMPILED = 8  # compiled nets, by input shapes and outputs, least recently used first out
_TEST: LayerChoice = {"phase": "TEST", "level": 0, "stages": ()}


class Net(Introspection):
    """A net with the methods of ``cv2.dnn.Net``; made by :func:`readNetFromCaffe`.

    Layers have ids from 1 on, in the order of the text; layer 0 holds the inputs.
    """

    def __init__(self, message: Message, weights: Arrays | None) -> None:
        self._message = message
        self._custom = CustomLayers(weights)
        self._arrays = HeldArrays(weights)
        self._fed: dict[str, Array] = {}
        self._given_shapes: dict[str, Shape] = {}
        self._backend = DNN_BACKEND_DEFAULT
        self._target = DNN_TARGET_CPU
        self._kept: LeastRecentlyUsed[object, CompiledNet] = LeastRecentlyUsed(_MAX_COMPILED)
        self._variables = Variables()  # of all compiled nets
        self._last: Forward | None = None
        built = build(message, layers=self._layers)
        if any(d.severity == "error" for d in built.diagnostics):
            raise NetcError(first_of(built.diagnostics))
        self._graph: Graph = built.graph
        self._names = opencv_names(built, self._layers)
        if _complete(built.graph):
            self._graph = self._filled(runnable(built), report=True)

    @property
    def _layers(self) -> Mapping[str, ErasedOp]:
        """The layer types there are, the script's own in the place of others."""
        return {**LAYERS, **self._custom.definitions}

    # What there is

    def empty(self) -> bool:
        """Whether it has no layers."""
        return not self._graph.nodes

    def getLayerNames(self) -> tuple[str, ...]:
        """The layers' names, inputs left out; a Convolution is called by its top (see docs)."""
        return self._names

    def getLayerId(self, layer: str) -> int:
        """A layer's id, by OpenCV's name or by the text's; -1 for no layer."""
        if layer == InputLayer.name:
            return 0
        for names in (self._names, tuple(node.name for node in self._graph.nodes)):
            if layer in names:
                return names.index(layer) + 1
        return -1

    def getLayer(self, layerId: int | str) -> Layer | InputLayer:
        """A layer by its id or name; number 0 holds the inputs.

        Raises:
            NetcError: unknown-layer.
        """
        if layerId in (0, InputLayer.name):
            return InputLayer(self._inputs)
        node = self._node(layerId)
        name = self._names[self._graph.nodes.index(node)]
        return Layer(self, node, name)

    def getUnconnectedOutLayers(self) -> NDArray[np.int32]:
        """The ids of the layers that no layer reads."""
        readers = self._graph.readers
        ids = [
            index
            for index, node in enumerate(self._graph.nodes, start=1)
            if not any(readers[name] for name in node.outputs)
        ]
        return np.array(ids, dtype=np.int32)

    def getUnconnectedOutLayersNames(self) -> tuple[str, ...]:
        """The names of the layers that no layer reads."""
        names = self.getLayerNames()
        return tuple(names[index - 1] for index in self.getUnconnectedOutLayers())

    def getParam(self, layer: int | str, numParam: int = 0) -> Array:
        """A copy of a layer's trained array, in Caffe's shape; a vector as OpenCV's column, (n, 1).

        Raises:
            NetcError: unknown-layer, or bad-argument where it has no such array.
        """
        blobs = self._parameters(self._node(layer))
        _check_index(self._node(layer), numParam, len(blobs))
        array = np.array(blobs[numParam])
        return array[:, None] if array.ndim == 1 else array

    def setParam(self, layer: int | str, numParam: int, blob: Any) -> None:
        """Replace a layer's trained array; the next forward uses it, and compiles nothing anew.

        Raises:
            NetcError: unknown-layer, bad-argument, or weight-shape.
        """
        node = self._node(layer)
        blobs = list(self._parameters(node))
        _check_index(node, numParam, len(blobs))
        blobs[numParam] = blob
        self._put_arrays(node, blobs)

    # Running

    def setPreferableBackend(self, backendId: int) -> None:
        """``DNN_BACKEND_CUDA`` runs on a GPU, all others on the CPU."""
        self._backend = backendId

    def setPreferableTarget(self, targetId: int) -> None:
        """``DNN_TARGET_CUDA_FP16`` computes products in half precision on a GPU."""
        self._target = targetId

    def setInput(
        self, blob: object, name: str = "", scalefactor: float = 1.0, mean: object = ()
    ) -> None:
        """Give an input, ``(blob - mean) * scalefactor``; it may have another shape than before.

        Args:
            blob: of numbers, in the input's axes.
            name: the input blob; "" for the first.
            scalefactor: multiplied after the mean is subtracted.
            mean: one number for each channel.

        Raises:
            NetcError: unknown-input, input-dtype or bad-argument.
        """
        inputs = self._inputs
        if name not in inputs and (name or not inputs):
            listed = ", ".join(f"`{i}`" for i in inputs) or "none"
            message = f"the net has no input `{name}`; its inputs are: {listed}"
            raise NetcError(Diagnostic("unknown-input", message, help=did_you_mean(name, inputs)))
        array = np.asarray(blob)
        if array.dtype.kind not in "fiub":
            message = f"input `{name or inputs[0]}` is {array.dtype}, and numbers are taken"
            raise NetcError(Diagnostic("input-dtype", message))
        self._fed[name or inputs[0]] = normalised(array, scalefactor, mean)

    def forward(self, outputName: str | Sequence[str] | None = None) -> Any:
        """Run the net.

        Args:
            outputName: a layer's name; "" or None for the last layer; or several names.

        Returns:
            The layer's first output, float32; a tuple of them for several names.

        Raises:
            NetcError: unknown-layer, missing-input, input-shape and what stops the net from running
                on inputs of these shapes.
        """
        several = outputName is not None and not isinstance(outputName, str)
        names: list[Any] = list(outputName or ()) if several else [outputName or ""]
        values = [self._value(name) for name in names] or [self._value("")]
        outputs = self._run(tuple(dict.fromkeys(values)))
        found = tuple(outputs[value] for value in values)
        return found if several else found[0]

    def forwardAsync(self, outputName: str = "") -> AsyncArray:
        """Run the net; the answer is there when this returns."""
        return AsyncArray(self.forward(outputName))

    def forwardAndRetrieve(self, outBlobNames: Sequence[str]) -> tuple[tuple[Array, ...], ...]:
        """Run the net: for each of these layers all of its outputs.

        Raises:
            NetcError: as ``forward``.
        """
        nodes = [self._node(name) for name in outBlobNames]
        made = self._run(tuple(dict.fromkeys(value for node in nodes for value in node.outputs)))
        return tuple(tuple(made[value] for value in node.outputs) for node in nodes)

    def getPerfProfile(self) -> tuple[int, NDArray[np.float64]]:
        """Nanoseconds the last forward took, and of these what each layer took, by id from 1 on.

        The layers' shares are those of one more run, which this makes and times. A layer that runs
        within another one has 0, as OpenCV's fused layers have; so has one that was not needed.
        OpenCV's ticks are nanoseconds on Linux: ``cv2.getTickFrequency()`` is 1e9.

        Raises:
            NetcError: no-forward, before the first one.
        """
        if self._last is None:
            message = "nothing has run that could be told of; call forward first"
            raise NetcError(Diagnostic("no-forward", message))
        return self._last.ticks, self._last.times([node.name for node in self._graph.nodes])

    # Inside

    def _run(self, outputs: tuple[str, ...]) -> dict[str, Array]:
        net = self._compiled(outputs)
        fed = {name: self._fed[name] for name in net.inputs if name in self._fed}
        start = time.perf_counter_ns()
        made = net(fed)
        self._last = Forward(net, fed, time.perf_counter_ns() - start)
        return made

    def _node(self, layer: int | str) -> Node:
        names = self.getLayerNames()
        if not isinstance(layer, str) and not hasattr(layer, "__index__"):
            message = f"a layer is asked for by its name or id, not by {layer!r}"
            raise NetcError(Diagnostic("bad-argument", message))
        index = self.getLayerId(layer) if isinstance(layer, str) else int(layer)
        if not 1 <= index <= len(names):
            what = f"no layer `{layer}`" if isinstance(layer, str) else f"no layer of id {layer}"
            help = did_you_mean(layer, names) if isinstance(layer, str) else ()
            raise NetcError(Diagnostic("unknown-layer", f"the net has {what}", help=help))
        return self._graph.nodes[index - 1]

    def _value(self, layer: str) -> str:
        """What a layer makes, before later layers rewrite it in place."""
        made = [node.name for node in self._graph.nodes if node.outputs]
        outputs = self._node(layer or made[-1]).outputs if layer or made else ()
        if not outputs:
            what = f"layer `{layer}` has" if layer else "the net's layers have"
            raise NetcError(Diagnostic("no-output", f"{what} no output to give back"))
        return outputs[0]

    @property
    def _inputs(self) -> list[str]:
        return list(self._graph.input_blobs)

    def _resolved(self) -> Graph:
        """The graph with every shape, from the text or from the inputs that are there.

        Raises:
            NetcError: unknown-input-shape, and as ``forward`` does of shapes that do not fit.
        """
        if not _complete(self._graph):
            self._graph = runnable(build(self._message, inputs=self._shapes(), layers=self._layers))
        return self._graph

    def _parameters(self, node: Node) -> list[Array]:
        """A layer's arrays as they are now, not to be written to; filled where there are none."""
        held = (self._arrays.all or {}).get(node.name)
        if held is not None:
            return held
        filled = self._filled(self._resolved())
        names = next(n.parameters for n in filled.nodes if n.name == node.name)
        return [parameter_array(filled, name) for name in names]

    def _held_arrays(self, node: Node) -> list[Array]:
        if self._arrays.file is not None and node.name not in (self._arrays.all or {}):
            return []
        arrays = self._parameters(node)
        return self._arrays.hold(node, arrays) if arrays else []

    def _put_arrays(self, node: Node, arrays: Sequence[Any]) -> None:
        try:
            graph = self._resolved()
        except NetcError:  # shapes are not known before an input is
            self._arrays.hold(node, arrays)
            return
        self._arrays.put(graph, next(n for n in graph.nodes if n.name == node.name), arrays)

    def _shapes(self) -> dict[str, Shape]:
        return self._given_shapes | {name: array.shape for name, array in self._fed.items()}

    def _filled(self, graph: Graph, *, report: bool = False) -> Graph:
        """The graph with its weights, and numbers of fillers where there are none yet."""
        loaded, found = assign(graph, self._arrays.all, missing="fill")
        if report:
            warn(d for d in found if d.code != "filled-weights")
        return loaded

    def _loaded(self, outputs: tuple[str, ...]) -> Graph:
        """The graph of some outputs for the inputs that are there, with its weights.

        Raises:
            NetcError: missing-weights, where an output depends on a layer without any.
        """
        message, arrays = self._message, self._arrays.all
        missing = "error" if self._arrays.file is not None else "fill"
        layers = self._layers
        loaded = load(message, _TEST, self._shapes(), outputs, arrays, missing, 0, layers)
        return loaded.graph

    def _take_over_arrays(self) -> None:
        """Have the variables hold what the script has written."""
        if not self._variables:
            return
        graph = self._filled(self._resolved())
        arrays = {
            f"{node.name}/{index}": parameter_array(graph, name)
            for node in graph.nodes
            for index, name in enumerate(node.parameters)
        }
        self._variables.update({name: arrays[name] for name in self._variables})

    def _compiled(self, outputs: tuple[str, ...]) -> CompiledNet:
        if self._arrays.changed():
            self._take_over_arrays()
        cuda = self._backend == DNN_BACKEND_CUDA
        half = cuda and self._target == DNN_TARGET_CUDA_FP16
        key = (outputs, cuda, half, tuple(sorted(self._shapes().items())))
        where = "cuda" if cuda else "cpu", "fp16" if half else "float32"
        return self._kept.get(key, lambda: self._ready(outputs, *where))

    def _ready(self, outputs: tuple[str, ...], backend: str, precision: str) -> CompiledNet:
        graph = with_variables(self._loaded(outputs))
        self._check_fed(graph)
        if not self._variables.fit(graph):
            self._variables = Variables()
            self._kept.clear()
        return ready(graph, backend, self._variables, precision)

    def _check_fed(self, graph: Graph) -> None:
        """What the outputs depend on must have been given."""
        missing = [
            blob
            for blob, value in graph.input_blobs.items()
            if blob not in self._fed and graph.values[value].filler is None
        ]
        if missing:
            raise NetcError(
                Diagnostic("missing-input", f"input `{blob}` is not given; call setInput first")
                for blob in missing
            )


def _complete(graph: Graph) -> bool:
    """Whether the text alone tells every shape."""
    return all(value.shape is not None for value in graph.values.values())


def _check_index(node: Node, index: int, number: int) -> None:
    if not 0 <= index < number:
        message = (
            f"layer `{node.name}` has {number} trained arrays, and number {index} is asked for"
        )
        raise NetcError(Diagnostic("bad-argument", message))
