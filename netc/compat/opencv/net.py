"""``readNetFromCaffe`` and the net it gives, with the methods of ``cv2.dnn.Net``."""

from __future__ import annotations

import tempfile
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netc.backends.reference import parameter_array
from netc.compat.engine import ready, warn
from netc.compat.opencv.constants import (
    DNN_BACKEND_CUDA,
    DNN_BACKEND_DEFAULT,
    DNN_TARGET_CPU,
    DNN_TARGET_CUDA_FP16,
)
from netc.compat.opencv.images import normalised
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcError, Source, did_you_mean, first_of
from netc.driver import Built, build, read_net, runnable
from netc.ir.graph import Array, Graph, Node
from netc.ir.types import Shape
from netc.ops.catalog import LAYERS
from netc.schema.message import Message
from netc.syntax.reader import source_of_bytes
from netc.weights import load_weights
from netc.weights.match import assign

_KEPT = 8  # compiled nets, by input shapes and outputs, least recently used first out

Given = str | PathLike[str] | bytes | bytearray | NDArray[np.uint8]
Arrays = dict[str, list[Array]]


def readNetFromCaffe(prototxt: Given, caffeModel: Given = "") -> Net:
    """A net from a prototxt and its weights.

    Args:
        prototxt: a path, or the file's bytes.
        caffeModel: a path, or the file's bytes; without it the net is filled by its fillers.

    Raises:
        NetcError: with every mistake found in the text or the weights.
    """
    message = read_net(_text(prototxt)).message
    return Net(message, _weights(caffeModel))


def readNet(model: str, config: str = "", framework: str = "") -> Net:
    """A net from its two files, in either order; they are told by the suffix ``.prototxt``.

    Raises:
        NetcError: bad-argument for a net of another framework, and as ``readNetFromCaffe``.
    """
    model, config = fspath(model), fspath(config)
    if framework.lower() not in ("", "caffe"):
        raise NetcError(Diagnostic("bad-argument", f"netc reads nets of Caffe, not `{framework}`"))
    if model.lower().endswith((".prototxt", ".pbtxt", ".txt")):
        model, config = config, model
    return readNetFromCaffe(config, model)


def _text(given: Given) -> str | PathLike[str] | Source:
    if isinstance(given, (str, PathLike)):
        return given
    return source_of_bytes("prototxt", _bytes(given))


def _weights(given: Given) -> Arrays | None:
    if isinstance(given, (str, PathLike)):
        if not fspath(given):
            return None
        return {name: list(arrays) for name, arrays in load_weights(given).items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "caffeModel"
        path.write_bytes(_bytes(given))
        return {name: list(arrays) for name, arrays in load_weights(path).items()}


def _bytes(given: Any) -> bytes:
    if isinstance(given, np.ndarray) and given.dtype == np.uint8:
        return given.tobytes()
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given)
    message = f"a file is given as a path or as bytes, not as a `{type(given).__name__}`"
    raise NetcError(Diagnostic("bad-argument", message))


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer's name, type and trained arrays."""

    name: str
    type: str
    blobs: list[Array]


