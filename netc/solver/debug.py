"""The log lines of ``debug_info: true``: mean absolute values of blobs, parameters and gradients.

BVLC/caffe src/caffe/net.cpp: ForwardDebugInfo, BackwardDebugInfo and the totals at the end of
Backward. Layers stand in Caffe's order, with the Splits that Caffe puts where a blob has several
readers (util/insert_splits.cpp).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from netc.compiled import CompiledNet
from netc.diagnostics import Collector
from netc.ir.graph import Array, Graph, Node
from netc.layer_arrays import LayerArrays
from netc.lower.rules import filter_layers, merged_state
from netc.lower.splits import Split, splits
from netc.ops.catalog import CATALOG
from netc.schema.message import Message
from netc.solver.events import LogLine
from netc.solver.programs import TrainNet
from netc.solver.read import NetChoice
from netc.train.observe import Observation


class LoggedBlob(NamedTuple):
    """A blob's name in Caffe's log at a layer, and the graph's value that it is."""

    name: str
    value: str


@dataclass(frozen=True)
class LoggedLayer:
    """A layer as Caffe has it; a Split where ``node`` is None and it has bottoms."""

    name: str
    tops: tuple[LoggedBlob, ...]
    bottoms: tuple[LoggedBlob, ...] = ()
    node: Node | None = None
    params: tuple[str, ...] = ()


def layers_of(choice: NetChoice, graph: Graph) -> tuple[LoggedLayer, ...]:
    """The layers of a net in its NetState, in Caffe's order with Splits, and their values."""
    state = merged_state(choice.message, choice.state)
    messages = filter_layers(choice.message, state, Collector())
    nodes = {node.name: node for node in graph.nodes}
    reading = _BottomSplits({(split.layer, split.top): split for split in splits(messages)})
    found: list[LoggedLayer] = []
    for layer in messages:
        node = nodes.get(layer.get("name"))
        tops = [
            LoggedBlob(blob, node.outputs[i] if node else graph.input_blobs.get(blob, blob))
            for i, blob in enumerate(layer.get("top"))
        ]
        bottoms = tuple(map(reading.bottom, layer.get("bottom")))
        names = tuple(_shown(layer, i) for i in range(len(node.parameters) if node else 0))
        found.append(LoggedLayer(layer.get("name"), tuple(tops), bottoms, node, names))
        found += reading.made(layer.get("name"), tops)
    return tuple(found)


def _shown(layer: Message, index: int) -> str:
    """How Caffe calls a parameter: by its name, where it has one, else by its number."""
    specs = layer.get("param")
    return (specs[index].get("name") if index < len(specs) else "") or str(index)


@dataclass
class _BottomSplits:
    """Which Split each reader of a blob gets its bottom from."""

    known: Mapping[tuple[str, int], Split]  # by the layer whose blob it copies, and which top
    latest: dict[str, LoggedBlob] = field(default_factory=dict)
    splits: dict[str, Split] = field(default_factory=dict)
    given: Counter[str] = field(default_factory=Counter)

    def bottom(self, blob: str) -> LoggedBlob:
        value = self.latest[blob].value if blob in self.latest else blob
        split = self.splits.get(blob)
        if split is None:
            return LoggedBlob(blob, value)
        number = split.first_reader + self.given[split.name]
        self.given[split.name] += 1
        return LoggedBlob(f"{split.name}_{number}", value)

    def made(self, layer: str, tops: Sequence[LoggedBlob]) -> Iterator[LoggedLayer]:
        for index, top in enumerate(tops):
            self.latest[top.name] = top
            self.splits.pop(top.name, None)
            split = self.known.get((layer, index))
            if split is not None:
                self.splits[top.name] = split
                copies = tuple(
                    LoggedBlob(f"{split.name}_{i}", top.value) for i in range(split.copies)
                )
                yield LoggedLayer(split.name, copies, (top,))


def forward_lines(
    layers: Sequence[LoggedLayer], values: Mapping[str, Array], params: LayerArrays
) -> Iterator[LogLine]:
    """A log line for each top and each parameter (ForwardDebugInfo)."""
    for layer in layers:
        for blob in layer.tops:
            if blob.value in values:
                mean = _mean(values[blob.value])
                text = f"Layer {layer.name}, top blob {blob.name} data: {mean:g}"
                yield LogLine("I", "net.cpp:593", f"    [Forward] {text}")
        for name, array in zip(layer.params, params.get(layer.name, ()), strict=False):
            text = f"Layer {layer.name}, param blob {name} data: {_mean(array):g}"
            yield LogLine("I", "net.cpp:605", f"    [Forward] {text}")


