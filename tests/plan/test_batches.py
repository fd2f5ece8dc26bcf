"""How many images of a batch run at a time."""

from __future__ import annotations

import pytest

import netc
from netc.ir.graph import Graph
from netc.plan.batches import images_at_a_time

MAPS = """
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 8 dim: 4 dim: 64 dim: 64 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 16 kernel_size: 3 pad: 1
                            weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
        convolution_param { num_output: 16 kernel_size: 1 weight_filler { type: "xavier" } } }
"""
MEGABYTE = 1 << 20
# conv2 reads and writes 16 x 64 x 64 floats: 512 KB an image, 4 MB for the batch


def graph_of(text: str, phase: str = "TEST") -> Graph:
    return netc.compile(text=text, backend="reference", phase=phase).graph


@pytest.mark.parametrize("cache, images", [(8, 0), (4, 0), (2, 4), (1, 2), (0.5, 1), (0.25, 0)])
def test_as_many_images_as_the_cache_holds(
    monkeypatch: pytest.MonkeyPatch, cache: float, images: int
) -> None:
    monkeypatch.setattr("netc.plan.batches._START", 0)
    assert images_at_a_time(graph_of(MAPS), int(cache * MEGABYTE)) == images


def test_a_part_takes_time_to_start() -> None:
    assert images_at_a_time(graph_of(MAPS), MEGABYTE) == 0


def test_every_thread_has_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netc.plan.batches._START", 0)
    graph = graph_of(MAPS)
    assert images_at_a_time(graph, MEGABYTE, 2) == 2
    assert images_at_a_time(graph, MEGABYTE, 3) == 0  # 4 do not stay in the cache
    assert images_at_a_time(graph, 2 * MEGABYTE, 3) == 4


def test_large_weights_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netc.plan.batches._START", 0)
    product = """layer { name: "ip" type: "InnerProduct" bottom: "conv2" top: "ip"
        inner_product_param { num_output: %d weight_filler { type: "xavier" } } }"""
    assert images_at_a_time(graph_of(MAPS + product % 1), MEGABYTE) == 2
    assert images_at_a_time(graph_of(MAPS + product % 1000), MEGABYTE) == 0


@pytest.mark.parametrize(
    "layer",
    [
        'type: "BatchNorm" batch_norm_param { use_global_stats: false }',
        'type: "Reshape" reshape_param { shape { dim: 4 dim: -1 dim: 64 dim: 64 } }',
        'type: "Softmax" softmax_param { axis: 0 }',
        'type: "Reduction" reduction_param { axis: 0 }',
        'type: "Slice" slice_param { axis: 0 }',
        'type: "Permute" permute_param { order: 1 order: 0 order: 2 order: 3 }',
    ],
    ids=lambda layer: layer.split('"')[1],
)
def test_images_that_depend_on_each_other_stay_together(
    monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    monkeypatch.setattr("netc.plan.batches._START", 0)
    last = f'layer {{ name: "last" bottom: "conv2" top: "last" {layer} }}'
    if "Slice" in layer:
        last = last.replace('top: "last"', 'top: "last" top: "other"')
    assert images_at_a_time(graph_of(MAPS + last), MEGABYTE) == 0
