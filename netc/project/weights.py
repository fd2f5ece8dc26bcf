"""Matches weights files to nets: by layer names first, then by all shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from netc.diagnostics import NetcError, counted
from netc.frontend import build, runnable
from netc.ir.graph import Graph
from netc.ir.types import Shape
from netc.project.found import ProjectFile
from netc.project.texts import ProjectNet, failure, needs_size
from netc.schema.message import Message
from netc.surgery.build import with_input_shapes
from netc.surgery.deploy_file import deploy_file
from netc.surgery.heads import learns
from netc.weights.match import assign
from netc.weights.model import Weights

_SHARED = 0.5  # of a net's layers with arrays that the weights must name, to be tried at all


@dataclass(frozen=True, slots=True)
class Fit:
    """A net for inference that fits a weights file.

    Attributes:
        item: the text's file.
        message: the net for inference.
        derived: whether it was derived from a training net.
        graph: the net's graph with the weights.
    """

    item: ProjectFile
    message: Message
    derived: bool
    graph: Graph


def fits(
    item: ProjectFile, weights: Weights, nets: Sequence[ProjectNet], sizes: Mapping[str, Shape]
) -> Iterator[Fit]:
    """The nets that fit some weights: deploy nets first, and among them those in nearer folders.

    A net with mostly the same layer names that does not fit is reported in the weights' item.
    """
    names = set(weights)
    for net in sorted(nets, key=lambda net: _order(item, net)):
        wanted = {x.get("name") for x in net.message.get("layer") if learns(x)}
        if not wanted or len(wanted & names) < _SHARED * len(wanted):
            continue
        try:
            yield _fit(net, weights, sizes)
        except NetcError as error:
            if needs_size(error):
                item.told.append(f"has the names of {net.item.name}, whose input size is unknown")
            else:
                item.told.append(f"does not fit {net.item.name}: {failure(error)[0]}")


def _order(item: ProjectFile, net: ProjectNet) -> tuple[bool, bool, int, str]:
    here, there = item.name.split("/")[:-1], net.item.name.split("/")[:-1]
    shared = 0
    for one, other in zip(here, there, strict=False):
        if one != other:
            break
        shared += 1
    return net.trains, not net.runs, len(here) + len(there) - 2 * shared, net.item.name


def _fit(net: ProjectNet, weights: Weights, sizes: Mapping[str, Shape]) -> Fit:
    """The net for inference with the weights.

    Raises:
        NetcError: they do not fit, or the net cannot run.
    """
    if net.trains:
        given = sizes_for(net.message, sizes)
        made, _ = deploy_file(net.item.path, net.message, weights=weights, inputs=given)
        graph, _ = assign(runnable(made.built), weights)
        return Fit(net.item, made.message, True, graph)
    given = {} if net.runs else sizes_for(net.message, sizes)
    message = with_input_shapes(net.message, given)
    graph, _ = assign(runnable(build(message, inputs=given)), weights)
    return Fit(net.item, message, False, graph)


def sizes_for(net: Message, sizes: Mapping[str, Shape]) -> dict[str, Shape]:
    """The given shapes of the inputs that a net has."""
    tops = {top for layer in net.get("layer") for top in layer.get("top")}
    return {blob: shape for blob, shape in sizes.items() if blob in tops}


def note_weights(item: ProjectFile, weights: Weights) -> None:
    """Add a description of some weights to their item."""
    generation = f", {weights.generation}" if weights.generation else ""
    layers = counted(len(weights), "layer")
    item.told.append(f"{layers} with arrays, {weights.nbytes:,} bytes{generation}")
    for diagnostic in weights.diagnostics:
        if diagnostic.severity != "note":
            item.left.append(diagnostic.message)
