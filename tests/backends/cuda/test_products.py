"""Every configuration of products gives the reference's numbers, in every precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import netc
from netc.backends import reference
from netc.backends.cuda import backend as backend_module
from netc.backends.cuda import emission as emission_module
from netc.backends.cuda.backend import CudaBackend
from netc.backends.cuda.device import SHARED, Facts
from netc.backends.cuda.emission import as_tf32
from netc.backends.cuda.products.choice import guessed
from netc.backends.cuda.products.tiles import (
    MATRIX,
    PLAIN,
    BlockTile,
    ProductConfig,
    Size,
    candidate_configs,
)
from netc.backends.cuda.products.winograd import fits_winograd
from netc.backends.cuda.source import Kernel
from netc.diagnostics import Source
from netc.ir.graph import Graph
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice, build
from tests.backends.cuda.golden_kernels import kernels_of, options

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")

TOLERANCE = {"float32": 2e-6, "tf32": 5e-4, "fp16": 4e-3}  # of the largest value


def net(channels: int, size: int, layers: str, batch: int = 1) -> Graph:
    shape = f"dim: {batch} dim: {channels} dim: {size} dim: {size + 1}"
    text = (
        f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {shape} }} }} }}'
        + layers
    )
    return netc.compile(Source("test.prototxt", text), backend="reference", seed=1).graph


def conv(name: str, bottom: str, params: str, kind: str = "Convolution") -> str:
    fillers = 'weight_filler { type: "msra" } bias_filler { type: "uniform" min: -1 max: 1 }'
    return (
        f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}" '
        f"convolution_param {{ {params} {fillers} }} }}"
    )


def relu(name: str, bottom: str) -> str:
    return f'layer {{ name: "{name}" type: "ReLU" bottom: "{bottom}" top: "{name}" }}'


def add(name: str, *bottoms: str) -> str:
    reads = " ".join(f'bottom: "{b}"' for b in bottoms)
    return f'layer {{ name: "{name}" type: "Eltwise" {reads} top: "{name}" }}'


NETS: dict[str, Callable[[], Graph]] = {
    "residual": lambda: net(
        20,
        9,
        conv("a", "x", "num_output: 72 kernel_size: 1")
        + conv("b", "x", "num_output: 72 kernel_size: 3 pad: 1")
        + add("c", "a", "b")
        + relu("d", "c")
        + conv("e", "d", "num_output: 24 kernel_size: 3 stride: 2 pad: 2 dilation: 2 group: 2"),
        2,
    ),
    "odd": lambda: net(
        3,
        11,
        conv("a", "x", "num_output: 13 kernel_size: 5 stride: 2 pad: 2")
        + relu("b", "a")
        + conv("c", "b", "num_output: 7 kernel_h: 1 kernel_w: 3 pad_w: 1 pad_h: 0"),
        2,
    ),
    "narrow": lambda: net(  # 4 or 8 bytes at a time
        6,
        9,
        conv("a", "x", "num_output: 20 kernel_size: 3 pad: 1 group: 2")
        + conv("b", "x", "num_output: 14 kernel_size: 1")
        + conv("c", "a", "num_output: 10 kernel_size: 3 stride: 2 group: 5")
        + conv("d", "b", "num_output: 12 kernel_size: 4 stride: 2 pad: 1", "Deconvolution")
        + conv("e", "d", "num_output: 9 kernel_size: 5"),
    ),
    "siblings": lambda: net(
        16,
        7,
        conv("a", "x", "num_output: 40 kernel_size: 1")
        + relu("ra", "a")
        + conv("b", "x", "num_output: 8 kernel_size: 1")
        + conv("c", "x", "num_output: 70 kernel_size: 1")
        + relu("rc", "c")
        + 'layer { name: "j" type: "Concat" bottom: "ra" bottom: "b" bottom: "rc" top: "j" }',
    ),
    "deconvolution": lambda: net(
        8,
        5,
        conv("a", "x", "num_output: 12 kernel_size: 4 stride: 2 pad: 1", "Deconvolution")
        + relu("ra", "a")
        + conv("b", "ra", "num_output: 8 kernel_size: 5 stride: 3 group: 2", "Deconvolution")
        + conv("c", "b", "num_output: 8 kernel_size: 3 dilation: 2", "Deconvolution"),
    ),
}

CONFIGS: dict[str, list[tuple[BlockTile, int]]] = {
    "float32": [(tile, 1 + i % 3) for i, tile in enumerate(PLAIN)],
    "tf32": [(tile, 1 + i % 2) for i, tile in enumerate(MATRIX)],
    "fp16": [(tile, 1 + (i + 1) % 2) for i, tile in enumerate(MATRIX)],
}


def feeds_of(graph: Graph) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    return {n: rng.standard_normal(graph.shape(n)).astype(np.float32) for n in graph.inputs}


def check(graph: Graph, precision: str, order: int = 0) -> None:
    feeds = feeds_of(graph)
    executable = CudaBackend(EmulatedDevice(order)).prepare(graph, options(precision=precision))
    got, want = executable.run(feeds), reference.run(graph, feeds)
    for name, array in want.items():
        scale = np.abs(array).max()
        error = np.abs(got[name].astype(np.float64) - array).max() / scale
        assert error < TOLERANCE[precision], f"{name}: {error}"


def test_every_device_has_ways() -> None:
    size = Size(3136, (256,), 576)
    for matrix in (False, True):
        few, many = (
            {
                config.tile
                for config in candidate_configs(
                    size, Facts("a GPU", (9, 0), 132, shared=shared), matrix
                )
            }
            for shared in (SHARED, 227 << 10)
        )
        assert few <= many and len(few) >= 8
        assert not any(tile.asked for tile in few)
        assert any(tile.asked for tile in many) == matrix
    narrow = {
        config.tile
        for config in candidate_configs(size._replace(chunk=4), Facts("", (9, 0), 132), True)
    }
    assert not any(tile.asked for tile in narrow)


def test_weights_are_rounded_to_tf32_once() -> None:
    exact = np.array([1, -2.5, 0, np.inf, -np.inf, 1 + 2**-10], np.float32)
    assert as_tf32(exact) is exact
    some = np.array([1 + 2**-11, 1 + 2**-12, -1 - 2**-11, 3.4028235e38, np.nan], np.float32)
    want = np.array([1 + 2**-10, 1, -1 - 2**-10, np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(as_tf32(some), want)
    assert as_tf32(as_tf32(some)[:3]).tolist() == want[:3].tolist()


def always(config: ProductConfig) -> Callable[[Any, Any], ProductConfig]:
    """That configuration, of all products that have it."""

    def choose(emission: Any, product: Any) -> ProductConfig:
        size = product.size(emission.precision.item)
        return config if config.tile.fits(size, emission.facts) else guessed(emission, product)

    return choose


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("precision", CONFIGS)
def test_configurations(name: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = CONFIGS[precision]
    if name != "residual":  # the others are about what is gathered, not about tiles
        found = [found[0], found[-1]]
    configs = [ProductConfig(tile, splits) for tile, splits in found]
    graph, kernels = NETS[name](), set[Kernel]()
    for config in configs:
        monkeypatch.setattr(backend_module, "guessed", always(config))
        kernels |= kernels_of([graph], options(precision=precision))
    build(kernels)  # together, which takes less time than each by itself
    for number, config in enumerate(configs):
        monkeypatch.setattr(backend_module, "guessed", always(config))
        check(graph, precision, order=number % 3)


@pytest.mark.parametrize("outputs", (2, 4))
@pytest.mark.parametrize("splits", (1, 2))
def test_winograd(outputs: int, splits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    if splits == 1:  # and several channels a thread
        monkeypatch.setattr(emission_module, "RESIDENT", 0)

    def choose(emission: Any, product: Any) -> ProductConfig:
        if fits_winograd(emission, product):
            seen.append(product)
            return ProductConfig(PLAIN[-1], splits, outputs)
        return guessed(emission, product)

    monkeypatch.setattr(backend_module, "guessed", choose)
    monkeypatch.setitem(TOLERANCE, "float32", {2: 2e-6, 4: 1e-5}[outputs])
    check(NETS["residual"](), "float32")
    assert seen


@pytest.mark.parametrize("batch", (1, 3, 8))
@pytest.mark.parametrize("precision", CONFIGS)
def test_inner_products(batch: int, precision: str) -> None:
    ip = (
        'layer {{ name: "{0}" type: "InnerProduct" bottom: "{1}" top: "{0}" inner_product_param {{ '
        'num_output: {2} weight_filler {{ type: "xavier" }} '
        'bias_filler {{ type: "uniform" min: -1 max: 1 }} }} }}'
    )
    layers = ip.format("a", "x", 30) + relu("b", "a") + ip.format("c", "b", 5)
    check(net(8, 4, layers, batch), precision)
