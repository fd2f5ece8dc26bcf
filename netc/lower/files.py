"""The files that layers name, found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from netc.ir.graph import Graph
from netc.paths import named_file


def with_files(graph: Graph, folder: Path | None, *, outside: bool) -> Graph:
    """The graph with the files that its layers name (``infogain_loss_param { source }``) found.

    Args:
        graph: the graph.
        folder: of the net's text; None where it is from no file.
        outside: whether files may lie anywhere.

    Raises:
        NetcError: outside-file.
    """
    nodes = []
    for node in graph.nodes:
        source = node.params.source if node.op == "InfogainLoss" else None
        if source is not None:
            path = named_file(source, folder, node.span, outside=outside)
            node = replace(node, params=replace(node.params, source=str(path)))
        nodes.append(node)
    return graph.replace(nodes=tuple(nodes))
