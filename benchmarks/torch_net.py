"""A netc graph as a PyTorch module, for comparisons: plain layers, by torch's own functions.

What a layer's parameters say is worked out when the module is made. So a forward is nothing but
calls of torch's functions, which torch.compile sees through and a CUDA graph can hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from netc.backends.reference import parameter_array
from netc.ir.graph import Graph, Node
from netc.ops.convolution_params import convolution_axes
from netc.ops.pooling import pooling_axes

Step = Callable[[Sequence[Any], Sequence[Any]], Any]  # of inputs and weights
Rule = Callable[[Graph, Node], Step]


class TorchNet(torch.nn.Module):
    """Runs a graph's nodes in order.

    Raises:
        NotImplementedError: a layer without a rule here.
    """

    def __init__(self, graph: Graph, rules: Mapping[str, Rule] | None = None) -> None:
        super().__init__()
        self.rules = RULES if rules is None else rules
        missing = sorted({node.op for node in graph.nodes} - set(self.rules))
        if missing:
            raise NotImplementedError(f"no rule for {', '.join(missing)}")
        self.inputs, self.outputs = tuple(graph.inputs), tuple(graph.outputs)
        self.names: dict[str, str] = {}
        self.steps = [self._step(graph, node) for node in graph.nodes]

    def _step(
        self, graph: Graph, node: Node
    ) -> tuple[Step, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        for name in node.parameters:
            if name not in self.names:
                own = self.names[name] = f"p{len(self.names)}"
                array = torch.tensor(parameter_array(graph, name).copy())
                self.register_parameter(own, torch.nn.Parameter(array, requires_grad=False))
        own_names = tuple(self.names[name] for name in node.parameters)
        return self.rules[node.op](graph, node), tuple(node.inputs), own_names, tuple(node.outputs)

    def forward(self, *inputs: Any) -> tuple[Any, ...]:
        values = dict(zip(self.inputs, inputs, strict=True))
        for step, reads, parameters, writes in self.steps:
            result = step([values[v] for v in reads], [getattr(self, p) for p in parameters])
            outputs = result if isinstance(result, tuple) else (result,)
            values.update(zip(writes, outputs, strict=True))
        return tuple(values[name] for name in self.outputs)


def _optional(weights: Sequence[Any]) -> Any:
    """The second of a layer's arrays, its bias, if it has one."""
    return weights[1] if len(weights) > 1 else None


def _convolution(graph: Graph, node: Node) -> Step:
    axes = convolution_axes(node.params, graph.shape(node.inputs[0]))
    stride = [axis.stride for axis in axes]
    pad = [axis.pad for axis in axes]
    dilation = [axis.dilation for axis in axes]
    group = node.params.group
    return lambda inputs, weights: F.conv2d(
        inputs[0], weights[0], _optional(weights), stride, pad, dilation, group
    )


def _pooling(graph: Graph, node: Node) -> Step:
    params = node.params
    axes = pooling_axes(params, graph.shape(node.inputs[0]))
    if params.window.whole and params.method == "AVE":
        return lambda inputs, weights: inputs[0].mean((2, 3), keepdim=True)
    kernel = [axis.kernel for axis in axes]
    stride = [axis.stride for axis in axes]
    pad = [axis.pad for axis in axes]
    ceil = bool(params.ceil)
    if params.method == "MAX":
        return lambda inputs, weights: F.max_pool2d(inputs[0], kernel, stride, pad, ceil_mode=ceil)
    return lambda inputs, weights: F.avg_pool2d(inputs[0], kernel, stride, pad, ceil_mode=ceil)


def _inner_product(graph: Graph, node: Node) -> Step:
    axis, transpose = node.params.axis, node.params.transpose

    def step(inputs: Sequence[Any], weights: Sequence[Any]) -> Any:
        weight = weights[0].T if transpose else weights[0]
        return F.linear(inputs[0].flatten(axis), weight, _optional(weights))

    return step


def _batch_norm(graph: Graph, node: Node) -> Step:
    factor = float(parameter_array(graph, node.parameters[2]).reshape(-1)[0])
    scale, eps = 1 / factor if factor else 0.0, node.params.eps
    return lambda inputs, weights: F.batch_norm(
        inputs[0], weights[0] * scale, weights[1] * scale, eps=eps
    )


def _scale(graph: Graph, node: Node) -> Step:
    rank = len(graph.shape(node.inputs[0]))
    if len(node.inputs) > 1:
        shape = graph.shape(node.inputs[1])
        wide = (*shape, *(1,) * (rank - len(shape)))
        return lambda inputs, weights: inputs[0] * inputs[1].reshape(wide)
    spread = (1, -1, *(1,) * (rank - 2))

    def step(inputs: Sequence[Any], weights: Sequence[Any]) -> Any:
        y = inputs[0] * weights[0].reshape(spread)
        return y + weights[1].reshape(spread) if len(weights) > 1 else y

    return step


def _eltwise(graph: Graph, node: Node) -> Step:
    operation = node.params.operation
    factors = tuple(node.params.coeff or (1.0,) * len(node.inputs))
    if operation != "SUM":
        combine = torch.mul if operation == "PROD" else torch.maximum
        factors = (1.0,) * len(node.inputs)
    else:
        combine = torch.add

    def step(inputs: Sequence[Any], weights: Sequence[Any]) -> Any:
        total = None
        for factor, x in zip(factors, inputs, strict=True):
            term = x if factor == 1 else factor * x
            total = term if total is None else combine(total, term)
        return total

    return step


def _lrn(graph: Graph, node: Node) -> Step:
    params = node.params
    if not params.across:
        raise NotImplementedError("LRN within a channel")
    size, alpha, beta, k = params.local_size, params.alpha, params.beta, params.k
    return lambda inputs, weights: F.local_response_norm(inputs[0], size, alpha, beta, k)


def _bias(graph: Graph, node: Node) -> Step:
    spread = (1, -1, *(1,) * (len(graph.shape(node.inputs[0])) - 2))
    return lambda inputs, weights: inputs[0] + weights[0].reshape(spread)


def _relu(graph: Graph, node: Node) -> Step:
    slope = node.params.negative_slope
    if slope:
        return lambda inputs, weights: F.leaky_relu(inputs[0], slope)
    return lambda inputs, weights: F.relu(inputs[0])


def _reshape(graph: Graph, node: Node) -> Step:
    shape = graph.shape(node.outputs[0])
    return lambda inputs, weights: inputs[0].reshape(shape)


def _concat(graph: Graph, node: Node) -> Step:
    axis = node.params.axis
    return lambda inputs, weights: torch.cat(list(inputs), axis)


def _softmax(graph: Graph, node: Node) -> Step:
    axis = node.params.axis
    return lambda inputs, weights: inputs[0].softmax(axis)


RULES: Mapping[str, Rule] = {
    "BatchNorm": _batch_norm,
    "Bias": _bias,
    "Concat": _concat,
    "Convolution": _convolution,
    "Dropout": lambda graph, node: lambda inputs, weights: inputs[0],
    "Eltwise": _eltwise,
    "Flatten": _reshape,
    "InnerProduct": _inner_product,
    "LRN": _lrn,
    "Pooling": _pooling,
    "ReLU": _relu,
    "Reshape": _reshape,
    "Scale": _scale,
    "Sigmoid": lambda graph, node: lambda inputs, weights: inputs[0].sigmoid(),
    "Softmax": _softmax,
}
