"""A solver's nets as graphs with arrays; a TEST net shares the TRAIN net's parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from netc.diagnostics import Collector, Diagnostic, NetcError, Note
from netc.driver import Weights
from netc.frontend import build, runnable
from netc.ir.graph import Array, Graph, Node
from netc.ir.types import Shape, show
from netc.ir.verify import verify
from netc.lower.files import with_files, with_filler_files
from netc.lower.losses import totals
from netc.lower.rules import filter_layers, merged_state
from netc.lower.splits import split_names, splits
from netc.ops.catalog import CATALOG, has_role
from netc.ops.role import Role
from netc.schema.message import Message
from netc.solver.feeds import Feeds, Source
from netc.solver.memory_data import MemoryArrays, memory_layers, not_given
from netc.solver.read import NetChoice
from netc.sources.catalog import open_sources
from netc.sources.share import WHOLE, RankShare
from netc.weights.match import assign


def net_feeds(
    choice: NetChoice,
    given: Source,
    seed: int,
    name: str,
    *,
    skip_broken: bool = False,
    share: RankShare = WHOLE,
    divide: bool = False,
    needs_arrays: bool = True,
) -> Feeds:
    """The batches of a net, or a rank's share: those given, else those its data layers read.

    Of arrays that are given for a MemoryData layer each pass takes a batch; with ``needs_arrays``
    it is a mistake to give none.

    Raises:
        NetcError: file-not-found, bad-record and others, at a data layer; bad-feeds, at a
            MemoryData layer.
    """
    in_memory = memory_layers(choice.message, choice.state)
    if in_memory and isinstance(given, Mapping):
        given = MemoryArrays(in_memory, given, name)
    if given is None and in_memory and needs_arrays:
        raise not_given(in_memory[0], name)
    if given is None:
        where = (choice.message, choice.state, choice.folder)
        sources = open_sources(*where, seed, skip_broken=skip_broken, share=share, steady=True)
        return Feeds(sources, name)
    return Feeds(given, name, share, divide=divide)


class Shown(NamedTuple):
    """The outputs of a net as Caffe has them, in alphabetical order.

    A blob with a written `loss_weight` that layers read as well is one: the first copy of its Split
    (insert_splits.cpp), by that copy's name.

    Args:
        values: name -> the graph's value.
        weights: name -> its weight in the loss, where it has one.
        totals: the graph's value -> how often it counts in the sum that is displayed.
    """

    values: Mapping[str, str]
    weights: Mapping[str, float]
    totals: Mapping[str, float]

    def of(self, made: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs among what a pass made, which has the losses besides."""
        return {name: made[value] for name, value in self.values.items()}


class OpenedNet(NamedTuple):
    """A net's graph with arrays, and the warnings and notes about it."""

    graph: Graph
    shown: Shown
    diagnostics: tuple[Diagnostic, ...]


def open_net(
    choice: NetChoice, first: Mapping[str, Any], weights: Sequence[Weights], seed: int
) -> OpenedNet:
    """The graph of a net with arrays.

    Args:
        choice: which net, in which NetState.
        first: the first batch, blob -> array, which determines the shapes of the inputs.
        weights: files or mappings; later ones override earlier ones layer by layer, and layers
            that none has are filled.
        seed: of the fillers.

    Raises:
        NetcError: with every mistake in the net or the weights.
    """
    state = choice.state._asdict()
    known = build(choice.message, **state).graph.input_blobs
    shapes: dict[str, Shape] = {
        name: tuple(array.shape) for name, array in first.items() if name in known
    }
    built = build(choice.message, inputs=shapes, **state)
    graph, diagnostics = runnable(built), list(built.diagnostics)
    graph = with_filler_files(graph, choice.folder, outside=True)
    for given in weights or (None,):
        graph, found = assign(graph, given, missing="fill", seed=seed)
        diagnostics += found
    verify(graph, "loaded", CATALOG)
    _check_losses(graph)
    graph = with_files(graph, choice.folder, outside=True)  # as data layers read theirs
    return OpenedNet(graph, _shown(graph, built.layers), tuple(diagnostics))


