"""A netc graph of the TRAIN phase as a PyTorch module in training, for benchmarks/training.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from benchmarks.torch_net import RULES, Rule, Step, TorchNet
from netc.ir.graph import Graph, Node


def training_run(
    graph: Graph,
    feeds: Mapping[str, np.ndarray],
    threads: int,
    rate: float,
    momentum: float,
    way: str = "channels_last",
    device: str = "cpu",
) -> Callable[[], float]:
    """A function that makes one iteration of SGD, and gives its loss before the update.

    ``way`` is "eager", "channels_last", or "compiled": channels last by torch.compile. On another
    ``device`` than the processor the batch is copied there at each iteration.
    """
    torch.set_num_threads(threads)
    with torch.device(device):
        net = TorchNet(graph, {**RULES, **TRAIN_RULES}).train().to(device)
    for node in graph.nodes:
        learned = node.op != "BatchNorm"
        for name in node.parameters:
            getattr(net, net.names[name]).requires_grad_(learned)
    last = way != "eager"
    net = net.to(memory_format=torch.channels_last) if last else net
    learned_ones = [p for p in net.parameters() if p.requires_grad]
    rule = torch.optim.SGD(learned_ones, lr=rate, momentum=momentum)
    blobs = {value: blob for blob, value in graph.input_blobs.items()}
    inputs = [_tensor(feeds[blobs[value]], last) for value in graph.inputs]
    weights = [graph.losses.get(name, 0.0) for name in graph.outputs]

    forward = torch.compile(net) if way == "compiled" else net

    def iterate() -> float:
        torch.set_num_threads(threads)
        rule.zero_grad(set_to_none=True)
        batch = [tensor.to(device, non_blocking=True) for tensor in inputs]
        loss = sum(w * y for w, y in zip(weights, forward(*batch), strict=True) if w)
        loss.backward()
        rule.step()
        return float(loss.detach())

    return iterate


def _tensor(array: np.ndarray, channels_last: bool) -> Any:
    tensor = torch.from_numpy(array.copy())
    as_pixels = channels_last and tensor.ndim == 4
    return tensor.to(memory_format=torch.channels_last) if as_pixels else tensor


def _batch_norm(graph: Graph, node: Node) -> Step:
    """By the batch's own statistics, which move running ones; Caffe keeps sums instead."""
    channels = graph.shape(node.inputs[0])[1]
    mean, variance = torch.zeros(channels), torch.ones(channels)
    share, eps = 1 - node.params.moving_average_fraction, node.params.eps
    return lambda inputs, weights: F.batch_norm(
        inputs[0], mean, variance, training=True, momentum=share, eps=eps
    )


def _dropout(graph: Graph, node: Node) -> Step:
    ratio = node.params.ratio
    return lambda inputs, weights: F.dropout(inputs[0], ratio, training=True)


def _relu6(graph: Graph, node: Node) -> Step:
    limit = float(node.params.n)
    return lambda inputs, weights: F.hardtanh(inputs[0], 0.0, limit)


def _loss(graph: Graph, node: Node) -> Step:
    def step(inputs: Sequence[Any], weights: Sequence[Any]) -> Any:
        return F.cross_entropy(inputs[0].flatten(1), inputs[1].long())

    return step


TRAIN_RULES: Mapping[str, Rule] = {
    "BatchNorm": _batch_norm,
    "Dropout": _dropout,
    "ReLU6": _relu6,
    "SoftmaxWithLoss": _loss,
}
