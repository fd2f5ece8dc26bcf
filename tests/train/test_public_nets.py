"""Public training nets: every one that can be built has a joint graph."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netc.diagnostics import NetcError
from netc.frontend import Built, build, read_net
from netc.ir.graph import Graph
from netc.ir.text import parse_graph, print_graph
from netc.ir.verify import verify
from netc.ops.catalog import CATALOG
from netc.ops.params_from_text import load_params
from netc.train.differentiate import differentiate

FIRST = 20  # that can be built, in the order of their names
LOSSES = re.compile(
    rb'type: *"?(SoftmaxWithLoss|SOFTMAX_LOSS|EuclideanLoss|EUCLIDEAN_LOSS|SigmoidCrossEntropyLoss'
    rb"|MultiBoxLoss|SmoothL1Loss|ContrastiveLoss)"
)


def training_nets(corpus: Path) -> Iterator[Graph]:
    for path in sorted((corpus / "files").rglob("*.prototxt")):
        if LOSSES.search(path.read_bytes()) and (graph := graph_of(path)) is not None:
            yield graph


def graph_of(path: Path) -> Graph | None:
    """The graph of the TRAIN phase; None of a text that is no net, or whose data say its sizes."""
    try:
        message = read_net(path).message
    except NetcError:
        return None
    built = build(message, phase="TRAIN")
    unknown = [v for v in built.graph.inputs if built.graph.values[v].shape is None]
    if unknown:
        shapes = {
            built.graph.values[v].blob: (2,) if "label" in v else (2, 3, 224, 224) for v in unknown
        }
        built = build(message, phase="TRAIN", inputs=shapes)
    return built.graph if built.graph.losses and is_whole(built) else None


def is_whole(built: Built) -> bool:
    described: list[Any] = [*built.graph.values.values(), *built.graph.parameters.values()]
    wrong = any(d.severity == "error" for d in built.diagnostics)
    return not wrong and all(item.shape is not None for item in described)


def test_public_training_nets(corpus: Path) -> None:
    seen = 0
    for graph in training_nets(corpus):
        learned = {n for n, p in graph.parameters.items() if p.lr_mult and p.owner is None}
        joint = differentiate(graph, parameters=learned)
        verify(joint.graph, "inferred", CATALOG)
        text = print_graph(joint.graph)
        assert print_graph(parse_graph(text, load_params)) == text
        assert joint.parameters or not learned
        seen += 1
        if seen == FIRST:
            return
    pytest.fail(f"only {seen} training nets could be built")
