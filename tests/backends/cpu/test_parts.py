"""Batches that run a few images at a time give the answers of the whole batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import netc
from netc.backends.cpu.parts import PartsExecutable
from netc.ir.graph import Graph
from tests.plan.test_batches import MAPS

Parts = Callable[[int], None]
MORE = """
layer { name: "pool" type: "Pooling" bottom: "conv2" top: "pool"
        pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "sum" type: "Eltwise" bottom: "conv1" bottom: "conv2" top: "sum" }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
        inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.fixture
def parts_of(monkeypatch: pytest.MonkeyPatch) -> Parts:
    """Let all batches run so many images at a time."""

    def fixed(images: int) -> None:
        def chosen(graph: Graph, cache: int, least: int = 1) -> int:
            return images

        monkeypatch.setattr("netc.backends.cpu.backend.images_at_a_time", chosen)

    return fixed


def data(batch: int = 8) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((batch, 4, 64, 64), np.float32)


@pytest.mark.parametrize("images", [1, 2, 4])
@pytest.mark.parametrize("variables", [False, True])
def test_answers_are_those_of_the_whole_batch(
    parts_of: Parts, images: int, variables: bool
) -> None:
    whole = netc.compile(text=MAPS + MORE, variables=variables)
    parts_of(images)
    net = netc.compile(text=MAPS + MORE, weights=dict(whole.params), variables=variables)
    got, want = net(data=data()), whole(data=data())
    assert isinstance(net.executable(((8, 4, 64, 64),)), PartsExecutable)
    assert net.report()["images_at_a_time"] == images
    assert list(got) == list(want)
    for name, array in want.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-5, atol=1e-5)
    if variables:
        net.params["conv1"][0][...] *= 2
        changed = net(data=data())
        assert not np.allclose(changed["prob"], got["prob"])


def test_a_layer_s_time_is_that_of_all_parts(parts_of: Parts) -> None:
    parts_of(2)
    net = netc.compile(text=MAPS + MORE)
    executable = net.executable(((8, 4, 64, 64),))
    results, times = executable.timed({"data": data()})
    one, _ = executable.part.timed({"data": data(2)})  # type: ignore[attr-defined]
    assert len(times) == net.report()["steps"]
    np.testing.assert_array_equal(results["prob"][:2], one["prob"])
    shapes = {graph.shape(graph.outputs[0])[0] for graph in executable.graphs()}
    assert shapes == {8}


def ssd(batch: int) -> str:
    """A head of SSD on the maps, with priors of its own."""
    text = MAPS.replace("dim: 8 dim: 4 dim: 64", f"dim: {batch} dim: 4 dim: 64")

    def head(name: str, number: int, more: str) -> str:
        return f"""
layer {{ name: "{name}" type: "Convolution" bottom: "conv2" top: "{name}"
        convolution_param {{ num_output: {number} kernel_size: 3 stride: 8
                             weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "{name}_p" type: "Permute" bottom: "{name}" top: "{name}_p"
        permute_param {{ order: 0 order: 2 order: 3 order: 1 }} }}
layer {{ name: "{name}_f" type: "Flatten" bottom: "{name}_p" top: "{name}_f" }}
{more}"""

    scores = """
layer { name: "conf_r" type: "Reshape" bottom: "conf_f" top: "conf_r"
        reshape_param { shape { dim: 0 dim: -1 dim: 3 } } }
layer { name: "soft" type: "Softmax" bottom: "conf_r" top: "soft" softmax_param { axis: 2 } }
layer { name: "soft_f" type: "Flatten" bottom: "soft" top: "soft_f" }
layer { name: "priors" type: "PriorBox" bottom: "loc" bottom: "data" top: "priors"
        prior_box_param { min_size: 10 aspect_ratio: 2 flip: true variance: 0.1 variance: 0.1
                          variance: 0.2 variance: 0.2 } }
layer { name: "boxes" type: "DetectionOutput" bottom: "loc_f" bottom: "soft_f" bottom: "priors"
        top: "boxes" detection_output_param { num_classes: 3 keep_top_k: 20
        nms_param { nms_threshold: 0.45 top_k: 50 } confidence_threshold: 0.3 } }"""
    return text + head("loc", 12, "") + head("conf", 9, scores)


@pytest.mark.parametrize("images", [1, 2])
def test_detections_are_made_of_the_whole_batch(parts_of: Parts, images: int) -> None:
    whole = netc.compile(text=ssd(8))
    want = whole(data=data())
    parts_of(images)
    net = netc.compile(text=ssd(8), weights=dict(whole.params))
    got = net(data=data())
    assert net.report()["images_at_a_time"] == images
    assert net.report()["reference_steps"] == []
    assert len(set(want["boxes"][0, 0, :, 0])) > 1, "boxes of several images"
    assert got["boxes"].shape == want["boxes"].shape
    np.testing.assert_allclose(got["boxes"], want["boxes"], rtol=1e-4, atol=1e-5)
    results, times = net.executable(((8, 4, 64, 64),)).timed({"data": data()})
    assert len(times) == net.report()["steps"]
    np.testing.assert_array_equal(results["boxes"], got["boxes"])