def _shown(graph: Graph, layers: Sequence[Message]) -> Shown:
    nodes = {node.name: node for node in graph.nodes}
    values = {name: name for name in graph.outputs}
    for split in splits(layers):
        if split.loss and split.layer in nodes:
            values[f"{split.name}_0"] = nodes[split.layer].outputs[split.top]
    values = dict(sorted(values.items()))
    losses = graph.losses
    weights = {name: losses[v] for name, v in values.items() if v in losses}
    summed = {
        nodes[layer].outputs[top]: weight
        for (layer, top), weight in totals(layers).items()
        if layer in nodes and top < len(nodes[layer].outputs)
    }
    return Shown(values, weights, summed)


def _check_losses(graph: Graph) -> None:
    """Refuse a SoftmaxWithLoss of two tops: Caffe adds one loss_weight to it, and then wants two.

    Two that are written are refused by the Softmax inside (layer.hpp:392).
    """
    for node in graph.nodes:
        if _is_softmax_loss(node) and len(node.outputs) > 1:
            message = f"layer `{node.name}` ({node.op}) has 2 tops, and trains with 1 alone"
            help = ("add a Softmax layer for the probabilities",)
            raise NetcError(Diagnostic("top-count", message, node.span, help=help))


def _is_softmax_loss(node: Node) -> bool:
    return has_role(node.op, Role.SOFTMAX) and CATALOG[node.op].loss


def share_parameters(test: Graph, train: Graph) -> Graph:
    """The TEST net reading the parameters of the TRAIN net's layers with the same names.

    Net::ShareTrainedLayersWith (net.cpp:672-695).

    Raises:
        NetcError: weight-count, weight-shape, where a layer's arrays differ between the nets.
    """
    own = {node.name: node for node in test.nodes}
    renamed: dict[str, str] = {}
    for node in train.nodes:
        if node.parameters and node.name in own:
            renamed.update(_pairs(own[node.name], node, test, train))
    kept = {name: p for name, p in test.parameters.items() if name not in renamed}
    taken = {name: train.parameters[name] for name in renamed.values()}
    owners = {p.owner: train.parameters[p.owner] for p in taken.values() if p.owner}
    nodes = tuple(
        replace(node, parameters=tuple(renamed.get(name, name) for name in node.parameters))
        for node in test.nodes
    )
    return test.replace(nodes=nodes, parameters={**kept, **taken, **owners})


def ignored_layers(train: NetChoice, test: NetChoice) -> tuple[str, ...]:
    """The TRAIN net's layers, including Caffe's Splits, whose names the TEST net does not have."""
    mine, theirs = _layer_names(test), _layer_names(train)
    return tuple(name for name in theirs if name not in mine)


def _layer_names(choice: NetChoice) -> tuple[str, ...]:
    """All layers of a net by Caffe's names, each Split behind the layer whose blob it copies."""
    state = merged_state(choice.message, choice.state)
    layers = filter_layers(choice.message, state, Collector())
    names: list[str] = []
    splits = list(split_names(layers))
    for layer in layers:
        name = layer.get("name")
        names.append(name)
        for index, top in enumerate(layer.get("top")):
            split = f"{top}_{name}_{index}_split"
            if split in splits:
                names.append(split)
    return tuple(names)


def _pairs(mine: Node, theirs: Node, test: Graph, train: Graph) -> dict[str, str]:
    if len(mine.parameters) != len(theirs.parameters):
        raise _misfit(
            mine,
            theirs,
            "weight-count",
            f"has {len(mine.parameters)} parameters in the test net and "
            f"{len(theirs.parameters)} in the train net",
        )
    pairs = dict(zip(mine.parameters, theirs.parameters, strict=True))
    for index, (own, other) in enumerate(pairs.items()):
        shape, wanted = test.parameters[own].shape, train.parameters[other].shape
        if shape != wanted:
            raise _misfit(
                mine,
                theirs,
                "weight-shape",
                f"has parameter {index} of {show(shape)} in the test net and {show(wanted)} in "
                "the train net",
            )
    return pairs


def _misfit(mine: Node, theirs: Node, code: str, message: str) -> NetcError:
    note = Note("the train net's layer", theirs.span)
    message = f"layer `{mine.name}` {message}"
    return NetcError(Diagnostic(code, message, mine.span, notes=(note,)))