class Net:
    """A net with the methods of ``cv2.dnn.Net``; made by :func:`readNetFromCaffe`.

    Layers have ids from 1 on, in the order of the text, inputs left out.
    """

    def __init__(self, message: Message, weights: Arrays | None) -> None:
        self._message = message
        self._arrays = weights
        self._fed: dict[str, Array] = {}
        self._backend = DNN_BACKEND_DEFAULT
        self._target = DNN_TARGET_CPU
        self._kept: OrderedDict[Any, CompiledNet] = OrderedDict()
        self._ticks = 0
        built = build(message)
        if any(d.severity == "error" for d in built.diagnostics):
            raise NetcError(first_of(built.diagnostics))
        self._graph: Graph = built.graph
        self._names = _opencv_names(built)
        if _complete(built.graph):
            self._graph = self._loaded({})

    # What there is

    def empty(self) -> bool:
        """Whether it has no layers."""
        return not self._graph.nodes

    def getLayerNames(self) -> tuple[str, ...]:
        """The layers' names, inputs left out; a Convolution is called by its top (see docs)."""
        return self._names

    def getLayerId(self, layer: str) -> int:
        """A layer's id, by OpenCV's name or by the text's; -1 for no layer."""
        for names in (self._names, tuple(node.name for node in self._graph.nodes)):
            if layer in names:
                return names.index(layer) + 1
        return -1

    def getLayer(self, layerId: int | str) -> Layer:
        """A layer by its id or name.

        Raises:
            NetcError: unknown-layer.
        """
        node = self._node(layerId)
        name = self._names[self._graph.nodes.index(node)]
        return Layer(name, node.op, self._parameters(node))

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
        """A copy of a layer's trained array, in Caffe's shape.

        Raises:
            NetcError: unknown-layer, or bad-argument where it has no such array.
        """
        blobs = self._parameters(self._node(layer))
        _check_index(self._node(layer), numParam, len(blobs))
        return blobs[numParam].copy()

    def setParam(self, layer: int | str, numParam: int, blob: Any) -> None:
        """Replace a layer's trained array; the net is compiled anew at the next forward.

        Raises:
            NetcError: unknown-layer, bad-argument, or weight-shape.
        """
        arrays = self._all_parameters()
        node = self._node(layer)
        blobs = arrays.get(node.name, [])
        _check_index(node, numParam, len(blobs))
        array = np.array(blob, dtype=np.float32)
        if array.size != blobs[numParam].size:
            message = (
                f"layer `{node.name}`: parameter {numParam} has {blobs[numParam].size} elements, "
                f"and {array.size} are given"
            )
            raise NetcError(Diagnostic("weight-shape", message))
        owner = self._owner(node.parameters[numParam])
        for other in self._graph.nodes:
            for index, name in enumerate(other.parameters):
                if self._owner(name) == owner:
                    held = arrays[other.name]
                    held[index] = array.reshape(held[index].shape)
        self._arrays = arrays
        self._kept.clear()
        self._graph = self._loaded(self._shapes())

    # Running

    def setPreferableBackend(self, backendId: int) -> None:
        """``DNN_BACKEND_CUDA`` runs on a GPU, all others on the CPU."""
        self._backend = backendId

    def setPreferableTarget(self, targetId: int) -> None:
        """``DNN_TARGET_CUDA_FP16`` computes products in half precision on a GPU."""
        self._target = targetId

    def setInput(self, blob: Any, name: str = "", scalefactor: float = 1.0, mean: Any = ()) -> None:
        """Give an input, ``(blob - mean) * scalefactor``; it may have another shape than before.

        Args:
            blob: of numbers, in the input's axes.
            name: the input blob; "" for the first.
            scalefactor: multiplied after the mean is subtracted.
            mean: one number for each channel.

        Raises:
            NetcError: unknown-input, input-dtype or bad-argument.
        """
        inputs = list(self._graph.input_blobs)
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
        net = self._compiled(tuple(dict.fromkeys(values)))
        start = time.perf_counter_ns()
        outputs = net(self._fed)
        self._ticks = time.perf_counter_ns() - start
        found = tuple(outputs[value] for value in values)
        return found if several else found[0]

    def getPerfProfile(self) -> tuple[int, NDArray[np.float64]]:
        """Nanoseconds the last forward took, and no times of layers, which run fused.

        OpenCV's ticks are nanoseconds on Linux: ``cv2.getTickFrequency()`` is 1e9.
        """
        return self._ticks, np.zeros(0, dtype=np.float64)

    # Inside

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

    def _parameters(self, node: Node) -> list[Array]:
        return self._all_parameters().get(node.name, [])

    def _all_parameters(self) -> Arrays:
        if not _complete(self._graph):
            self._graph = self._loaded(self._shapes())
        return {
            node.name: [parameter_array(self._graph, name) for name in node.parameters]
            for node in self._graph.nodes
            if node.parameters
        }

    def _owner(self, parameter: str) -> str:
        """The parameter whose elements this one's are, where layers share them."""
        return self._graph.parameters[parameter].owner or parameter

    def _shapes(self) -> dict[str, Shape]:
        return {name: array.shape for name, array in self._fed.items()}

    def _loaded(self, shapes: dict[str, Shape]) -> Graph:
        """The graph for these inputs, with its weights."""
        graph = runnable(build(self._message, inputs=shapes))
        loaded, found = assign(graph, self._arrays)
        warn(found)
        return loaded

    def _compiled(self, outputs: tuple[str, ...]) -> CompiledNet:
        self._check_fed()
        cuda = self._backend == DNN_BACKEND_CUDA
        half = cuda and self._target == DNN_TARGET_CUDA_FP16
        shapes = self._shapes()
        key = (outputs, cuda, half, tuple(sorted(shapes.items())))
        if key not in self._kept:
            graph = self._loaded(shapes).replace(outputs=outputs)
            self._kept[key] = ready(graph, "cuda" if cuda else "cpu", "fp16" if half else "float32")
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _check_fed(self) -> None:
        inputs = self._graph.input_blobs
        missing = [
            blob
            for blob, value in inputs.items()
            if blob not in self._fed and self._graph.values[value].filler is None
        ]
        if missing:
            raise NetcError(
                Diagnostic("missing-input", f"input `{blob}` is not given; call setInput first")
                for blob in missing
            )


def _opencv_names(built: Built) -> tuple[str, ...]:
    """What OpenCV calls the layers (caffe_importer.cpp, populateNet).

    A Convolution by its top, others by the text's name; one that has been met before gets ``_1``,
    ``_2`` ... after it.
    """
    met: Counter[str] = Counter()
    found: list[str] = []
    nodes = iter(built.graph.nodes)
    for name, kind in built.layers:
        number, met[name] = met[name], met[name] + 1
        if not LAYERS[kind].source:
            node = next(nodes)
            by_top = kind == "Convolution" and len(node.outputs) == 1
            numbered = f"{name}_{number}" if number else name
            found.append(built.graph.values[node.outputs[0]].blob if by_top else numbered)
    return tuple(found)


def _complete(graph: Graph) -> bool:
    """Whether the text alone tells every shape."""
    return all(value.shape is not None for value in graph.values.values())


def _check_index(node: Node, index: int, number: int) -> None:
    if not 0 <= index < number:
        message = (
            f"layer `{node.name}` has {number} trained arrays, and number {index} is asked for"
        )
        raise NetcError(Diagnostic("bad-argument", message))