@dataclass
class Backward:
    """The log lines of backward passes (BackwardDebugInfo).

    Parameters' gradients are summed over the passes of an iteration, as in Caffe.
    """

    layers: Sequence[LoggedLayer]
    graph: Graph
    sums: dict[str, Array] = field(default_factory=dict)

    def lines(self, seen: Observation, params: Mapping[str, Array]) -> Iterator[LogLine]:
        """The lines of one pass.

        Args:
            seen: the values and gradients of the pass.
            params: parameter's owner -> array, before the update.
        """
        for layer in reversed(self.layers):
            for name, array in self._bottoms(layer, seen):
                text = f"Layer {layer.name}, bottom blob {name} diff: {_mean(array):g}"
                yield LogLine("I", "net.cpp:621", f"    [Backward] {text}")
            for index, array in self._params(layer, seen):
                text = f"Layer {layer.name}, param blob {index} diff: {_mean(array):g}"
                yield LogLine("I", "net.cpp:632", f"    [Backward] {text}")
        yield self._totals(params)

    def _bottoms(self, layer: LoggedLayer, seen: Observation) -> Iterator[tuple[str, Array]]:
        for index, blob in enumerate(layer.bottoms):
            if layer.node is None:
                found = seen.totals.get(blob.value)
            else:
                found = seen.passed.get((layer.name, index))
            if found is not None:
                yield blob.name, found

    def _params(self, layer: LoggedLayer, seen: Observation) -> Iterator[tuple[int, Array]]:
        for index, name in enumerate(layer.node.parameters if layer.node else ()):
            owner = self.graph.parameters[name].owner or name
            made = seen.learned.get((layer.name, index))
            if made is not None:
                before = self.sums.get(owner)
                self.sums[owner] = made.reshape(-1) if before is None else before + made.reshape(-1)
                yield index, self.sums[owner]
            elif layer.node is not None and self._has_statistic(layer.node, index, seen):
                yield index, np.zeros(1, np.float32)

    def _has_statistic(self, node: Node, index: int, seen: Observation) -> bool:
        """Whether Caffe tells of a gradient that it never computes: of a running average."""
        specs = node.param_specs
        held = index < len(specs) and specs[index].lr_mult == 0
        passes = any(layer == node.name for layer, _ in seen.passed)
        return passes and not held and index in CATALOG[node.op].moving(node.params)

    def _totals(self, params: Mapping[str, Array]) -> LogLine:
        """Of all parameters, and of their gradients; an error by its severity in Caffe."""
        data, diff = list(params.values()), list(self.sums.values())
        ones = [sum(float(np.abs(a).sum(dtype=np.float64)) for a in of) for of in (data, diff)]
        twos = [
            sum(float(np.square(a, dtype=np.float64).sum()) for a in of) ** 0.5
            for of in (data, diff)
        ]
        text = (
            f"All net params (data, diff): L1 norm = ({ones[0]:g}, {ones[1]:g}); "
            f"L2 norm = ({twos[0]:g}, {twos[1]:g})"
        )
        return LogLine("E", "net.cpp:721", f"    [Backward] {text}")


def _mean(array: Array) -> float:
    return float(np.abs(array).sum(dtype=np.float64) / max(1, array.size))


class Debugging:
    """The log lines of a TRAIN net's passes. Each pass is run once more for them, without effects.

    Args:
        choice: the net.
        train: its programs.
    """

    def __init__(self, choice: NetChoice, train: TrainNet) -> None:
        self._train = train
        self._layers = layers_of(choice, train.graph)
        self._backward = Backward(self._layers, train.graph)

    def passed(self, feeds: Mapping[str, Any], drawn: int, number: int) -> tuple[LogLine, ...]:
        """The lines of pass ``number`` of an iteration, before its update.

        ``drawn`` is the pass's number among all, which random layers depend on.
        """
        if number == 0:
            self._backward.sums.clear()
        seen, train = self._train.observe(feeds, drawn), self._train
        params = {name: train.variables.variable(name).array for name in train.graphs.learnable}
        forward = forward_lines(self._layers, seen.values, train.params)
        return (*forward, *self._backward.lines(seen, params))

    def forward(self, feeds: Mapping[str, Any], drawn: int) -> tuple[LogLine, ...]:
        """The lines of a forward pass only."""
        seen = self._train.observe(feeds, drawn)
        return tuple(forward_lines(self._layers, seen.values, self._train.params))


def tested_lines(
    layers: Sequence[LoggedLayer],
    net: CompiledNet,
    feeds: Mapping[str, Any],
    made: Mapping[str, Array],
) -> tuple[LogLine, ...]:
    """The lines of a TEST net's pass, from its inputs ``feeds`` and all its blobs ``made``."""
    params = LayerArrays(net.graph, net.variables)
    fed = {v: np.asarray(feeds[b]) for b, v in net.graph.input_blobs.items() if b in feeds}
    return tuple(forward_lines(layers, {**made, **fed}, params))
