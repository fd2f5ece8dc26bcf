"""Assigning arrays to a graph's parameters by layer name (Net::CopyTrainedLayersFrom, net.cpp)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from netc.diagnostics import Collector, Diagnostic, NetcError, Note, counted, did_you_mean
from netc.ir.edit import live_nodes
from netc.ir.graph import Array, Graph, Node, Parameter
from netc.ir.types import Shape, count, show
from netc.memory import check_memory
from netc.ops.batch_norm import BatchNormParams
from netc.ops.catalog import has_role
from netc.ops.filler import CONSTANT_ZERO, fill, generator
from netc.ops.role import Role
from netc.weights.layouts import arranged_statistics, vectors_equal
from netc.weights.load import as_weights, load_weights
from netc.weights.model import LayerWeights, Weights

_LISTED = 10  # layers named in one message

Given = str | os.PathLike[str] | Mapping[str, Sequence[Any]] | None


def assign(
    graph: Graph, weights: Given, *, missing: str = "error", seed: int = 0
) -> tuple[Graph, tuple[Diagnostic, ...]]:
    """The graph with float32 arrays for all parameters, and the notes and warnings about them.

    A layer of the file that the net lacks is ignored, with a note. Where several layers share a
    parameter and the file has an array for each, the last one is used, as in Caffe.

    Args:
        graph: with inferred shapes.
        weights: a path, a mapping of layer name -> arrays, or None to run the fillers of all.
        missing: for parameters that the weights lack: "error", or "fill" to run their fillers.
        seed: of the fillers' random numbers.

    Raises:
        NetcError: weight-count, weight-shape and missing-weights, all places together; what
            ``load_weights`` raises; bad-argument.
    """
    if missing not in ("error", "fill"):
        message = f'`missing` is "error" or "fill", not {missing!r}'
        raise NetcError(Diagnostic("bad-argument", message))
    if weights is None:
        return fill_missing(graph, seed), ()
    given = (
        load_weights(weights) if isinstance(weights, (str, os.PathLike)) else as_weights(weights)
    )
    match = _Match(graph, given)
    match.run(missing == "fill")
    return fill_missing(match.result(), seed), tuple(match.found.diagnostics)


def fill_missing(graph: Graph, seed: int = 0) -> Graph:
    """The graph with every parameter that has no array initialised by its filler (filler.hpp).

    The numbers depend on ``seed`` and the parameter's name only, not on the other layers.

    Raises:
        NetcError: bad-filler, at the layer, when a filler cannot fill its parameter's shape;
            too-little-memory.
    """
    lacking = {
        name: parameter
        for name, parameter in graph.parameters.items()
        if parameter.array is None and parameter.owner is None
    }
    _check_size(list(lacking.values()))
    found = Collector()
    filled = {}
    for name, parameter in lacking.items():
        with found.catching():
            filled[name] = replace(parameter, array=_filled(parameter, seed))
    found.check()
    return graph.replace(parameters={**graph.parameters, **filled}) if filled else graph


def _check_size(parameters: Sequence[Parameter]) -> None:
    """Refuse to fill more than there is memory for.

    Raises:
        NetcError: too-little-memory, at the layer with the largest of them.
    """
    if not parameters:
        return
    largest = max(parameters, key=_bytes)
    what = f"parameters without weights, the largest `{largest.name}` of {show(_shape(largest))},"
    check_memory(sum(map(_bytes, parameters)), what, largest.span)


def _bytes(parameter: Parameter) -> int:
    return 4 * count(_shape(parameter))


def _filled(parameter: Parameter, seed: int) -> Array:
    rng = generator(parameter.name, seed)
    try:
        array = fill(parameter.filler or CONSTANT_ZERO, _shape(parameter), rng)
    except NetcError as error:
        raise NetcError(_at(parameter, d) for d in error.diagnostics) from None
    array.flags.writeable = False
    return array


def _at(parameter: Parameter, found: Diagnostic) -> Diagnostic:
    layer, _, index = parameter.name.rpartition("/")
    message = f"layer `{layer}`: parameter {index}: {found.message}"
    return replace(found, message=message, span=found.span or parameter.span)


def _shape(parameter: Parameter) -> Shape:
    if parameter.shape is None:
        raise ValueError(f"the shape of parameter `{parameter.name}` has not been inferred")
    return parameter.shape


@dataclass(slots=True)
class _Match:
    """The arrays found so far, by parameter name."""

    graph: Graph
    weights: Weights
    arrays: dict[str, Array] = field(default_factory=dict)
    faulty: set[str] = field(default_factory=set)
    found: Collector = field(default_factory=Collector)
    met: bool = False  # whether any layer with arrays is in the net

    def result(self) -> Graph:
        """The graph with what was found."""
        parameters = {
            name: replace(parameter, array=self.arrays[name]) if name in self.arrays else parameter
            for name, parameter in self.graph.parameters.items()
        }
        return self.graph.replace(parameters=parameters)

    def run(self, fill: bool) -> None:
        """Match every layer of the file.

        Raises:
            NetcError: with all mistakes.
        """
        self.found.extend(self.weights.diagnostics)
        nodes: dict[str, Node] = {}
        for node in self.graph.nodes:
            nodes.setdefault(node.name, node)
        unused = []
        for layer in self.weights.layers.values():
            known = nodes.get(layer.name)
            if known is not None:
                self.met |= bool(layer.arrays)
                self._layer(known, layer)
            elif layer.arrays:
                unused.append(layer.name)
        lacking = self._lacking()
        if lacking:
            self.found.add(_missing(lacking, unused, self.weights, fill, self.met))
        if unused:
            self.found.add(_unused(unused, self.weights))
        self.found.check()

    def _layer(self, node: Node, layer: LayerWeights) -> None:
        if isinstance(node.params, BatchNormParams):
            layer = arranged_statistics(len(node.parameters), layer)
        fault = _count_fault(node, layer, self.weights)
        if fault:
            self.found.add(fault)
            self.faulty.update(node.parameters)
            return
        for index, array, legacy in zip(layer.indices, layer.arrays, layer.legacy, strict=True):
            parameter = self.graph.parameters[node.parameters[index]]
            if _fits(node.op, _shape(parameter), array.shape, legacy):
                self._store(node, parameter, array)
            else:
                self.found.add(_shape_fault(node, index, parameter, array, self.weights))
                self.faulty.add(parameter.name)

    def _store(self, node: Node, parameter: Parameter, array: Array) -> None:
        owner = self.graph.parameters[parameter.owner or parameter.name]
        array = array.reshape(_shape(owner))
        before = self.arrays.get(owner.name)
        if before is not None and not np.array_equal(before, array, equal_nan=True):
            self.found.add(_differing(node, owner))
        self.arrays[owner.name] = array

    def _lacking(self) -> list[tuple[Node, list[Parameter]]]:
        """The layers, in order, with those of their parameters that nothing was found for.

        Layers that no output depends on are passed over.
        """
        lacking, reported = [], set(self.faulty)
        for node in live_nodes(self.graph) if self.graph.outputs else self.graph.nodes:
            parameters = []
            for name in node.parameters:
                owner = self.graph.parameters[name].owner or name
                known = self.graph.parameters[owner].array is not None or owner in self.arrays
                if not known and owner not in reported and name not in reported:
                    reported.add(owner)
                    parameters.append(self.graph.parameters[owner])
            if parameters:
                lacking.append((node, parameters))
        return lacking


def _fits(op: str, shape: Shape, stored: Shape, legacy: bool) -> bool:
    """Whether a stored blob fits a layer's parameter, in this form or in one that forks have."""
    if shapes_equal(shape, stored, legacy):
        return True
    return has_role(op, Role.CHANNEL_VECTORS) and vectors_equal(shape, stored)


