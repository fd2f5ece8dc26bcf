"""A graph as an ONNX model: a table of rules keyed by op.

A layer with no rule is an error that names it. Opset 13; float32; fixed shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from netc.backends.reference import parameter_array
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array, Graph, Node
from netc.ops.convolution import convolution_axes
from netc.ops.pooling import pooling_axes
from netc.ops.window import Axis

OPSET = 13


class Writer:
    """Collects an ONNX graph's nodes and constants while the graph is walked."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {}

    def add(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> None:
        """Add a node."""
        from onnx import helper

        name = f"{outputs[0]}:{kind}"
        self.nodes.append(helper.make_node(kind, list(inputs), list(outputs), name, **attributes))

    def constant(self, name: str, array: Any) -> str:
        """A constant input of that name."""
        self.constants[name] = np.ascontiguousarray(array)
        return name

    def arrays(self, node: Node) -> list[Array]:
        """A node's trained arrays."""
        return [parameter_array(self.graph, name) for name in node.parameters]

    def weights(self, node: Node) -> list[str]:
        """A node's trained arrays as constants."""
        names = [f"{node.name}/{i}" for i in range(len(node.parameters))]
        return [self.constant(n, a) for n, a in zip(names, self.arrays(node), strict=True)]

    def between(self, node: Node, what: str) -> str:
        """A name for a value inside a layer."""
        return f"{node.outputs[0]}:{what}"


Rule = Callable[[Writer, Node], None]


def to_onnx(graph: Graph) -> Any:
    """An ``onnx.ModelProto`` that computes what the graph does.

    Raises:
        NetcError: no-onnx-rule, for each layer that ONNX or netc has no form of.
    """
    _check(graph)
    writer = Writer(graph)
    for node in graph.nodes:
        RULES[node.op](writer, node)
    return _model(writer)


def _check(graph: Graph) -> None:
    missing = [
        Diagnostic(
            "no-onnx-rule",
            f"layer `{node.name}` ({node.op}) has no form in ONNX that netc knows",
            node.span,
        )
        for node in graph.nodes
        if node.op not in RULES
    ]
    if missing:
        raise NetcError(missing)


def _model(writer: Writer) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    def described(names: Sequence[str]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, writer.graph.shape(name))
            for name in names
        ]

    graph = helper.make_graph(
        writer.nodes,
        writer.graph.name or "net",
        described(writer.graph.inputs),
        described(writer.graph.outputs),
        [numpy_helper.from_array(array, name) for name, array in writer.constants.items()],
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, producer_name="netc", opset_imports=[opset], ir_version=8)


def _refuse(node: Node, what: str) -> NetcError:
    return NetcError(
        Diagnostic("no-onnx-rule", f"layer `{node.name}` ({node.op}): {what}", node.span)
    )


def _pads(axes: Sequence[Axis]) -> list[int]:
    """Padding before and after that makes exactly the shapes that Caffe makes."""
    after = [
        max(0, (axis.out - 1) * axis.stride + axis.extent - axis.size - axis.pad) for axis in axes
    ]
    return [axis.pad for axis in axes] + after


def _convolution(writer: Writer, node: Node) -> None:
    axes = convolution_axes(node.params, writer.graph.shape(node.inputs[0]))
    if node.params.axis != 1 or len(node.inputs) != 1 or not axes:
        raise _refuse(
            node, "its channels are not axis 1 or the last axis, or it has several bottoms"
        )
    writer.add(
        "Conv",
        [node.inputs[0], *writer.weights(node)],
        node.outputs,
        kernel_shape=[axis.kernel for axis in axes],
        strides=[axis.stride for axis in axes],
        dilations=[axis.dilation for axis in axes],
        pads=_pads(axes),
        group=node.params.group,
    )


def _pooling(writer: Writer, node: Node) -> None:
    params = node.params
    axes = pooling_axes(params, writer.graph.shape(node.inputs[0]))
    pads = _pads(axes)
    common = {
        "kernel_shape": [axis.kernel for axis in axes],
        "strides": [axis.stride for axis in axes],
        "pads": pads,
    }
    if any(end >= axis.kernel for axis, end in zip(axes, pads[len(axes) :], strict=True)):
        raise _refuse(node, "a window lies beyond its input")
    if params.method == "MAX" and len(node.outputs) == 1:
        writer.add("MaxPool", node.inputs, node.outputs, **common)
        return
    symmetric = all(pads[i + len(axes)] <= axis.pad for i, axis in enumerate(axes))
    if params.method != "AVE" or not symmetric:
        raise _refuse(node, "a mask, sampling, or an average over a window that overhangs")
    writer.add("AveragePool", node.inputs, node.outputs, count_include_pad=1, **common)


def _lrn(writer: Writer, node: Node) -> None:
    params = node.params
    if not params.across:
        raise _refuse(node, "ONNX normalises across channels only")
    writer.add(
        "LRN",
        node.inputs,
        node.outputs,
        size=params.local_size,
        alpha=params.alpha,
        beta=params.beta,
        bias=params.k,
    )


