"""Loads a net with its weights, whole or up to some blobs, for commands that write nets."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from netc.cli.arguments import chosen_state, reading
from netc.cli.run import no_weights
from netc.diagnostics import Diagnostic
from netc.frontend import Text, build, only_outputs, read_net, runnable
from netc.ir.graph import Graph
from netc.ir.types import Shape
from netc.lower.before import layers_before
from netc.schema.message import Message
from netc.weights.match import assign
from netc.weights.zeros import zero_weights

Shapes = Callable[[Message], Mapping[str, Shape]]


def graph_until(
    text: Text, args: argparse.Namespace, weights: str | None, shapes: Shapes
) -> tuple[Graph, tuple[Diagnostic, ...]]:
    """The graph with its weights, and what there is to say about it.

    Args:
        text: the net.
        args: with ``until`` (blobs to end at), ``fill_missing``, the state and how texts are read.
        weights: a file's path.
        shapes: the message -> input blob -> shape.
    """
    message = read_net(text, **reading(args)).message
    if args.until:
        message = layers_before(message, args.until)
    built = build(message, **chosen_state(args), inputs=shapes(message))
    graph = only_outputs(runnable(built), args.until)
    missing = "fill" if args.fill_missing else "error"
    loaded, found = assign(graph, weights, missing=missing)
    reported = [d for d in found if not (args.until and d.code == "unused-weights")]
    zeros = () if weights else zero_weights(loaded)
    return loaded, (*built.diagnostics, *reported, *no_weights(loaded, weights), *zeros)