def shapes_equal(shape: Shape, stored: Shape, legacy: bool) -> bool:
    """Whether a stored shape equals a parameter's shape (Blob::ShapeEquals, blob.cpp).

    A legacy blob has four axes; a parameter of fewer is compared with leading axes of 1 added.
    """
    if not legacy:
        return shape == stored
    return len(shape) <= 4 and (1,) * (4 - len(shape)) + shape == stored


def _count_fault(node: Node, layer: LayerWeights, weights: Weights) -> Diagnostic | None:
    wanted, stored = len(node.parameters), len(layer.arrays)
    if weights.format in ("hdf5", "npz"):  # shared parameters may be absent there
        fits = all(index < wanted for index in layer.indices)
    else:
        fits = stored == wanted
    if fits:
        return None
    return Diagnostic(
        "weight-count",
        f"layer `{node.name}` ({node.op}) has {counted(wanted, 'parameter')} in the net and "
        f"{counted(stored, 'blob')} in {_file(weights)}",
        node.span,
        notes=_type_note(node, layer),
        help=(_count_help(node, wanted, stored),),
    )


def _count_help(node: Node, wanted: int, stored: int) -> str:
    if isinstance(node.params, BatchNormParams) and wanted == 3 and stored in (4, 5):
        return (
            "the file's has a scale and a shift too, as NVIDIA's Caffe keeps them: write "
            "`scale_bias: true` in `batch_norm_param`"
        )
    return "is `bias_term` as it was in training?"


