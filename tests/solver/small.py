"""A small net in training, for tests of the loop: softmax regression on six numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

import netc
from netc.ir.graph import Array
from netc.solver.solver import Solver

NET = """
name: "small"
layer { name: "data" type: "Input" top: "data" top: "label"
        input_param { shape { dim: 4 dim: 6 } shape { dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
        include { phase: TEST } }
"""
BASE = 'base_lr: 0.5 lr_policy: "fixed" max_iter: 12 snapshot_after_train: false '


def batches(count: int = 5, seed: int = 0) -> list[dict[str, Array]]:
    random = np.random.default_rng(seed)
    return [
        {
            "data": random.standard_normal((4, 6), np.float32),
            "label": random.integers(0, 3, 4).astype(np.float32),
        }
        for _ in range(count)
    ]


def solver(text: str = "", **more: Any) -> Solver:
    source = netc.Source("solver.prototxt", f"net_param {{ {NET} }}\n{BASE}{text}")
    return Solver(source, **{"feeds": batches(), **more})
