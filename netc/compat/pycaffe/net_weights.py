"""The weights of ``caffe.Net``: files, sharing, and what scripts write to ``params``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from os import PathLike, fspath

import numpy as np

from netc.compat.engine import warn
from netc.compat.pycaffe.arguments import path_of
from netc.compat.pycaffe.blob import ParameterBlob
from netc.compat.pycaffe.errors import raising
from netc.compat.pycaffe.forward import Engine
from netc.compat.pycaffe.layer import BlobVec, Layer, own_layer
from netc.compat.pycaffe.names import NetNames
from netc.compat.pycaffe.parameters import changes, check_alike
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array, Graph
from netc.passes.state import carry_state
from netc.solver.net_file import save_net
from netc.weights.load import as_weights, load_weights
from netc.weights.match import Given, assign
from netc.weights.model import Weights

_HDF5 = b"\x89HDF"  # how such a file begins


class NetWeights(NetNames):
    """The parameters of a net: loading, sharing and saving them."""

    _engine: Engine
    _parameters: dict[str, ParameterBlob]

    @cached_property
    def params(self) -> OrderedDict[str, BlobVec]:
        """Layer -> its trained arrays; the next forward pass uses what is written to them."""
        return OrderedDict(
            (name, layer.blobs)
            for name, layer in zip(self._layer_names, self.layers, strict=True)
            if layer.blobs
        )

    @cached_property
    def layers(self) -> list[Layer]:
        """The layers of this phase in order."""
        nodes = self._graph.nodes
        ends = [layer.node for layer in self._definition.layers[1:]] + [len(nodes)]
        return [
            self._definition.python[layer.name].layer
            if layer.name in self._definition.python
            else own_layer(layer.type, [self._parameters[p] for n in nodes[layer.node : end]
                                   for p in n.parameters])
            for layer, end in zip(self._definition.layers, ends, strict=True)
        ]  # fmt: skip

    def copy_from(self, path: Given) -> None:
        """Copy the weights in a file by layer name; layers that it lacks are unchanged.

        Raises:
            NetcError: what ``netc.load_weights`` raises, weight-count, weight-shape.
        """
        path = path_of(path)
        self._take_over_parameters(all_of_them=True)
        with raising(TypeError, ("bad-weights",)):
            graph = self._assigned(self._graph, path)
        for name, parameter in graph.parameters.items():
            if parameter.array is not None:
                self._parameters[name].set(parameter.array)
        self._copy_to_python_layers(path)

    def _copy_to_python_layers(self, given: Given) -> None:
        """Give layers of the script's what a file has for them."""
        arrays = {} if given is None else _loaded(given)
        for name, python in self._definition.python.items():
            theirs = [ParameterBlob(np.asarray(array)) for array in arrays.get(name, ())]
            if theirs:
                check_alike(name, python.layer.blobs, theirs)
            for blob, other in zip(python.layer.blobs, theirs, strict=False):
                blob.set(other.array)

    def load_hdf5(self, path: str | PathLike[str]) -> None:
        """Copy the weights in an HDF5 file; see ``copy_from``.

        Raises:
            NetcError: bad-weights for a file of another kind, and as ``copy_from``.
        """
        with suppress(OSError), open(path, "rb") as file:
            if file.read(4) != _HDF5:
                message = f"`{fspath(path)}` is no HDF5 file"
                raise NetcError(Diagnostic("bad-weights", message, help=("use copy_from",)))
        self.copy_from(path)

    def share_with(self, other: NetWeights) -> None:
        """Use another net's parameters from now on, for the layers that both have.

        Raises:
            NetcError: weight-count or weight-shape, where a layer of that name is another.
        """
        theirs = other.params
        for name, blobs in self.params.items():
            if name in theirs:
                check_alike(name, blobs, theirs[name])
        for name, blobs in self.params.items():
            for own, their in zip(blobs, theirs.get(name, ()), strict=False):
                own.lend(their)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the net and its weights as a ``.caffemodel``, whatever the path's suffix.

        Raises:
            NetcError: cannot-write.
        """
        self._save(path, ".caffemodel")

    def save_hdf5(self, path: str | PathLike[str]) -> None:
        """Write the weights as HDF5, whatever the path's suffix.

        Raises:
            NetcError: cannot-write, and unsupported-name for what HDF5 cannot name.
        """
        self._save(path, ".h5")

    def _save(self, path: str | PathLike[str], kind: str) -> None:
        arrays = {
            name: [p.array.reshape(p.shape) for p in blobs] for name, blobs in self.params.items()
        }
        save_net(path, self._definition.message, self._definition.state, arrays, kind=kind)

    def _assigned(self, graph: Graph, weights: Given) -> Graph:
        python = self._definition.python
        if python and weights is not None:  # the graph knows nothing of these layers' parameters
            given = _loaded(weights)
            layers = {name: own for name, own in given.layers.items() if name not in python}
            weights = replace(given, layers=layers)
        loaded, found = assign(graph, weights, missing="fill", seed=self._seed)
        warn(found)
        return loaded

    def _put(self, name: str, array: Array) -> None:
        """Have a parameter hold what a forward made of it."""
        self._parameters[name].set(array)

    @cached_property
    def _moved(self) -> frozenset[str]:
        """The averages that forwards move: no forward reads them, so they are taken over last."""
        return carry_state(self._graph).moved

    def _take_over_parameters(
        self, *, all_of_them: bool = False, remade: Collection[str] = ()
    ) -> None:
        """Have the net's variables hold what scripts have written to parameters."""
        left_out = frozenset() if all_of_them else self._moved
        written = {n: p for n, p in self._parameters.items() if n not in left_out}
        variables = self._engine.variables
        changed = changes(variables, written)
        for name, blob in self.blobs.items() if changed else ():
            if blob.pending and name not in remade:
                blob.data  # noqa: B018 - fetched now, for it is of the weights as they were
        variables.update(changed)


def _loaded(given: Given) -> Weights:
    return load_weights(given) if isinstance(given, (str, PathLike)) else as_weights(given or {})
