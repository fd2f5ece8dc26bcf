"""What each node of ONNX becomes, or why it cannot be said in Caffe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import netc.surgery.onnx_import.moves as moves
import netc.surgery.onnx_import.windows as windows
from netc.ir.types import Shape, count
from netc.surgery.onnx_import.model import OnnxNode

Rule = Callable[[OnnxNode], None]


def plain(kind: str, **fields: Any) -> Rule:
    """The rule of an operator that becomes one layer ``kind`` with one bottom and no arrays."""

    def rule(node: OnnxNode) -> None:
        node.add(kind, [node.bottom()], **fields)

    return rule


# Products of vectors


def _gemm(node: OnnxNode) -> None:
    if node.attribute("transA", 0) or len(node.shape()) != 2:
        node.refuse("its first matrix is transposed")
    weight = node.constant(1, "matrix") * np.float32(node.attribute("alpha", 1.0))
    weight = weight if node.attribute("transB", 0) else weight.T
    bias = node.constant(2, "summand") if len(node.inputs) > 2 else None
    arrays = [np.ascontiguousarray(weight)]
    if bias is not None:
        row = bias.reshape(-1) * np.float32(node.attribute("beta", 1.0))
        if row.size not in (1, len(weight)):
            node.refuse("its summand is not one number for each output")
        arrays.append(np.broadcast_to(row, (len(weight),)))
    param = {"num_output": len(weight), "bias_term": None if bias is not None else False}
    node.add("InnerProduct", [node.bottom()], arrays=arrays, inner_product_param=param)


def _matmul(node: OnnxNode) -> None:
    weight = node.constant(1, "matrix")
    if weight.ndim != 2:
        node.refuse("its second matrix is more than one")
    axis = len(node.shape()) - 1
    param: dict[str, Any] = {"num_output": int(weight.shape[1]), "bias_term": False}
    param["axis"] = None if axis == 1 else axis
    arrays = [np.ascontiguousarray(weight.T)]
    node.add("InnerProduct", [node.bottom()], arrays=arrays, inner_product_param=param)


# Functions of one element


def _leaky(node: OnnxNode) -> None:
    slope = float(node.attribute("alpha", 0.01))
    node.add("ReLU", [node.bottom()], relu_param={"negative_slope": slope})


def _prelu(node: OnnxNode) -> None:
    slope, channels = node.constant(1, "slope"), node.shape()[1]
    if slope.size not in (1, channels) or (
        slope.ndim > 1 and slope.shape[-1] != 1 and slope.size > 1
    ):
        node.refuse("its slopes are not one for each channel")
    param = {"channel_shared": True} if slope.size == 1 < channels else None
    node.add("PReLU", [node.bottom()], arrays=[slope.reshape(-1)], prelu_param=param)


def _elu(node: OnnxNode) -> None:
    node.add("ELU", [node.bottom()], elu_param={"alpha": float(node.attribute("alpha", 1.0))})


def _clip(node: OnnxNode) -> None:
    low = node.attribute("min") if node.attribute("min") is not None else node.optional(1)
    high = node.attribute("max") if node.attribute("max") is not None else node.optional(2)
    if low is None or high is None:
        node.refuse("it has one bound alone")
    minimum, maximum = float(np.asarray(low).reshape(-1)[0]), float(np.asarray(high).reshape(-1)[0])
    if (minimum, maximum) == (0.0, 6.0):
        node.add("ReLU6", [node.bottom()])
        return
    node.add("Clip", [node.bottom()], clip_param={"min": minimum, "max": maximum})


def _pow(node: OnnxNode) -> None:
    power = np.asarray(node.constant(1, "exponent")).reshape(-1)
    if power.size != 1:
        node.refuse("its exponents are several")
    node.add("Power", [node.bottom()], power_param={"power": float(power[0])})


def _softmax(node: OnnxNode) -> None:
    shape = node.shape()
    axis = int(node.attribute("axis", -1 if node.opset >= 13 else 1)) % len(shape)
    if node.opset < 13 and count(shape[axis + 1 :]) != 1:
        node.refuse("before opset 13 it is of all axes from one on")
    if node.op == "LogSoftmax":
        blob = node.inner("Softmax", [node.bottom()], "softmax", softmax_param={"axis": axis})
        node.add("Log", [blob])
        return
    param = None if axis == 1 else {"axis": axis}
    node.add("Softmax", [node.bottom()], softmax_param=param)


# Normalisation


def _batch_norm(node: OnnxNode) -> None:
    if node.attribute("training_mode", 0):
        node.refuse("it normalises by the batch's own statistics")
    names = ("scale", "shift", "mean", "variance")
    scale, shift, mean, variance = (node.constant(at, n) for at, n in enumerate(names, 1))
    eps = {"eps": float(node.attribute("epsilon", 1e-5))}
    arrays = [mean, variance, np.ones(1, np.float32)]
    normal = node.inner("BatchNorm", [node.bottom()], "bn", arrays=arrays, batch_norm_param=eps)
    node.add("Scale", [normal], arrays=[scale, shift], scale_param={"bias_term": True})


def _lrn(node: OnnxNode) -> None:
    param = {
        "local_size": int(node.attribute("size")),
        "alpha": float(node.attribute("alpha", 1e-4)),
        "beta": float(node.attribute("beta", 0.75)),
        "k": float(node.attribute("bias", 1.0)),
    }
    node.add("LRN", [node.bottom()], lrn_param=param)


def _dropout(node: OnnxNode) -> None:
    ratio = node.optional(1) if node.opset >= 12 else node.attribute("ratio", 0.5)
    ratio = 0.5 if ratio is None else float(np.asarray(ratio).reshape(-1)[0])
    node.add("Dropout", [node.bottom()], [node.output], dropout_param={"dropout_ratio": ratio})


# Two values, or a value and a constant


def _arithmetic(node: OnnxNode) -> None:
    """Add, Sub, Mul, Div of two values or of a value and a constant."""
    if node.is_constant(0) or node.is_constant(1):
        _with_constant(node)
        return
    shapes = node.shape(0), node.shape(1)
    blobs = [node.bottom(0), node.bottom(1)]
    if node.op == "Div":
        inverse = node.inner("Power", blobs[1:], "inverse", power_param={"power": -1.0})
        blobs[1] = inverse
    if shapes[0] == shapes[1]:
        param: dict[str, Any] = {"operation": "SUM" if node.op in ("Add", "Sub") else "PROD"}
        if node.op == "Sub":
            param["coeff"] = [1.0, -1.0]
        node.add("Eltwise", blobs, eltwise_param=param)
        return
    _broadcast(node, shapes, blobs)


def _broadcast(node: OnnxNode, shapes: tuple[Shape, Shape], blobs: list[str]) -> None:
    """A map times or plus one number for each of its channels, as squeeze-and-excitation has."""
    if node.op == "Mul" and count(shapes[0]) < count(shapes[1]):
        shapes, blobs = shapes[::-1], blobs[::-1]
    whole, small = shapes
    if node.op not in ("Mul", "Div", "Add") or small != whole[:2] + (1,) * (len(whole) - 2):
        node.refuse(f"it stretches {small} over {whole}")
    flat = node.inner("Flatten", blobs[1:], "flat")
    if node.op == "Add":
        node.add("Bias", [blobs[0], flat], bias_param={"axis": 0})
    else:
        node.add("Scale", [blobs[0], flat], scale_param={"axis": 0})


def _with_constant(node: OnnxNode) -> None:
    first = node.is_constant(0)
    number = np.asarray(node.constant(0 if first else 1, "operand"), np.float64)
    value = node.bottom(1 if first else 0)
    shape = node.shape(1 if first else 0)
    if first and node.op == "Div":
        if number.size != 1:
            node.refuse("it divides constants by a value")
        inverse = node.inner("Power", [value], "inverse", power_param={"power": -1.0})
        node.add("Power", [inverse], power_param={"scale": float(number.reshape(-1)[0])})
        return
    scale, shift = _map(node.op, first, number)
    if number.size == 1:
        arrays = {"scale": scale.reshape(-1)[0], "shift": shift.reshape(-1)[0]}
        param = {
            n: float(v) for n, v in arrays.items() if float(v) != (1.0 if n == "scale" else 0.0)
        }
        node.add("Power", [value], power_param=param or None)
        return
    _per_channel(node, value, shape, scale, shift)


def _map(op: str, first: bool, number: Any) -> tuple[Any, Any]:
    """The factor and the summand that a node with a constant is."""
    one, zero = np.ones_like(number), np.zeros_like(number)
    if op == "Add":
        return one, number
    if op == "Sub":
        return (-one, number) if first else (one, -number)
    return (number if op == "Mul" else 1 / number), zero


def _per_channel(node: OnnxNode, value: str, shape: Shape, scale: Any, shift: Any) -> None:
    full = (1,) * (len(shape) - scale.ndim) + scale.shape
    wide = [axis for axis, size in enumerate(full) if size != 1]
    if len(wide) != 1 or full[wide[0]] != shape[wide[0]]:
        node.refuse(f"its constant of {scale.shape} is not one number along one axis of {shape}")
    axis = {"axis": wide[0]} if wide[0] != 1 else {}
    if node.op in ("Add", "Sub") and (scale == 1).all():
        node.add("Bias", [value], arrays=[shift.reshape(-1)], bias_param=axis or None)
        return
    arrays, param = [scale.reshape(-1)], dict(axis)
    if (shift != 0).any():
        arrays.append(shift.reshape(-1))
        param["bias_term"] = True
    node.add("Scale", [value], arrays=arrays, scale_param=param or None)


def _several(operation: str) -> Rule:
    """Sum and Max of values of one shape."""

    def rule(node: OnnxNode) -> None:
        shapes = {node.shape(at) for at in range(len(node.inputs))}
        blobs = [node.bottom(at) for at in range(len(node.inputs))]
        if len(shapes) != 1:
            node.refuse("its inputs differ in shape")
        if len(blobs) == 1:
            node.same()
            return
        node.add("Eltwise", blobs, eltwise_param={"operation": operation})

    return rule


def _global(method: str) -> Rule:
    return plain("Pooling", pooling_param={"pool": method, "global_pooling": True})


RULES: Mapping[str, Rule] = {
    "Abs": plain("AbsVal"),
    "Add": _arithmetic,
    "AveragePool": windows.pooling,
    "BatchNormalization": _batch_norm,
    "Cast": moves.same,
    "Clip": _clip,
    "Concat": moves.concat,
    "Conv": windows.convolution,
    "ConvTranspose": windows.convolution,
    "Div": _arithmetic,
    "Dropout": _dropout,
    "Elu": _elu,
    "Exp": plain("Exp"),
    "Flatten": moves.reshape,
    "Gemm": _gemm,
    "GlobalAveragePool": _global("AVE"),
    "GlobalMaxPool": _global("MAX"),
    "Identity": moves.same,
    "LRN": _lrn,
    "LeakyRelu": _leaky,
    "Log": plain("Log"),
    "LogSoftmax": _softmax,
    "MatMul": _matmul,
    "Max": _several("MAX"),
    "MaxPool": windows.pooling,
    "Mul": _arithmetic,
    "Neg": plain("Power", power_param={"scale": -1.0}),
    "PRelu": _prelu,
    "Pad": moves.pad,
    "Pow": _pow,
    "ReduceMean": windows.reduce_mean,
    "Relu": plain("ReLU"),
    "Reshape": moves.reshape,
    "Resize": moves.resize,
    "Sigmoid": plain("Sigmoid"),
    "Slice": moves.cut_out,
    "Softmax": _softmax,
    "Softplus": plain("BNLL"),
    "Split": moves.split,
    "Sqrt": plain("Power", power_param={"power": 0.5}),
    "Squeeze": moves.reshape,
    "Sub": _arithmetic,
    "Sum": _several("SUM"),
    "Tanh": plain("TanH"),
    "Transpose": moves.transpose,
    "Unsqueeze": moves.reshape,
    "Upsample": moves.resize,
}
