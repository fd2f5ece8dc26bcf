"""Layers that a script defines itself: ``cv2.dnn_registerLayer`` and its like.

OpenCV makes one object of the script's class for each layer, calls its ``getMemoryShapes`` for the
outputs' shapes and its ``forward`` for the outputs (misc/python/pyopencv_dnn.hpp). In a graph they
are Python layers.
"""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import ParamSpec, Protocol

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.ir.types import Shape
from netc.ops.array import AnyArray, Arrays
from netc.ops.define import ErasedOp, LayerContext, erased
from netc.ops.python import (
    PYTHON,
    PythonParams,
    register_python_layer,
    unregister_python_layer,
)
from netc.schema.message import Message

Given = ParamSpec("Given")


class ScriptLayer(Protocol):
    """An object of a script's layer class, with the methods that OpenCV calls."""

    def getMemoryShapes(self, inputs: list[list[int]]) -> Sequence[Sequence[int]]:
        """The shapes of the outputs, for those of the inputs."""

    def forward(self, inputs: list[AnyArray]) -> Arrays:
        """Compute the outputs."""


ScriptClass = Callable[[dict[str, object], list[Array]], ScriptLayer]

MODULE = "cv2.dnn"  # of the Python layers that stand for a script's own
_CLASSES: dict[str, list[ScriptClass]] = {}  # type -> what scripts registered, the last counts
_SERIAL = count()


def dnn_registerLayer(type: str, class_: ScriptClass) -> None:
    """Register a script's class for layers of a type, in nets read from now on.

    Args:
        type: the layers' type; it overrides a type that netc has itself.
        class_: called as ``class_(params, blobs)`` for each layer; its objects have
            ``getMemoryShapes(inputs)`` and ``forward(inputs)`` as in OpenCV.

    Raises:
        NetcError: bad-argument, where ``class_`` is not callable.
    """
    if not callable(class_):
        raise NetcError(Diagnostic("bad-argument", f"`{type}` is to be computed by a class"))
    _CLASSES.setdefault(str(type), []).append(class_)


def dnn_unregisterLayer(type: str) -> None:
    """Undo the last registration for a type; does nothing where there is none."""
    known = _CLASSES.get(str(type), [])
    if known:
        known.pop()
    if not known:
        _CLASSES.pop(str(type), None)


def listen_to_opencv() -> None:
    """Make layers that a script registers with OpenCV itself, from now on, known to netc too.

    It is for scripts in which only ``readNetFromCaffe`` was replaced. Earlier registrations are
    not visible, since OpenCV does not list them.
    """
    try:
        cv2 = importlib.import_module("cv2")
    except ImportError:
        return
    for name, own in (
        ("dnn_registerLayer", dnn_registerLayer),
        ("dnn_unregisterLayer", dnn_unregisterLayer),
    ):
        theirs = getattr(cv2, name, None)
        if theirs is not None and not hasattr(theirs, "netc"):
            setattr(cv2, name, _both(theirs, own))


def _both(theirs: Callable[Given, object], own: Callable[Given, None]) -> Callable[Given, object]:
    def both(*args: Given.args, **kwargs: Given.kwargs) -> object:
        result = theirs(*args, **kwargs)
        own(*args, **kwargs)
        return result

    both.__dict__["netc"] = True
    both.__doc__ = theirs.__doc__
    return both


class CustomLayers:
    """The script's layers in one net, as op definitions for its graph."""

    def __init__(self, weights: dict[str, list[Array]] | None) -> None:
        self._weights = weights or {}
        self._classes = {kind: known[-1] for kind, known in _CLASSES.items()}
        self._names: dict[tuple[str, str], str] = {}

    @property
    def definitions(self) -> Mapping[str, ErasedOp]:
        """Layer type -> the op that replaces netc's definition."""
        return {kind: erased(replace(PYTHON, params=self._parser(kind))) for kind in self._classes}

    def _parser(self, kind: str) -> Callable[[Message, LayerContext], PythonParams]:
        def parse(layer: Message, context: LayerContext) -> PythonParams:
            return PythonParams(MODULE, self._registered(kind, layer), "", max(1, context.tops))

        return parse

    def _registered(self, kind: str, layer: Message) -> str:
        """The name under which the layer's object is registered; made once."""
        key = (kind, layer.get("name"))
        if key not in self._names:
            name = self._names[key] = f"{kind} {layer.get('name')} {next(_SERIAL)}"
            blobs = list(self._weights.pop(layer.get("name"), []))
            made = _Object(self._classes[kind](_written(layer), blobs))
            register_python_layer(MODULE, name, made.run, made.shapes)
            weakref.finalize(self, unregister_python_layer, MODULE, name)
        return self._names[key]


class _Object:
    """A script's object as a Python layer's implementation."""

    def __init__(self, script: ScriptLayer) -> None:
        self.script = script

    def shapes(self, inputs: Sequence[Shape], text: str) -> list[Shape]:
        shapes = self.script.getMemoryShapes([list(shape) for shape in inputs])
        return [tuple(shape) for shape in shapes]

    def run(self, inputs: Arrays, text: str) -> Arrays:
        self.shapes([array.shape for array in inputs], text)  # objects keep sizes from there
        return list(self.script.forward(list(inputs)))


def _written(layer: Message) -> dict[str, object]:
    """The fields that the layer's own parameters say, and its name and type."""
    said: dict[str, object] = {"name": layer.get("name"), "type": layer.get("type")}
    for entries in layer.entries.values():
        for entry in entries:
            if isinstance(entry.value, Message):
                said |= {
                    name: entry.value.get(name)
                    for name in entry.value.entries
                    if not isinstance(entry.value.get(name), Message)
                }
    return said
