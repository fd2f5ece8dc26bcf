"""Layers that are classes of the script's: ``class Mine(caffe.Layer)`` (python_layer.hpp).

netc imports nothing that a net names unless the script has said so: see :func:`allow_imports`. A
class counts whose module the script has imported by itself, or that it has handed over.
"""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from netc.compat.pycaffe.blob import Blob, ParameterBlob
from netc.compat.pycaffe.errors import also
from netc.compat.pycaffe.layer import BlobVec, Layer
from netc.compat.pycaffe.mode import TEST, TRAIN
from netc.diagnostics import Collector, Diagnostic, NetcError
from netc.ir.types import Shape
from netc.lower.rules import NetState, filter_layers, merged_state
from netc.ops.array import AnyArray
from netc.ops.python import PYTHON, is_implemented, register_python_layer, unregister_python_layer
from netc.schema.message import Entry, Message

_MODULE = "netc.compat.pycaffe"
_numbers = itertools.count()
_handed: dict[tuple[str, str], type[Layer]] = {}
_allowed = {"imports": False}


def allow_imports(allowed: bool = True) -> None:
    """Whether ``python_param { module }`` of a net is imported, with all the code it holds."""
    _allowed["imports"] = allowed


def add_python_layer(made: type[Layer], module: str | None = None) -> type[Layer]:
    """Hand over a class for the layers that name it; may be written above the class as ``@``.

    Args:
        made: the class.
        module: ``python_param { module }`` of those layers; None for the class's own module.
    """
    _handed[made.__module__ if module is None else module, made.__name__] = made
    return made


def layer_class(layer: Message) -> type[Any] | None:
    """The class of a Python layer; None where netc itself or the caller computes it otherwise.

    Raises:
        NetcError: python-layer, where there is no such class.
    """
    param = layer.get("python_param")
    module, name = param.get("module"), param.get("layer")
    found = _handed.get((module, name)) or _loaded(module, name)
    if found is None and _allowed["imports"]:
        found = _imported(layer, module, name)
    if found is None and not is_implemented(module, name):
        raise _refused(layer, module, name)
    return found


def _loaded(module: str, name: str) -> type[Any] | None:
    found = getattr(sys.modules.get(module), name, None)
    return found if isinstance(found, type) and issubclass(found, Layer) else None


def _imported(layer: Message, module: str, name: str) -> type[Any] | None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        if is_implemented(module, name):
            return None
        message = f"the module `{module}` of layer `{layer.get('name')}` is not imported: {error}"
        raise also(
            NetcError(Diagnostic("python-layer", message, layer.span)), ImportError
        ) from error
    return _loaded(module, name)


def _refused(layer: Message, module: str, name: str) -> NetcError:
    known = sys.modules.get(module)
    if known is not None:
        message = f"the module `{module}` has no class `{name}` made from caffe.Layer"
        return NetcError(Diagnostic("python-layer", message, layer.span))
    message = f"layer `{layer.get('name')}` is the class `{name}` of module `{module}`, and netc "
    help = (
        f"import {module} in the script, or hand the class over: caffe.add_python_layer({name})",
        "caffe.install(python_layers=True) lets nets name modules to import, with all their code",
        f'or say what it computes: netc.register_python_layer("{module}", "{name}", ...)',
    )
    message += "imports no module that a net names"
    return NetcError(Diagnostic("python-layer", message, layer.span, help=help))


