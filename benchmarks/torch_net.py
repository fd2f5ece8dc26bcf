"""A netc graph as a PyTorch module, for comparisons: plain layers, by torch's own functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from netc.backends.reference import parameter_array
from netc.ir.graph import Graph, Node
from netc.ops.convolution import convolution_axes
from netc.ops.pooling import pooling_axes

Rule = Callable[[Graph, Node, Sequence[Any], Sequence[Any]], Any]


class TorchNet(torch.nn.Module):
    """Runs a graph's nodes in order.

    Raises:
        NotImplementedError: a layer without a rule here.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        missing = sorted({node.op for node in graph.nodes} - set(RULES))
        if missing:
            raise NotImplementedError(f"no rule for {', '.join(missing)}")
        self.graph = graph
        self.names: dict[str, str] = {}
        for node in graph.nodes:
            for name in node.parameters:
                own = f"p{len(self.names)}"
                self.names.setdefault(name, own)
                array = torch.tensor(parameter_array(graph, name).copy())
                self.register_parameter(own, torch.nn.Parameter(array, requires_grad=False))

    def forward(self, *inputs: Any) -> tuple[Any, ...]:
        values = dict(zip(self.graph.inputs, inputs, strict=True))
        for node in self.graph.nodes:
            weights = [getattr(self, self.names[name]) for name in node.parameters]
            result = RULES[node.op](self.graph, node, [values[v] for v in node.inputs], weights)
            outputs = result if isinstance(result, tuple) else (result,)
            values.update(zip(node.outputs, outputs, strict=True))
        return tuple(values[name] for name in self.graph.outputs)


def _convolution(graph: Graph, node: Node, inputs: Sequence[Any], weights: Sequence[Any]) -> Any:
    axes = convolution_axes(node.params, graph.shape(node.inputs[0]))
    return F.conv2d(
        inputs[0],
        weights[0],
        weights[1] if len(weights) > 1 else None,
        [axis.stride for axis in axes],
        [axis.pad for axis in axes],
        [axis.dilation for axis in axes],
        node.params.group,
    )


def _pooling(graph: Graph, node: Node, inputs: Sequence[Any], weights: Sequence[Any]) -> Any:
    (x,), params = inputs, node.params
    axes = pooling_axes(params, graph.shape(node.inputs[0]))
    if params.global_pooling and params.method == "AVE":
        return x.mean((2, 3), keepdim=True)
    window = (
        [axis.kernel for axis in axes],
        [axis.stride for axis in axes],
        [axis.pad for axis in axes],
    )
    if params.method == "MAX":
        return F.max_pool2d(x, *window, ceil_mode=params.ceil)
    return F.avg_pool2d(x, *window, ceil_mode=params.ceil)


def _inner_product(graph: Graph, node: Node, inputs: Sequence[Any], weights: Sequence[Any]) -> Any:
    x = inputs[0].flatten(node.params.axis)
    weight = weights[0].T if node.params.transpose else weights[0]
    return F.linear(x, weight, weights[1] if len(weights) > 1 else None)


def _batch_norm(graph: Graph, node: Node, inputs: Sequence[Any], weights: Sequence[Any]) -> Any:
    mean, variance, factor = weights
    scale = 1 / factor if float(factor) else factor
    return F.batch_norm(inputs[0], mean * scale, variance * scale, eps=node.params.eps)


def _scale(graph: Graph, node: Node, inputs: Sequence[Any], weights: Sequence[Any]) -> Any:
    def spread(vector: Any) -> Any:
        return vector.reshape(1, -1, *(1,) * (inputs[0].dim() - 2))

    if len(inputs) > 1:
        factor = inputs[1]
        return inputs[0] * factor.reshape(*factor.shape, *(1,) * (inputs[0].dim() - factor.dim()))
    y = inputs[0] * spread(weights[0])
    return y + spread(weights[1]) if len(weights) > 1 else y


def _eltwise(graph: Graph, node: Node, inputs: Sequence[Any], weights: Sequence[Any]) -> Any:
    total = None
    factors = node.params.coeff or (1.0,) * len(inputs)
    for factor, x in zip(factors, inputs, strict=True):
        term = x if factor == 1 or node.params.operation != "SUM" else factor * x
        if total is None:
            total = term
        elif node.params.operation == "SUM":
            total = total + term
        elif node.params.operation == "PROD":
            total = total * term
        else:
            total = torch.maximum(total, term)
    return total


def _lrn(graph: Graph, node: Node, inputs: Sequence[Any], weights: Sequence[Any]) -> Any:
    params = node.params
    if not params.across:
        raise NotImplementedError("LRN within a channel")
    return F.local_response_norm(inputs[0], params.local_size, params.alpha, params.beta, params.k)


RULES: Mapping[str, Rule] = {
    "BatchNorm": _batch_norm,
    "Bias": lambda graph, node, inputs, weights: inputs[0] + weights[0].reshape(1, -1, 1, 1),
    "Concat": lambda graph, node, inputs, weights: torch.cat(inputs, node.params.axis),
    "Convolution": _convolution,
    "Dropout": lambda graph, node, inputs, weights: inputs[0],
    "Eltwise": _eltwise,
    "Flatten": lambda graph, node, inputs, weights: inputs[0].flatten(1),
    "InnerProduct": _inner_product,
    "LRN": _lrn,
    "Pooling": _pooling,
    "ReLU": lambda graph, node, inputs, weights: (
        F.leaky_relu(inputs[0], node.params.negative_slope)
        if node.params.negative_slope
        else F.relu(inputs[0])
    ),
    "Reshape": lambda graph, node, inputs, weights: inputs[0].reshape(graph.shape(node.outputs[0])),
    "Scale": _scale,
    "Sigmoid": lambda graph, node, inputs, weights: inputs[0].sigmoid(),
    "Softmax": lambda graph, node, inputs, weights: inputs[0].softmax(node.params.axis),
}
