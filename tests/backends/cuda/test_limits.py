"""What a device's grids and the kernels' integers can hold."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.backends.cuda.backend import CudaBackend, CudaExecutable
from netc.backends.cuda.chain import FusedOutput
from netc.backends.cuda.device import Facts
from netc.backends.cuda.emission import CudaEmitContext
from netc.backends.cuda.products.product import Product, pixel_taps
from netc.backends.cuda.products.winograd import fits_winograd
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import Arena, dense
from netc.diagnostics import Source
from netc.ir.graph import Graph
from tests.backends.cuda.golden_kernels import Collector, options

INPUT = 'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {} }} }} }} '
LAYERS = {
    "a plane of each image": (
        "dim: 70000 dim: 1 dim: 8 dim: 8",
        'type: "Pooling" bottom: "x" pooling_param { pool: AVE global_pooling: true }',
    ),
    "a group of each channel": (
        "dim: 1 dim: 140000 dim: 2 dim: 2",
        'type: "Convolution" bottom: "x" convolution_param { num_output: 70000 group: 70000 '
        "kernel_size: 2 }",
    ),
    "rows of a softmax": ("dim: 70000 dim: 3", 'type: "Softmax" bottom: "x"'),
    "rows of a product": (
        "dim: 70000 dim: 4",
        'type: "InnerProduct" bottom: "x" inner_product_param { num_output: 3 }',
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_grids_are_no_longer_than_a_device_takes(name: str) -> None:
    shape, layer = LAYERS[name]
    text = INPUT.format(shape) + f'layer {{ name: "y" top: "y" {layer} }}'
    graph = netc.compile(Source("limits.prototxt", text), backend="reference").graph
    executable = CudaBackend(Collector()).prepare(graph, options())
    assert isinstance(executable, CudaExecutable)
    for launch in executable.program.launches:
        assert launch.grid[0] < 2**31 and max(launch.grid[1:]) <= 65535


@pytest.mark.parametrize(("images", "fits"), [(32, True), (320, False)])
def test_tiles_of_winograd_are_counted_in_32_bits(images: int, fits: bool) -> None:
    x, y = (dense(Arena(0), images, 224, 224, 64) for _ in range(2))
    product = Product(
        "conv1_2",
        x,
        (FusedOutput(y, (images, 64, 224, 224)),),
        lambda: np.zeros((64, 576), np.float32),
        pixel_taps((3, 3), (1, 1), (1, 1)),
        window=Geometry((3, 3), pad=(1, 1)),
    )
    emission = CudaEmitContext(Graph("empty", (), (), (), {}), {}, Facts("a GPU", (9, 0), 132))
    assert fits_winograd(emission, product) is fits
