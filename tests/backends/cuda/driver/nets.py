"""Small nets, and a look at what they give."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import netc
from netc.backends.cuda.backend import CudaExecutable


def _layer(kind: str, top: str, bottoms: str = "data", text: str = "") -> str:
    below = " ".join(f'bottom: "{name}"' for name in bottoms.split())
    return f'layer {{ name: "{top}" type: "{kind}" {below} top: "{top}" {text} }}\n'


def _conv(top: str, bottom: str, channels: int, size: int = 3) -> str:
    text = (
        f"convolution_param {{ num_output: {channels} kernel_size: {size} pad: {size // 2} "
        'weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.1 } }'
    )
    return _layer("Convolution", top, bottom, text)


def _input(*shape: int) -> str:
    dims = " ".join(f"dim: {n}" for n in shape)
    return f'input: "data" input_shape {{ {dims} }}\n'


RESIDUAL = (
    _input(2, 8, 7, 7)
    + _conv("a", "data", 16)
    + _layer("ReLU", "b", "a")
    + _conv("c", "b", 16)
    + _layer("Eltwise", "sum", "a c")
    + _layer("Pooling", "pool", "sum", "pooling_param { pool: AVE kernel_size: 3 stride: 2 }")
    + _layer(
        "InnerProduct",
        "fc",
        "pool",
        'inner_product_param { num_output: 10 weight_filler { type: "xavier" } }',
    )
    + _layer("Softmax", "prob", "fc")
)
MIXED = (
    _input(2, 8, 5, 5)
    + _conv("a", "data", 16, 1)
    + _layer("ReLU", "b", "a")
    + _conv("c", "b", 16)
    + _layer("Eltwise", "d", "a c")
    + _layer("PReLU", "e", "d")
)
DEEP = _input(1, 256, 4, 4) + _conv("y", "data", 8)
BRANCHES = (
    _input(1, 8, 6, 6)
    + "".join(_conv(f"b{i}", "data", 8, 1 + 2 * i) for i in range(3))
    + "".join(_conv(f"c{i}", f"b{i}", 8, 3) for i in range(3))
    + _layer("Concat", "all", "c0 c1 c2")
)
ONE = _input(1, 4, 5, 5) + _conv("y", "data", 8)
_SHAPE = "parameter_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } }"
PARAMETER = (
    _input(2, 3, 4, 5)
    + f'layer {{ name: "p" type: "Parameter" top: "p" {_SHAPE} }}\n'
    + _layer("Eltwise", "y", "data p")
)
BETWEEN = (
    _input(2, 4, 6, 6)
    + _conv("a", "data", 8)
    + _layer("LRN", "b", "a")
    + _layer("MVN", "m", "b")
    + _conv("c", "m", 8)
    + _layer("Pooling", "y", "c", "pooling_param { kernel_size: 2 stride: 2 }")
)
HEAVY = _input(1, 256) + _layer(
    "InnerProduct", "y", "data", "inner_product_param { num_output: 8192 }"
)
LARGE = _input(1, 4, 128, 128) + _conv("y", "data", 64, 1)


def data_of(net: Any, seed: int = 0) -> Any:
    shape = net.inputs["data"]
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def both(text: str, **options: Any) -> tuple[Any, Any]:
    """A net on the GPU, and one that tells what is right."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "net.prototxt"
        path.write_text(text)
        right = netc.compile(path, backend="reference")
        options = {"tune": False, **options}
        return netc.compile(path, right.params, backend="cuda", **options), right


def check(net: Any, right: Any, tolerance: float = 1e-5, **given: Any) -> None:
    for seed in range(3):
        data = data_of(net, seed)
        got, want = net(data=data, **given), right(data=data)
        for name, array in want.items():
            close(got[name], array, tolerance)


def close(got: Any, want: Any, tolerance: float = 1e-5) -> None:
    assert isinstance(got, np.ndarray) and got.shape == want.shape
    error = np.abs(got - want).max() / np.abs(want).max()
    assert error <= tolerance, f"off by {error}"


def executable(net: Any) -> CudaExecutable:
    found = net.executable(tuple(net.inputs.values()))
    assert isinstance(found, CudaExecutable)
    return found
