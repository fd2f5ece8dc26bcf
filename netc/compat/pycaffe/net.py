"""``caffe.Net`` on netc: blobs and parameters to write to, forward over all or some layers.

The names are those of Caffe's pycaffe.py and _caffe.cpp.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from os import PathLike

import numpy as np

import netc.compat.pycaffe.arguments as arguments
import netc.compat.pycaffe.mode as mode
from netc.arguments import shapes as checked_shapes
from netc.backends.registry import backend
from netc.backends.state import RunState
from netc.backends.variables import Variables
from netc.compat.pycaffe.backward import NetBackward
from netc.compat.pycaffe.definition import DefinedLayer, Definition, define
from netc.compat.pycaffe.errors import also, raising
from netc.compat.pycaffe.feeding import batches, check_names, listed, put
from netc.compat.pycaffe.forward import Engine, ForwardRun
from netc.compat.pycaffe.layer import Layer as OwnLayer
from netc.compat.pycaffe.memory_data import MemoryFeed, check_filled
from netc.compat.pycaffe.parameters import changed_shapes, parameters
from netc.compat.pycaffe.python_layers import own_errors, release
from netc.diagnostics import Diagnostic, NetcError, Source, did_you_mean
from netc.frontend import Schemas, folder_of, read_net
from netc.infer import blob_shapes, infer
from netc.ir.edit import with_variables
from netc.ir.graph import Array, Graph
from netc.ir.graph import Parameter as GraphParameter
from netc.ir.types import show
from netc.lower.rules import NetState as NetState
from netc.ops.array import AnyArray
from netc.ops.catalog import has_role
from netc.ops.role import Role
from netc.sources.reader import DataReader, data_reader
from netc.weights.match import Given


class Net(NetBackward):
    """A net as pycaffe has it.

    Args:
        network_file: path of a prototxt, or a :class:`netc.Source` with its text.
        *args: ``phase, level, stages, weights``, or ``weights, phase``.
        phase: ``TEST`` or ``TRAIN``.
        level: the NetState's level.
        stages: the NetState's stages.
        weights: path of the trained weights; what they lack is filled, with a warning.
        inputs: netc's own: input blob -> shape, where the text does not say it.
        schema: netc's own: a caffe.proto of one's own, or several.
        read_data: netc's own: whether data layers read what the text names, as in Caffe.

    Raises:
        NetcError: with every mistake found in the text, the weights or the arguments.
    """

    _source_of_batches: Callable[[], Mapping[str, AnyArray]] | None

    def __init__(
        self,
        network_file: str | bytes | PathLike[str] | Source,
        *args: object,
        phase: int | None = None,
        level: int | None = None,
        stages: Sequence[str] | None = None,
        weights: str | bytes | PathLike[str] | None = None,
        inputs: Mapping[str, Sequence[int]] | None = None,
        schema: Schemas = None,
        read_data: bool = False,
    ) -> None:
        named = {"phase": phase, "level": level, "stages": stages, "weights": weights}
        path: str | PathLike[str] | Source = arguments.path_of(network_file)
        state = arguments.state(args, named)
        shapes = checked_shapes(inputs)
        with raising(RuntimeError, ("missing-file",)):
            reader = None
            if read_data:
                reader = _reader(path, state, schema)
                shapes = {**reader.shapes, **(shapes or {})}
            made = define(path, state.phase, state.level, state.stages, shapes, schema)
            self._open(made, state.weights, mode.current.seed)
            self._source_of_batches = None if reader is None else partial(reader.lacking, ())

    @classmethod
    def of(
        cls, made: Definition, seed: int, source: Callable[[], Mapping[str, AnyArray]] | None = None
    ) -> Net:
        """A net of a definition; ``source`` gives what its data layers read, pass by pass."""
        net = cls.__new__(cls)
        net._open(made, None, seed)
        net._source_of_batches = source
        return net

    def _open(self, made: Definition, weights: Given, seed: int) -> None:
        self._definition = made
        self._seed = seed
        self._graph = self._assigned(made.graph, weights)
        name = mode.chosen_backend()
        backend(name)  # so that a missing GPU is told here and not in the middle of a script
        rewritten = {blob for blob, value in self._graph.input_blobs.items() if value != blob}
        variables = Variables()
        self._graph = variables.bind(with_variables(self._graph))
        self._parameters = parameters(self._graph)
        for layer, python in made.python.items():
            own = python.parameters(layer).items()
            self._parameters.update({name: blob for name, (blob, _, _) in own})
        weakref.finalize(self, release, made.python)
        kept = RunState(lambda name: self._parameters[name].array, self._put)
        self._engine = Engine(name, {*self.outputs, *rewritten}, kept, variables, self._seed)
        kinds = ("before", "after", "before backward", "after backward")
        self._hooks: dict[str, list[Callable[[int], object]]] = {kind: [] for kind in kinds}
        self._gradients = {}
        self._memory: MemoryFeed | None = None
        self._source_of_batches = None
        for python in made.python.values():
            python.fill(self.blobs)
        if made.python:
            self._copy_to_python_layers(weights)

    def __repr__(self) -> str:
        ins = ", ".join(f"{name} {show(self.blobs[name].shape)}" for name in self.inputs)
        return f"<Net `{self._graph.name}`: {ins} -> {', '.join(self.outputs)}>"

    # What there is

    @property
    def learned(self) -> Graph:
        """The graph with the parameters of the script's layers, for what trains them."""
        parameters, nodes = dict(self._graph.parameters), list(self._graph.nodes)
        for layer in self._definition.layers:
            if layer.name in self._definition.python:
                own = self._definition.python[layer.name].parameters(layer.name)
                for name, (blob, rate, decay) in own.items():
                    parameters[name] = GraphParameter(
                        name, blob.array.shape, array=blob.array, variable=True,
                        lr_mult=rate, decay_mult=decay,
                    )  # fmt: skip
                node = nodes[layer.node]
                nodes[layer.node] = dataclasses.replace(node, parameters=tuple(own))
        return self._graph.replace(nodes=tuple(nodes), parameters=parameters)

    @property
    def layer_dict(self) -> OrderedDict[str, OwnLayer]:
        """Layer's name -> layer."""
        return OrderedDict(zip(self._layer_names, self.layers, strict=True))

    # Forward

    def forward(
        self,
        blobs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: AnyArray,
    ) -> dict[str, Array]:
        """Run the layers from ``start`` to ``end``, both included.

        Args:
            blobs: to give back besides the net's outputs, or besides the tops of ``end``.
            start: a layer's name; None for the first. Blobs before it are taken as they are.
            end: a layer's name; None for the last.
            **kwargs: input blob -> array; all inputs or none.

        Returns:
            Blob -> its ``data``, which the next forward overwrites.

        Raises:
            NetcError: unknown-layer, unknown-blob, input-shape, missing-input or unknown-input.
        """
        names = self._wanted(blobs, end)
        first = 0 if start is None else self._index(start)
        last = len(self.layers) - 1 if end is None else self._index(end)
        if kwargs:
            self._check_names(kwargs)
            put(kwargs, self.blobs)
        self._forward(first, last)
        return {name: self.blobs[name].data for name in names}

    def forward_all(
        self, blobs: Sequence[str] | None = None, **kwargs: AnyArray
    ) -> dict[str, Array]:
        """Run inputs of any number of items, in batches of the net's size; the last is padded.

        Args:
            blobs: to give back besides the net's outputs.
            **kwargs: input blob -> array of as many items as there are.

        Returns:
            Blob -> array of as many items.

        Raises:
            NetcError: as ``forward``.
        """
        with raising(RuntimeError) if not kwargs else nullcontext():
            self._check_names(kwargs)
        parts: dict[str, list[Array]] = {}
        for batch in batches(kwargs, self._batch_size):
            for name, array in self.forward(blobs, **batch).items():
                parts.setdefault(name, []).append(array.copy())
        number = len(next(iter(kwargs.values()))) if kwargs else 0
        scalars = [name for name, arrays in parts.items() if arrays[0].ndim == 0]
        if scalars:
            message = f"`{scalars[0]}` is one number for a whole batch, and no item has one"
            help = "ask for other blobs, or use forward"
            raise also(NetcError(Diagnostic("bad-shape", message, help=(help,))), TypeError)
        return {name: np.concatenate(arrays)[:number] for name, arrays in parts.items()}

    def reshape(self) -> None:
        """Infer the shapes of all blobs again, from those of the inputs.

        Raises:
            NetcError: input-shape or shape-mismatch, where the inputs do not fit the net.
        """
        for python in self._definition.python.values():
            python.forget()
        self._reshape()

    def _reshape(self) -> None:
        """As ``reshape``; layers of the script's are asked where their bottoms have changed."""
        shapes = {v: self.blobs[b].shape for b, v in self._graph.input_blobs.items()}
        result = infer(self._graph, shapes)
        faults = [d for d in result.diagnostics if d.severity == "error"]
        faults += changed_shapes(self._graph, result.graph)
        if faults:
            with own_errors(self._definition.python):
                raise NetcError(faults)
        self._graph = result.graph
        for name, shape in blob_shapes(self._graph).items():
            self.blobs[name].resize(shape)

    def before_forward(self, hook: Callable[[int], object]) -> None:
        """Register a function called with each layer's index before it runs (one by one then)."""
        self._hooks["before"].append(hook)

    def after_forward(self, hook: Callable[[int], object]) -> None:
        """Register a function to be called with each layer's index after it has run."""
        self._hooks["after"].append(hook)

    def set_input_arrays(self, data: AnyArray, labels: AnyArray) -> None:
        """Set the arrays that the net's MemoryData layer, its first layer, returns in batches.

        Args:
            data: float32 (items, channels, height, width), items being a multiple of the batch.
            labels: float32 (items,) or (items, 1, 1, 1).

        Raises:
            NetcError: bad-argument, a RuntimeError too.
        """
        first = self._definition.layers[0]
        if not has_role(first.type, Role.MEMORY):
            message = "set_input_arrays: the net's first layer is no MemoryData layer"
            raise also(NetcError(Diagnostic("bad-argument", message)), RuntimeError)
        self._memory = MemoryFeed(data, labels, self.blobs[first.tops[0]].shape)

    def _set_input_arrays(self, data: AnyArray, labels: AnyArray) -> None:
        self.set_input_arrays(data, labels)

    def _batch(self, blobs: Mapping[str, AnyArray]) -> Iterator[dict[str, AnyArray]]:
        """Arrays cut into batches of the net's size; the last is padded with zeros."""
        return batches(blobs, self._batch_size)

    def _forward(self, first: int, last: int) -> float:
        """Run layers by their places, both included; gives the sum of their losses."""
        if not 0 <= first < len(self.layers) or last >= len(self.layers):
            message = f"there are {len(self.layers)} layers, not {first} to {last}"
            raise also(NetcError(Diagnostic("unknown-layer", message)), IndexError)
        if first == 0:
            self._begin_pass()
        if not self._hooks["before"] and not self._hooks["after"]:
            self._forward_part(first, last)
        else:
            for layer in range(first, last + 1):
                for hook in self._hooks["before"]:
                    hook(layer)
                self._forward_part(layer, layer)
                for hook in self._hooks["after"]:
                    hook(layer)
        return self._loss(first, last)

    def _begin_pass(self) -> None:
        """Draw new random numbers, and take what data layers give."""
        self._engine.passes += 1
        if self._source_of_batches is not None:
            for name, array in self._source_of_batches().items():
                if name in self.blobs:
                    self.blobs[name].put(np.asarray(array, np.float32))
        if self._memory is not None:
            tops = self._definition.layers[0].tops
            for top, array in zip(tops, self._memory.next(), strict=False):
                self.blobs[top].put(array)
        elif has_role(self._definition.layers[0].type, Role.MEMORY):
            check_filled([self.blobs[top] for top in self._definition.layers[0].tops])

    def _loss(self, first: int, last: int) -> float:
        """The sum over tops with a weight, which stands in their ``diff`` (layer.hpp, Forward)."""
        return float(sum(
            np.dot(self.blobs[top].data.ravel(), self.blobs[top].diff.ravel())
            for layer in self._definition.layers[first : last + 1]
            for top, weight in zip(layer.tops, layer.losses, strict=False)
            if weight
        ))  # fmt: skip

    def _forward_part(self, first: int, last: int) -> None:
        """Run layers by their places, both included; those of the script's by their objects."""
        layers = self._definition.layers
        for number in range(first, last + 1):
            if layers[number].name in self._definition.python:
                if first < number:
                    self._forward_compiled(first, number - 1)
                self._forward_python(layers[number])
                first = number + 1
        if first <= last:
            self._forward_compiled(first, last)

    def _forward_python(self, layer: DefinedLayer) -> None:
        python = self._definition.python[layer.name]
        bottoms, tops = ([self.blobs[n] for n in own] for own in (layer.bottoms, layer.tops))
        self._engine.wanted.update(map(self._source, layer.bottoms))
        if python.reshape(bottoms, tops):
            self._reshape()
        python.forward(bottoms, tops)

    def _forward_compiled(self, first: int, last: int) -> None:
        layers = self._definition.layers
        end = layers[last + 1].node if last + 1 < len(layers) else len(self._graph.nodes)
        begin = layers[first].node
        made = {v for node in self._graph.nodes[begin:end] for v in node.outputs}
        self._take_over_parameters(remade={self._graph.values[v].blob for v in made})
        inputs = self._graph.input_blobs
        if any(self.blobs[b].shape != self._graph.shape(v) for b, v in inputs.items()):
            self._reshape()
        if begin < end:
            self._run(ForwardRun(self._engine, self._graph, begin, end))

    def _run(self, run: ForwardRun) -> None:
        feeds = {value: self.blobs[blob].data.copy() for value, blob in run.reads.items()}
        self._engine.wanted.update(name for name in run.makes if self.blobs[name].held)
        results = run.start(feeds)
        for blob, value in run.makes.items():
            if blob in results:
                self.blobs[blob].put(results[blob])
            else:
                self.blobs[blob].put_later(run.graph.shape(value), run.later(blob))

    def _wanted(self, blobs: Sequence[str] | None, end: str | None) -> list[str]:
        """The blobs that a forward gives back; they are computed each time from now on."""
        usual = self.outputs if end is None else self.top_names[self._layer_names[self._index(end)]]
        names = list(dict.fromkeys((*usual, *listed(blobs, "blobs"))))
        for name in names:
            if name not in self.blobs:
                help = did_you_mean(name, self.blobs)
                error = Diagnostic("unknown-blob", f"the net has no blob `{name}`", help=help)
                raise also(NetcError(error), KeyError)
        self._engine.wanted.update(map(self._source, names))
        return names

    def _index(self, layer: str) -> int:
        if layer not in self._layer_names:
            help = did_you_mean(str(layer), self._layer_names)
            error = Diagnostic("unknown-layer", f"the net has no layer `{layer}`", help=help)
            raise also(NetcError(error), ValueError)
        return self._layer_names.index(layer)

    def _check_names(self, arrays: Mapping[str, AnyArray]) -> None:
        with own_errors(self._definition.python):
            check_names(arrays, self.inputs)


def _reader(
    net: str | PathLike[str] | Source, state: arguments.NetArguments, schema: Schemas
) -> DataReader:
    """What the data layers of a net read."""
    message = read_net(net, schema=schema).message
    rules = NetState(state.phase, state.level, tuple(state.stages))
    return data_reader(message, rules, folder_of(net), mode.current.seed)