def _inner_product(writer: Writer, node: Node) -> None:
    params, shape = node.params, writer.graph.shape(node.inputs[0])
    if params.axis not in (1, 1 - len(shape)):
        raise _refuse(node, "its axis is not 1")
    flat = node.inputs[0]
    if len(shape) != 2:
        flat = writer.between(node, "flat")
        writer.add("Flatten", node.inputs, [flat], axis=1)
    writer.add(
        "Gemm", [flat, *writer.weights(node)], node.outputs, transB=0 if params.transpose else 1
    )


def _batch_norm(writer: Writer, node: Node) -> None:
    if not node.params.use_global_stats:
        raise _refuse(node, "it normalises by the batch")
    mean, variance, factor, *own = writer.arrays(node)
    scale = 0 if factor[0] == 0 else 1 / factor[0]
    factors, shifts = own or (np.ones_like(mean), np.zeros_like(mean))
    named = {"scale": factors, "shift": shifts, "mean": mean * scale, "variance": variance * scale}
    constants = [
        writer.constant(writer.between(node, k), np.asarray(v, np.float32))
        for k, v in named.items()
    ]
    writer.add(
        "BatchNormalization", [*node.inputs, *constants], node.outputs, epsilon=node.params.eps
    )


def _operand(writer: Writer, node: Node, array: Array, what: str) -> str:
    """An array that broadcasts over the input from the layer's axis on."""
    axes = len(writer.graph.shape(node.inputs[0]))
    start = node.params.axis % axes
    shape = (1,) * start + array.shape + (1,) * (axes - start - array.ndim)
    return writer.constant(writer.between(node, what), array.reshape(shape))


def _scale(writer: Writer, node: Node) -> None:
    if len(node.inputs) != 1:
        raise _refuse(node, "its factor is a bottom")
    factor, *bias = writer.arrays(node)
    scaled = writer.between(node, "scaled") if bias else node.outputs[0]
    writer.add("Mul", [node.inputs[0], _operand(writer, node, factor, "factor")], [scaled])
    if bias:
        writer.add("Add", [scaled, _operand(writer, node, bias[0], "bias")], node.outputs)


def _bias(writer: Writer, node: Node) -> None:
    if len(node.inputs) != 1:
        raise _refuse(node, "its summand is a bottom")
    (bias,) = writer.arrays(node)
    writer.add("Add", [node.inputs[0], _operand(writer, node, bias, "bias")], node.outputs)


def _eltwise(writer: Writer, node: Node) -> None:
    params, inputs = node.params, list(node.inputs)
    for index, factor in enumerate(params.coeff):
        if factor != 1:
            constant = writer.constant(writer.between(node, f"coeff{index}"), np.float32(factor))
            weighted = writer.between(node, f"weighted{index}")
            writer.add("Mul", [inputs[index], constant], [weighted])
            inputs[index] = weighted
    kinds = {"SUM": "Sum", "MAX": "Max"}
    if params.operation in kinds:
        writer.add(kinds[params.operation], inputs, node.outputs)
        return
    value = inputs[0]
    for index, other in enumerate(inputs[1:], 1):
        last = index == len(inputs) - 1
        result = node.outputs[0] if last else writer.between(node, f"product{index}")
        writer.add("Mul", [value, other], [result])
        value = result


def _relu(writer: Writer, node: Node) -> None:
    slope = node.params.negative_slope
    if slope:
        writer.add("LeakyRelu", node.inputs, node.outputs, alpha=slope)
    else:
        writer.add("Relu", node.inputs, node.outputs)


def _prelu(writer: Writer, node: Node) -> None:
    (slopes,) = writer.arrays(node)
    axes = len(writer.graph.shape(node.inputs[0]))
    constant = writer.constant(f"{node.name}/0", slopes.reshape(-1, *(1,) * (axes - 2)))
    writer.add("PRelu", [node.inputs[0], constant], node.outputs)


def _identity(writer: Writer, node: Node) -> None:
    for output in node.outputs:
        writer.add("Identity", node.inputs, [output])


def _dropout(writer: Writer, node: Node) -> None:
    if node.params.sample or node.params.scale != 1:
        raise _refuse(node, "it is in phase TRAIN")
    _identity(writer, node)


def _reshape(writer: Writer, node: Node) -> None:
    shape = np.array(writer.graph.shape(node.outputs[0]), np.int64)
    constant = writer.constant(writer.between(node, "shape"), shape)
    writer.add("Reshape", [node.inputs[0], constant], node.outputs)


def _along(kind: str) -> Rule:
    return lambda writer, node: writer.add(
        kind, node.inputs, node.outputs, axis=int(node.params.axis)
    )


def _plain(kind: str) -> Rule:
    return lambda writer, node: writer.add(kind, node.inputs, node.outputs)


RULES: Mapping[str, Rule] = {
    "AbsVal": _plain("Abs"),
    "BatchNorm": _batch_norm,
    "Bias": _bias,
    "Concat": _along("Concat"),
    "Convolution": _convolution,
    "Dropout": _dropout,
    "Eltwise": _eltwise,
    "Flatten": _reshape,
    "InnerProduct": _inner_product,
    "LRN": _lrn,
    "PReLU": _prelu,
    "Pooling": _pooling,
    "ReLU": _relu,
    "Reshape": _reshape,
    "Scale": _scale,
    "Sigmoid": _plain("Sigmoid"),
    "Softmax": _along("Softmax"),
    "Split": _identity,
    "TanH": _plain("Tanh"),
}
