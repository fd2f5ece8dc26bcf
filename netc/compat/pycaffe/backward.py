"""``backward`` of ``caffe.Net``: layer by layer, from the current contents of data and diff.

The names are those of Caffe's pycaffe.py, the order that of Net::BackwardFromTo (net.cpp).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest

import numpy as np

from netc.compat.pycaffe.blob import Blob
from netc.compat.pycaffe.definition import DefinedLayer
from netc.compat.pycaffe.errors import also
from netc.compat.pycaffe.feeding import batches, listed
from netc.compat.pycaffe.layer_gradient import LayerGradient
from netc.compat.pycaffe.needs import LayerNeeds, layer_needs
from netc.compat.pycaffe.net_weights import NetWeights
from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.ir.graph import Array
from netc.ir.types import show
from netc.ops.array import AnyArray
from netc.ops.catalog import has_role
from netc.ops.random import generator_key
from netc.ops.role import Role
from netc.train.generator import KEY

Hook = Callable[[int], object]


class NetBackward(NetWeights):
    """The backward pass of a net: gradients of blobs and parameters."""

    _hooks: dict[str, list[Hook]]
    _gradients: dict[int, tuple[object, LayerGradient]]

    def backward(
        self,
        diffs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: AnyArray,
    ) -> dict[str, Array]:
        """Run the layers' gradients from ``start`` down to ``end``, both included.

        Each layer takes its tops' ``diff`` as it stands, writes its bottoms' and adds to its
        parameters'. A loss's ``diff`` is its weight, until a script writes to it.

        Args:
            diffs: blobs whose gradients to give back besides the inputs', or besides those of the
                bottoms of ``end``.
            start: a layer's name; None for the last.
            end: a layer's name; None for the first.
            **kwargs: output blob -> its gradient; all outputs or none.

        Returns:
            Blob -> its ``diff``, which the next backward overwrites.

        Raises:
            NetcError: unknown-layer, unknown-blob, input-shape; no-gradient, at a layer that has
                none and would have to pass one.
        """
        first = len(self._definition.layers) - 1 if start is None else self._index(start)
        last = 0 if end is None else self._index(end)
        if kwargs:
            self._take_top_diffs(kwargs)
        self._backward(first, last)  # before names are looked at, as in pycaffe
        return {name: self.blobs[name].diff for name in self._wanted_diffs(diffs, end)}

    def forward_backward_all(
        self,
        blobs: Sequence[str] | None = None,
        diffs: Sequence[str] | None = None,
        **kwargs: AnyArray,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Run inputs of any number of items forward and backward, in batches of the net's size.

        Args:
            blobs: to give back besides the net's outputs.
            diffs: gradients to give back besides the inputs'.
            **kwargs: input blob or output's gradient -> array of as many items as there are.

        Returns:
            Blob -> array of as many items, and blob -> its gradient likewise.

        Raises:
            NetcError: as ``forward`` and ``backward``.
        """
        ins = {name: kwargs[name] for name in self.inputs if name in kwargs}
        outs = {name: kwargs[name] for name in self.outputs if name in kwargs}
        made: tuple[dict[str, list[Array]], dict[str, list[Array]]] = ({}, {})
        none: dict[str, AnyArray] = {}
        size = self._batch_size
        pairs = zip_longest(batches(ins, size), batches(outs, size), fillvalue=none)
        for feeds, tops in pairs:
            both = self.forward(blobs, **feeds), self.backward(diffs, **tops)
            for lists, arrays in zip(made, both, strict=True):
                for name, array in arrays.items():
                    lists.setdefault(name, []).append(array.copy())
        if not kwargs or not made[0]:
            message = "forward_backward_all takes arrays of the net's inputs"
            raise also(NetcError(Diagnostic("missing-input", message)), RuntimeError)
        number = len(next(iter(kwargs.values())))
        whole = [
            {name: np.concatenate(arrays)[:number] for name, arrays in lists.items()}
            for lists in made
        ]
        return whole[0], whole[1]

    def before_backward(self, hook: Hook) -> None:
        """Register a function to be called with each layer's index before its backward pass."""
        self._hooks["before backward"].append(hook)

    def after_backward(self, hook: Hook) -> None:
        """Register a function to be called with each layer's index after its backward pass."""
        self._hooks["after backward"].append(hook)

    def clear_param_diffs(self) -> None:
        """Set the parameters' gradients to zero."""
        for layer in self.layers:
            for parameter in layer.blobs:
                parameter.diff[...] = 0

    # What is wanted and given

    def _wanted_diffs(self, diffs: Sequence[str] | None, end: str | None) -> list[str]:
        usual = self.inputs if end is None else self.bottom_names[end]
        found = list(dict.fromkeys((*usual, *listed(diffs, "diffs"))))
        for name in found:
            if name not in self.blobs:
                help = did_you_mean(name, self.blobs)
                error = Diagnostic("unknown-blob", f"the net has no blob `{name}`", help=help)
                raise also(NetcError(error), KeyError)
        return found

    def _take_top_diffs(self, given: Mapping[str, AnyArray]) -> None:
        """Gradients by the outputs' names; all of them must be given, and nothing else."""
        if set(given) != set(self.outputs):
            outputs = ", ".join(f"`{name}`" for name in self.outputs)
            message = f"gradients are given for all of the net's outputs, or none: {outputs}"
            raise NetcError(Diagnostic("unknown-input", message))
        for name, top in given.items():
            array, shape = np.asarray(top), self.blobs[name].shape
            message = f"the gradient of `{name}` is {show(array.shape)}, and the blob {show(shape)}"
            if not array.ndim or not shape:
                raise also(NetcError(Diagnostic("input-shape", message)), IndexError)
            if array.shape[0] != shape[0]:
                raise NetcError(Diagnostic("input-shape", message))
            try:
                self.blobs[name].diff[...] = array
            except ValueError:
                raise also(NetcError(Diagnostic("input-shape", message)), ValueError) from None

    # The pass

    @property
    def _layer_needs(self) -> tuple[LayerNeeds, ...]:
        if self._needs is None:
            rates = [self._rates(number) for number in range(len(self._definition.layers))]
            self._needs = layer_needs(self._definition, self._graph, rates)
        return self._needs

    _needs: tuple[LayerNeeds, ...] | None = None

    def _rates(self, number: int) -> list[float]:
        """The ``lr_mult`` of each of a layer's parameters."""
        layer = self._definition.layers[number]
        if layer.name in self._definition.python:
            own = self._definition.python[layer.name].parameters(layer.name)
            return [rate for _, rate, _ in own.values()]
        if not layer.computes:
            return []
        names = self._graph.nodes[layer.node].parameters
        return [self._graph.parameters[name].lr_mult for name in names]

    def _backward(self, first: int, last: int) -> None:
        """Run the gradients of layers by their places, from ``first`` down to ``last``."""
        number = len(self._definition.layers)
        if not 0 <= last or not first < number:
            message = f"there are {number} layers, not {last} to {first}"
            raise also(NetcError(Diagnostic("unknown-layer", message)), IndexError)
        for layer in range(first, last - 1, -1):
            for hook in self._hooks["before backward"]:
                hook(layer)
            if self._layer_needs[layer].runs:
                self._backward_layer(layer)
            for hook in self._hooks["after backward"]:
                hook(layer)

    def _backward_layer(self, number: int) -> None:
        layer, needs = self._definition.layers[number], self._layer_needs[number]
        bottoms = [self.blobs[name] for name in layer.bottoms]
        tops = [self.blobs[name] for name in layer.tops]
        if has_role(layer.type, Role.COPY):
            if needs.bottoms[0]:
                bottoms[0].diff[...] = _sum(tops)
        elif layer.name in self._definition.python:
            self._definition.python[layer.name].backward(tops, needs.bottoms, bottoms)
        elif layer.computes:
            self._run_gradient(number, layer, bottoms, tops)

    def _run_gradient(
        self, number: int, layer: DefinedLayer, bottoms: Sequence[Blob], tops: Sequence[Blob]
    ) -> None:
        needs = self._layer_needs[number]
        if not any(needs.bottoms) and not any(needs.parameters):
            return
        program = self._gradient(number, layer, needs)
        self._take_over_parameters()
        node = self._graph.nodes[layer.node]
        values = zip((*program.names.bottoms, *program.names.tops),
                     (*node.inputs, *node.outputs), strict=True)  # fmt: skip
        known = dict(values)
        feeds = {name: self._read(layer.node, known.get(name, name)) for name in program.reads}
        below, learned = program.run(feeds, [top.diff for top in tops])
        for place, array in below.items():
            bottoms[place].diff[...] = array.reshape(bottoms[place].shape)
        for owner, array in learned.items():
            self._parameters[owner].diff.reshape(array.shape)[...] += array

    def _gradient(self, number: int, layer: DefinedLayer, needs: LayerNeeds) -> LayerGradient:
        """The layer's program, made if it has not been for these shapes."""
        node, graph = self._graph.nodes[layer.node], self._graph
        shapes = tuple(graph.shape(value) for value in (*node.inputs, *node.outputs))
        known = self._gradients.get(number)
        if known is None or known[0] != shapes:
            engine = self._engine
            made = LayerGradient(graph, node, needs, engine.backend, engine.variables)
            known = self._gradients[number] = (shapes, made)
        return known[1]

    def _read(self, node: int, value: str) -> Array:
        """What a gradient reads: of a blob what it holds, of one that was rewritten what it held.

        Layers in place keep by themselves what they need of their bottom (PReLU, Scale, BatchNorm).
        """
        if value == KEY:
            return generator_key(self._seed, self._engine.passes)
        graph = self._graph
        if value not in graph.values:
            return self._engine.fed_state(node, value)
        blob = graph.values[value].blob
        own = graph.nodes[node]
        if value in own.inputs and any(graph.values[top].blob == blob for top in own.outputs):
            return self._engine.overwritten(value)
        return self.blobs[blob].data

    # What the net has

    def _index(self, layer: str) -> int:
        raise NotImplementedError

    def forward(
        self,
        blobs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: AnyArray,
    ) -> dict[str, Array]:
        """See ``Net.forward``."""
        raise NotImplementedError


def _sum(tops: Sequence[Blob]) -> Array:
    """The sum of the tops' gradients in their order (split_layer.cpp)."""
    total = tops[0].diff
    for top in tops[1:]:
        total = total + top.diff
    return total