class PythonLayer:
    """A layer of a net that a script's object computes.

    ``tops`` are stand-ins while the net is made, then the net's own blobs.
    """

    key = ("", "")

    def __init__(self, made: type[object], layer: Message, phase: int) -> None:
        self.layer: Any = object.__new__(made)
        if not isinstance(self.layer, Layer):
            raise TypeError(f"`{made.__name__}` is not made from caffe.Layer")
        self.layer.param_str = layer.get("python_param").get("param_str")
        self.layer.phase, self.layer.blobs = phase, BlobVec()
        made.__init__(self.layer)
        self.specs = [(p.get("lr_mult"), p.get("decay_mult")) for p in layer.get("param")]
        self.bottoms, self.tops = list(layer.get("bottom")), list(layer.get("top"))
        self.failure: Exception | None = None  # what the class raised when it was last asked
        self._standing: dict[str, Blob] = {}
        self._known: tuple[tuple[Shape, ...], tuple[Shape, ...]] | None = None

    def shapes(self, inputs: Sequence[Shape], param_str: str = "") -> tuple[Shape, ...]:
        """The tops' shapes for these of the bottoms; the layer is asked once for each."""
        given = tuple(tuple(shape) for shape in inputs)
        if self._known is None or self._known[0] != given:
            self._ask(given)
            assert self._known is not None
        return self._known[1]

    def _ask(self, given: tuple[Shape, ...]) -> None:
        try:
            first = not self._standing
            for name, shape in zip(self.bottoms, given, strict=True):
                self._standing[name] = Blob(shape)
            for name in self.tops:
                self._standing.setdefault(name, Blob(()))
            bottoms, tops = ([self._standing[n] for n in own] for own in (self.bottoms, self.tops))
            if first:
                self.layer.setup(bottoms, tops)
            self.layer.reshape(bottoms, tops)
            self._known = given, tuple(top.shape for top in tops)
        except Exception as error:
            self.failure = error  # infer makes a diagnostic of some
            raise

    def forget(self) -> None:
        """Forget the shapes, so that the layer's ``reshape`` is called again."""
        self._known = None

    def reshape(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> bool:
        """Ask the layer for its tops' shapes before a forward; says whether they changed."""
        before = None if self._known is None else self._known[1]
        self.layer.reshape(list(bottoms), list(tops))
        self._known = tuple(b.shape for b in bottoms), tuple(t.shape for t in tops)
        for name, top in zip(self.tops, tops, strict=True):
            self._standing[name].reshape(*top.shape)
        return before != self._known[1]

    def forward(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> None:
        """Call the layer's ``forward``, which fills its tops."""
        self.layer.forward(list(bottoms), list(tops))

    def backward(
        self, tops: Sequence[Blob], needs: Sequence[bool], bottoms: Sequence[Blob]
    ) -> None:
        """Call the layer's ``backward``, which fills its bottoms' gradients."""
        self.layer.backward(list(tops), list(needs), list(bottoms))

    def fill(self, blobs: Mapping[str, Blob]) -> None:
        """Give the net's blobs what the layer has written while the net was made."""
        for name in self.tops:
            if name not in self.bottoms and blobs[name].shape == self._standing[name].shape:
                blobs[name].data[...] = self._standing[name].data

    def parameters(self, name: str) -> Mapping[str, tuple[ParameterBlob, float, float]]:
        """Its parameters by names of their own, with rate and decay, for what trains them."""
        specs = [*self.specs, *[(1.0, 1.0)] * len(self.layer.blobs)]
        return {
            f"{name}/python/{place}": (blob, *specs[place])
            for place, blob in enumerate(self.layer.blobs)
        }


def with_python_layers(message: Message, state: NetState) -> tuple[Message, dict[str, PythonLayer]]:
    """The net whose Python layers are computed by objects, and these by the layers' names.

    Each such layer is given names under which its shape rule is registered; see ``release``.
    """
    made: dict[str, PythonLayer] = {}
    written = message.entries.get("layer", ())
    if not any(entry.value.get("type") == PYTHON.name for entry in written):
        return message, made
    kept = filter_layers(message, merged_state(message, state), Collector())
    entries = []
    for entry in written:
        layer = entry.value
        chosen = any(layer is own for own in kept) and layer.get("type") == PYTHON.name
        found = layer_class(layer) if chosen else None
        if found is not None:
            name = layer.get("name")
            made[name] = PythonLayer(found, layer, TRAIN if state.phase == "TRAIN" else TEST)
            entry = entry._replace(value=_registered(layer, made[name]))
        entries.append(entry)
    return (message.with_entries(layer=tuple(entries)) if made else message), made


def _registered(layer: Message, made: PythonLayer) -> Message:
    """The layer under names of its own, at which netc finds its shape rule."""
    made.key = (_MODULE, f"{layer.get('python_param').get('layer')} {next(_numbers)}")
    register_python_layer(*made.key, _never_run, made.shapes)
    (given,) = layer.entries["python_param"]
    names = dict(zip(("module", "layer"), made.key, strict=True))
    fields = {name: (Entry(text, given.span),) for name, text in names.items()}
    named = given._replace(value=given.value.with_entries(**fields))
    return layer.with_entries(python_param=(named,)).without("param")


def _never_run(inputs: Sequence[object], param_str: str) -> Sequence[AnyArray]:
    raise AssertionError("a layer of the script's is run by its object")


@contextmanager
def own_errors(layers: Mapping[str, PythonLayer]) -> Iterator[None]:
    """A context in which exceptions of a script's class reach it unchanged, as in pycaffe."""
    try:
        yield
    except NetcError:
        for layer in layers.values():
            failure, layer.failure = layer.failure, None
            if failure is not None:
                raise failure from None
        raise


def release(layers: Mapping[str, PythonLayer]) -> None:
    """Forget the names of a net's layers."""
    for layer in layers.values():
        unregister_python_layer(*layer.key)