def _shape_fault(
    node: Node, index: int, parameter: Parameter, array: Array, weights: Weights
) -> Diagnostic:
    shape = _shape(parameter)
    return Diagnostic(
        "weight-shape",
        f"layer `{node.name}` ({node.op}): blob {index} is {show(array.shape)} in "
        f"{_file(weights)} and {show(shape)} in the net",
        node.span,
        notes=_type_note(node, weights.layers[node.name]),
        help=(_shape_help(node.op, shape, array.shape),),
    )


def _shape_help(op: str, shape: Shape, stored: Shape) -> str:
    if len(shape) == 2 and stored == shape[::-1]:
        return "the array is transposed; `transpose` of inner_product_param says how it is stored"
    if _trimmed(shape) == _trimmed(stored):
        return f"they differ by leading ones alone; reshape the array to {show(shape)}"
    if (
        has_role(op, Role.INNER_PRODUCT)
        and len(shape) == len(stored) == 2
        and shape[0] == stored[0]
    ):
        return (
            f"it was trained on {stored[1]:,} values an item, and gets {shape[1]:,} here: is the "
            "net's input as large as in training?"
        )
    return (
        "to leave the layer untrained, as for other classes than it was trained on, rename it and "
        "have it filled (`--fill-missing`)"
    )


def _trimmed(shape: Shape) -> Shape:
    return _trimmed(shape[1:]) if shape[:1] == (1,) else shape


def _type_note(node: Node, layer: LayerWeights) -> tuple[Note, ...]:
    if not layer.type or layer.type == node.op:
        return ()
    return (Note(f"in the weights the layer's type is `{layer.type}`"),)


def _differing(node: Node, owner: Parameter) -> Diagnostic:
    return Diagnostic(
        "shared-weights-differ",
        f"layer `{node.name}` shares parameter `{owner.name}`, and the weights hold other values "
        "for it than for a layer before; the last are taken",
        node.span,
        "warning",
    )


def _missing(
    lacking: Sequence[tuple[Node, list[Parameter]]],
    unused: Sequence[str],
    weights: Weights,
    fill: bool,
    met: bool,
) -> Diagnostic:
    names = _list([node.name for node, _ in lacking])
    layers = counted(len(lacking), "layer")
    message = f"{_file(weights)} lack the parameters of {layers}: {names}"
    notes = tuple(_needs(node, parameters) for node, parameters in lacking[:_LISTED])
    span = lacking[0][0].span
    if fill:
        message += "; they are filled as their fillers say"
        return Diagnostic("filled-weights", message, span, "warning", notes)
    help = [f"layer `{n.name}`: {h}" for n, _ in lacking[:3] for h in did_you_mean(n.name, unused)]
    if not met and unused:
        help = [f"no layer is in both; the weights are for {_list(unused)}: another net's?"]
    help.append('missing="fill" or `--fill-missing` fills them as their fillers say')
    return Diagnostic("missing-weights", message, span, notes=notes, help=tuple(help))


def _needs(node: Node, parameters: Sequence[Parameter]) -> Note:
    shapes = ", ".join(f"blob {p.name.rpartition('/')[2]} of {show(_shape(p))}" for p in parameters)
    return Note(f"layer `{node.name}` ({node.op}) needs {shapes}", node.span)


def _unused(names: Sequence[str], weights: Weights) -> Diagnostic:
    layers = counted(len(names), "layer")
    return Diagnostic(
        "unused-weights",
        f"{_file(weights)} have {layers} that the net has not, ignored: {_list(names)}",
        severity="note",
    )


def _file(weights: Weights) -> str:
    return f"the weights `{weights.path}`" if weights.path else "the weights"


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:_LISTED])
    rest = len(names) - _LISTED
    return f"{shown} and {rest} more" if rest > 0 else shown
