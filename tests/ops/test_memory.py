"""What definitions say they take beyond their blobs is an upper bound of what they do take."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netc.backends import reference
from netc.diagnostics import NetcError, Source
from netc.frontend import build, read_net
from netc.ir.graph import Graph, Node
from netc.ir.types import count
from netc.ops.catalog import CATALOG
from netc.ops.define import ShapeError
from netc.weights.match import fill_missing

LAYERS = Path(__file__).resolve().parents[1] / "golden" / "layers"
_ELEMENTS = 60_000  # of an input, about
_OBJECTS = 64 << 10  # bytes of what a definition makes that does not grow with blobs


def _cases() -> list[dict[str, Any]]:
    """A few cases of each layer type."""
    seen: Counter[str] = Counter()
    found = []
    for case in json.loads((LAYERS / "manifest.json").read_text()):
        kind = case["case"].partition("__")[0]
        seen[kind] += 1
        if seen[kind] <= 3:
            found.append(case)
    return found


def _graphs(case: dict[str, Any]) -> Iterator[Graph]:
    """The case with a longer first or third axis of every input, where it takes that."""
    message = read_net(LAYERS / f"{case['case']}.prototxt").message
    plain = build(message, phase=case["phase"]).graph
    shapes = {blob: plain.shape(name) for blob, name in plain.input_blobs.items()}
    for axis in (0, 2):
        larger = {
            blob: tuple(
                size * max(1, _ELEMENTS // max(1, count(shape))) if place == axis else size
                for place, size in enumerate(shape)
            )
            for blob, shape in shapes.items()
        }
        built = build(message, phase=case["phase"], inputs=larger)
        if not any(d.severity == "error" for d in built.diagnostics):
            yield fill_missing(built.graph)


@pytest.mark.parametrize("case", _cases(), ids=lambda c: c["case"])
def test_golden_layers(case: dict[str, Any]) -> None:
    data = np.load(LAYERS / f"{case['case']}.npz")
    for graph in _graphs(case):
        values = {
            name: np.resize(data[f"in/{blob}"], graph.shape(name)).astype(np.float32)
            for blob, name in graph.input_blobs.items()
        }
        for node in graph.nodes:
            inputs = [values[v] for v in node.inputs]
            try:
                outputs = _within_what_it_says(graph, node, inputs)
            except (NetcError, ShapeError):  # values that such a layer does not take
                break
            values.update(zip(node.outputs, outputs, strict=True))


def _within_what_it_says(graph: Graph, node: Node, inputs: list[Any]) -> list[Any]:
    tracemalloc.start()
    try:
        outputs = reference.run_node(graph, node, inputs)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    shapes = [x.shape for x in inputs], [y.shape for y in outputs]
    stated = CATALOG[node.op].memory(node.params, *shapes)
    took = peak - sum(y.nbytes for y in outputs)
    assert took <= stated + _OBJECTS, f"{node.op}: {took:,} bytes, and it says {stated:,}"
    return outputs


INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [%s] } } }\n'


@pytest.mark.parametrize(
    ("shape", "layer"),
    [
        ("1, 1, 8, 8", 'type: "Interp" interp_param { height: 400 width: 300 }'),
        ("1, 8, 4, 4", 'type: "Interp" interp_param { height: 1 width: 9000 }'),
        ("1, 1, 8, 8", 'type: "Tile" tile_param { tiles: 4000 }'),
        ("1, 3, 40, 40", 'type: "Im2col" CONV { kernel_size: 9 pad: 4 }'),
        ("1, 1, 8, 8", 'type: "Convolution" CONV { num_output: 1 kernel_size: 301 pad: 150 }'),
        ("1, 2, 60, 60", 'type: "Convolution" CONV { num_output: 64 kernel_size: 7 }'),
        ("1, 1, 8, 8", 'type: "Deconvolution" CONV { num_output: 1 kernel_size: 1 stride: 60 }'),
        ("1, 4, 20, 20", 'type: "Deconvolution" CONV { num_output: 8 kernel_size: 16 stride: 8 }'),
        ("1, 9, 40, 40", 'type: "Pooling" pooling_param { pool: MAX kernel_size: 7 stride: 1 }'),
        ("1, 32, 30, 30", 'type: "LRN" lrn_param { local_size: 15 }'),
        ("1, 2, 60, 60", 'type: "LRN" lrn_param { norm_region: WITHIN_CHANNEL local_size: 9 }'),
        ("1, 8, 60, 60", 'type: "ArgMax" argmax_param { axis: 1 top_k: 3 }'),
        ("4, 2000", 'type: "ArgMax" argmax_param { top_k: 5 }'),
        ("1, 8, 60, 60", 'type: "ShuffleChannel" shuffle_channel_param { group: 4 }'),
        ("1, 8, 60, 60", 'type: "Upsample" upsample_param { scale: 3 }'),
        ("1, 8, 60, 60", 'type: "Normalize" norm_param { across_spatial: false }'),
        ("1, 8, 60, 60", 'type: "Permute" permute_param { order: 0 order: 2 order: 3 order: 1 }'),
        ("1, 8, 60, 60", 'type: "SPP" spp_param { pyramid_height: 4 }'),
    ],
)  # fmt: skip
def test_layers_that_make_much_of_little(shape: str, layer: str) -> None:
    written = layer.replace("CONV", "convolution_param")
    text = f'{INPUT % shape}layer {{ name: "x" bottom: "data" top: "x" {written} }}\n'
    graph = fill_missing(build(read_net(Source("n", text)).message).graph)
    (node,) = graph.nodes
    data = np.random.default_rng(0).random(graph.shape("data"), np.float32)
    _within_what_it_says(graph, node, [data])


REGIONS = np.array([[0, 0, 0, 19, 19], [0, 5, 5, 6, 6]] * 10, np.float32)


@pytest.mark.parametrize(
    ("channels", "layer"),
    [
        (4, 'type: "ROIPooling" roi_pooling_param { pooled_h: 2 pooled_w: 900 }'),
        (4, 'type: "ROIPooling" roi_pooling_param { pooled_h: 90 pooled_w: 9 }'),
        (98, 'type: "PSROIPooling" psroi_pooling_param '
             '{ spatial_scale: 1 output_dim: 2 group_size: 7 }'),
    ],
)  # fmt: skip
def test_regions(channels: int, layer: str) -> None:
    text = (
        INPUT % f"1, {channels}, 40, 40"
        + INPUT.replace("data", "r") % "20, 5"
        + f'layer {{ name: "x" bottom: "data" bottom: "r" top: "x" {layer} }}\n'
    )
    graph = build(read_net(Source("n", text)).message).graph
    (node,) = graph.nodes
    data = np.random.default_rng(0).random(graph.shape("data"), np.float32)
    _within_what_it_says(graph, node, [data, REGIONS])


@pytest.mark.parametrize("more", ["", "max_size: 60 aspect_ratio: 2 aspect_ratio: 3 clip: true"])
def test_prior_boxes(more: str) -> None:
    text = (
        INPUT % "1, 1, 60, 60"
        + 'layer { name: "x" type: "PriorBox" bottom: "data" bottom: "data" top: "x" '
        + f"prior_box_param {{ min_size: 30 {more} }} }}\n"
    )
    graph = build(read_net(Source("n", text)).message).graph
    (node,) = graph.nodes
    data = np.zeros((1, 1, 60, 60), np.float32)
    _within_what_it_says(graph, node, [data, data])
