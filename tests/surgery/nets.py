"""Texts as nets with weights, for the tests of surgery."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from netc.backends.reference import run
from netc.diagnostics import NetcWarning, Source
from netc.driver import load
from netc.frontend import build, read_net, runnable
from netc.ir.graph import Array, Graph
from netc.schema.message import Message
from netc.weights.load import as_weights
from netc.weights.model import Weights
from netc.weights.seeded import seeded_weights

INPUT = 'layer {{ name: "in" type: "Input" top: "data" input_param {{ shape {{ {} }} }} }}\n'


def net_of(text: str) -> Message:
    """The NetParameter of a text, in the current format."""
    return read_net(Source("net.prototxt", text)).message


def with_input(text: str, *shape: int) -> Message:
    """A net whose input `data` has a shape."""
    return net_of(INPUT.format(" ".join(f"dim: {size}" for size in shape)) + text)


def weights_of(net: Message, seed: int = 0) -> Weights:
    """Seeded weights that fit a net in phase TEST, each layer's types told."""
    return as_weights(seeded_weights(runnable(build(net)), seed))


def graph_of(net: Message, weights: object) -> Graph:
    """The net's graph with its weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NetcWarning)
        state = {"phase": "TEST", "level": 0, "stages": ()}
        return load(net, state, {}, (), weights, "error", 0).graph  # type: ignore[arg-type]


def answers(net: Message, weights: object, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """What the reference executor gives for every output."""
    graph = graph_of(net, weights)
    return run(graph, {name: feeds[graph.values[name].blob] for name in graph.inputs})


def noise(*shape: int, seed: int = 1) -> Array:
    """Normal random numbers."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def layer_types(net: Message) -> list[str]:
    """The types of a net's layers, in order."""
    return [layer.get("type") for layer in net.get("layer")]
