"""What a net can be verified against: ONNX Runtime, OpenCV, blobs saved by Caffe, another net.

Each returns those of the net's blobs that it can compute, under netc's names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from netc.boundary import reason
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array, Graph
from netc.surgery.loading import LoadedState
from netc.weights.numpy_file import open_archive


class Opponent(Protocol):
    """Another source of a net's blobs; ``files`` are the files it reads."""

    kind: str
    version: str
    files: tuple[Path, ...]

    def inputs(self) -> Mapping[str, Array]:
        """Input blob -> array, for inputs that it prescribes; netc chooses the others."""

    def blobs(self, graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Value of the graph -> array, for those that it has.

        Args:
            graph: of the net as netc has it.
            feeds: input blob -> array.

        Raises:
            NetcError: other-failed, it cannot run the net.
        """


def _package(name: str, extra: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        message = f"this comparison needs the package `{name}`, which is not installed"
        raise NetcError(Diagnostic("missing-package", message, help=(extra,))) from None


def _failed(who: str, error: Exception) -> NetcError:
    message = f"{who} cannot run the net: {reason(error)}"
    return NetcError(Diagnostic("other-failed", message))


class OnnxModel:
    """A model in ONNX Runtime; its intermediate values are matched to blobs by name."""

    kind = "onnx"

    def __init__(self, path: Path) -> None:
        self.ort = _package("onnxruntime", "pip install onnxruntime")
        self.onnx = _package("onnx", "pip install 'netc[onnx]'")
        self.files: tuple[Path, ...] = (path,)
        self.version = f"onnxruntime {self.ort.__version__}"
        try:
            self.model = self.onnx.load(str(path))
        except Exception as error:
            raise NetcError(
                Diagnostic("not-onnx", f"`{path}` cannot be read as an ONNX model: {reason(error)}")
            ) from None

    def inputs(self) -> Mapping[str, Array]:
        """None of its own."""
        return {}

    def blobs(self, graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The values that the model has under netc's names."""
        made = {name for node in self.model.graph.node for name in node.output if name}
        wanted = [name for name in graph.producers if name in made]
        if not wanted:
            return {}
        outputs = self.model.graph.output
        del outputs[:]
        outputs.extend(self.onnx.ValueInfoProto(name=name) for name in wanted)
        try:
            options = self.ort.SessionOptions()
            options.graph_optimization_level = self.ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.log_severity_level = 3
            session = self.ort.InferenceSession(
                self.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            given = self._given([entry.name for entry in session.get_inputs()], feeds)
            found = session.run(wanted, given)
        except NetcError:
            raise
        except Exception as error:
            raise _failed("ONNX Runtime", error) from None
        return {n: np.asarray(a, np.float32) for n, a in zip(wanted, found, strict=True)}

    def _given(self, names: Sequence[str], feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The model's inputs by name; of one input on each side the name does not matter."""
        if len(names) == len(feeds) == 1:
            return {names[0]: next(iter(feeds.values()))}
        lacking = [name for name in names if name not in feeds]
        if lacking:
            message = f"the model has an input `{lacking[0]}`, and the net has none of that name"
            raise NetcError(Diagnostic("other-failed", message))
        return {name: feeds[name] for name in names}


class OpenCv:
    """OpenCV's dnn module with the same text and weights; its layers are matched by name."""

    kind = "opencv"

    def __init__(self, text: Path, weights: Path) -> None:
        self.cv2 = _package("cv2", "pip install 'opencv-python-headless<5'")
        self.version = f"opencv {self.cv2.__version__}"
        self.files: tuple[Path, ...] = ()
        if not hasattr(self.cv2.dnn, "readNetFromCaffe"):
            message = f"OpenCV {self.cv2.__version__} reads no Caffe nets; versions 3 and 4 do"
            raise NetcError(Diagnostic("other-failed", message))
        try:
            self.net = self.cv2.dnn.readNetFromCaffe(str(text), str(weights))
            self.net.enableFusion(False)
        except Exception as error:
            raise _failed("OpenCV", error) from None

    def inputs(self) -> Mapping[str, Array]:
        """None of its own."""
        return {}

    def blobs(self, graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The first top of every layer that OpenCV has under its name."""
        known = set(self.net.getLayerNames())
        nodes = [node for node in graph.nodes if node.name in known and node.outputs]
        try:
            for name, array in feeds.items():
                self.net.setInput(array, name)
            found = self.net.forward([node.name for node in nodes]) if nodes else []
        except Exception as error:
            raise _failed("OpenCV", error) from None
        return {
            node.outputs[0]: np.asarray(array, np.float32)
            for node, array in zip(nodes, found, strict=True)
        }


class CaffesNumbers:
    """Blobs computed by Caffe, saved in an .npz under their names, inputs included."""

    kind = "npz"
    version = ""

    def __init__(self, path: Path) -> None:
        self.files: tuple[Path, ...] = (path,)
        with open_archive(str(path)) as archive:
            self.arrays = {
                name: np.asarray(archive.read(name), np.float32) for name in archive.names
            }

    def inputs(self) -> Mapping[str, Array]:
        """All arrays: those of inputs are taken."""
        return self.arrays

    def blobs(self, graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The arrays that have the name of a value, or of the blob that it ends as."""
        lacking = [blob for blob in graph.input_blobs if blob not in self.arrays]
        if lacking:
            message = (
                f"`{self.files[0]}` has no array for input `{lacking[0]}`, and its other arrays "
                "were made of that"
            )
            raise NetcError(Diagnostic("nothing-common", message))
        return {name: self.arrays[name] for name in graph.producers if name in self.arrays}


class OtherNet:
    """Another net in netc, with the same or other weights."""

    kind = "net"

    def __init__(self, other: LoadedState, files: tuple[Path, ...], version: str) -> None:
        self.other, self.files, self.version = other, files, version

    def inputs(self) -> Mapping[str, Array]:
        """None of its own."""
        return {}

    def blobs(self, graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The blobs, as their last layers leave them, that both nets have."""
        from netc.backends.reference import run

        own = self.other.graph
        fed = {}
        for name, blob in ((n, own.values[n].blob) for n in own.inputs):
            if blob not in feeds:
                message = f"the other net has an input `{blob}`, and the net has none of that name"
                raise NetcError(Diagnostic("other-failed", message))
            fed[name] = feeds[blob]
        wanted = list(_last_values(graph, own))
        found = run(own, fed, wanted)
        return {name: found[name] for name in wanted}


def _last_values(graph: Graph, other: Graph) -> Iterator[str]:
    for name in graph.producers:
        if name in other.producers and graph.values[name].blob == name:
            yield name
