"""Small nets and pictures that the tests of predicting share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import netc
from netc.ir.graph import Array

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [2, 3, 6, 6] } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3
                            weight_filler { type: "gaussian" std: 0.05 }
                            bias_filler { type: "constant" value: 0.1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
        inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def write_net(folder: Path, text: str = NET, name: str = "net", seed: int = 0) -> tuple[str, str]:
    """A net's text and weights from its fillers: their paths."""
    path, weights = folder / f"{name}.prototxt", folder / f"{name}.npz"
    path.write_text(text, encoding="utf-8")
    made = netc.compile(path, seed=seed, backend="reference")
    netc.save_weights(weights, {layer: list(arrays) for layer, arrays in made.params.items()})
    return str(path), str(weights)


def pictures(folder: Path, number: int, size: tuple[int, int] = (6, 6)) -> list[Path]:
    """Pictures of noise, each another."""
    folder.mkdir(exist_ok=True)
    draws = np.random.default_rng(7)
    found = []
    for index in range(number):
        path = folder / f"{index:03}.png"
        Image.fromarray(draws.integers(0, 255, (*size, 3), np.uint8)).save(path)
        found.append(path)
    return found


def fed(paths: list[Path]) -> Array:
    """What a net without preprocessing of its own is fed of pictures of its size: BGR, to 255."""
    rows = [np.asarray(Image.open(p), np.float32)[..., ::-1].transpose(2, 0, 1) for p in paths]
    return np.stack(rows)


def expected(net: tuple[str, str], rows: Array, **options: Any) -> dict[str, Array]:
    """The answers of the reference."""
    made = netc.compile(*net, inputs={"data": rows.shape}, backend="reference", **options)
    return made(data=rows)
