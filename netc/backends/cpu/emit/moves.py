"""Layers that only move data: what is not already in its place is copied."""

from __future__ import annotations

from collections.abc import Sequence

from netc.backends.cpu.emit.emission import Emission, Steps
from netc.backends.cpu.program import Context, PythonStep
from netc.backends.cpu.rules import joins, parts
from netc.backends.cpu.views import View
from netc.ir.graph import Node


def emit_concat(emission: Emission, node: Node) -> Steps | None:
    """Copies of the parts that were not produced in their place."""
    starts = joins(emission.graph, node)
    if starts is None:
        return None
    whole = emission.view(node.outputs[0])
    sources = [emission.view(v) for v in node.inputs]
    targets = [whole.channels(at, at + x.c) for at, x in zip(starts, sources, strict=True)]
    return copies(node.name, sources, targets)


def emit_slice(emission: Emission, node: Node) -> Steps | None:
    """Copies of the parts that do not lie inside the input."""
    starts = parts(emission.graph, node)
    if starts is None:
        return None
    whole = emission.view(node.inputs[0])
    targets = [emission.view(v) for v in node.outputs]
    sources = [whole.channels(at, at + y.c) for at, y in zip(starts, targets, strict=True)]
    return copies(node.name, sources, targets)


def emit_nothing(emission: Emission, node: Node) -> Steps | None:
    """No step where the output is a view of the input."""
    if emission.view(node.inputs[0]).place != emission.view(node.outputs[0]).place:
        return None
    return []


def copies(name: str, sources: Sequence[View], targets: Sequence[View]) -> Steps:
    """A copy for each pair of views that differ."""
    return [
        _copy(name, source, target)
        for source, target in zip(sources, targets, strict=True)
        if source != target
    ]


def _copy(name: str, source: View, target: View) -> PythonStep:
    def run(context: Context) -> None:
        context.array(target)[...] = context.array(source)

    return PythonStep(name, run)
