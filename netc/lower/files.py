"""The files that layers name, found and read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Graph, Node
from netc.ops.catalog import CATALOG
from netc.ops.define import ShapeError
from netc.paths import named_file
from netc.weights.mean import load_blob


def with_files(graph: Graph, folder: Path | None, *, outside: bool) -> Graph:
    """The graph with the arrays of the files that its layers name.

    Args:
        graph: with inferred shapes.
        folder: of the net's text; None where it is from no file.
        outside: whether files may lie anywhere.

    Raises:
        NetcError: outside-file, missing-file, what ``load_blob`` raises, and what a layer says of
            an array that does not fit it.
    """
    return graph.replace(nodes=tuple(_with_file(graph, n, folder, outside) for n in graph.nodes))


def _with_file(graph: Graph, node: Node, folder: Path | None, outside: bool) -> Node:
    rule = CATALOG[node.op].blob_file
    name = rule.named(node.params) if rule is not None else None
    if rule is None or name is None:
        return node
    path = str(named_file(name, folder, node.span, outside=outside))
    shapes = [graph.shape(value) for value in node.inputs]
    try:
        return replace(node, params=rule.given(node.params, shapes, path, load_blob(path)))
    except ShapeError as fault:
        raise NetcError(Diagnostic(fault.code, fault.message, node.span)) from None
