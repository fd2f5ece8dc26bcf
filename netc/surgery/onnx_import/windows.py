"""Convolutions and poolings of ONNX, whose padding may differ from side to side."""

from __future__ import annotations

from typing import Any

import numpy as np

from netc.ir.types import Shape
from netc.ops.array import AnyArray
from netc.surgery.onnx_import.model import OnnxNode


def _alike(node: OnnxNode, pads: list[tuple[int, int]]) -> list[int]:
    """The padding of each axis, the same on both sides.

    Raises:
        NetcError: not-caffe.
    """
    before, after = ([pair[side] for pair in pads] for side in (0, 1))
    if before != after:
        node.refuse(f"it pads {before} before and {after} after, and Caffe alike")
    return before


def _pads(node: OnnxNode, kernel: Shape, strides: Shape, dilations: Shape) -> list[tuple[int, int]]:
    """The padding of each axis, before and after."""
    size = node.shape()[2:]
    number = len(kernel)
    how = node.attribute("auto_pad", "NOTSET")
    pads = list(node.attribute("pads", [0] * 2 * number))
    if how == "VALID":
        pads = [0] * 2 * number
    elif how in ("SAME_UPPER", "SAME_LOWER"):
        for at in range(number):
            extent = (kernel[at] - 1) * dilations[at] + 1
            whole = max((-(-size[at] // strides[at]) - 1) * strides[at] + extent - size[at], 0)
            pads[at], pads[at + number] = whole // 2, whole - whole // 2
    outer = node.building.pads.get(node.inputs[0])
    if outer is not None:
        pads = [own + more for own, more in zip(pads, outer, strict=True)]
    return [(int(pads[at]), int(pads[at + number])) for at in range(number)]


def _padded_kernel(
    node: OnnxNode, weight: AnyArray, strides: Shape, dilations: Shape
) -> tuple[list[int], AnyArray]:
    """The padding of a convolution, the same on both sides, and its weights for it.

    TensorFlow pads less before than after. With more before, windows begin earlier, and zeros in
    front of the kernel leave out what they see too much; with more after, zeros behind it do. Where
    no window reaches the padding after, any will do, and the kernel stays as it is.

    Raises:
        NetcError: not-caffe, where zeros would fall between the taps of a dilated kernel.
    """
    kernel = weight.shape[2:]
    found, zeros = [], [(0, 0), (0, 0)]
    for at, (before, after) in enumerate(_pads(node, kernel, strides, dilations)):
        size, step, extent = node.shape()[2 + at], strides[at], (kernel[at] - 1) * dilations[at]
        windows = {(size + before + pad - extent - 1) // step for pad in (before, after)}
        missing = 0 if before > after and len(windows) == 1 else abs(before - after)
        if missing % dilations[at]:
            node.refuse(f"it pads {before} before and {after} after with a dilation")
        taps = missing // dilations[at]
        zeros.append((taps, 0) if after > before else (0, taps))
        found.append(max(before, after))
    return found, np.pad(weight, zeros)


def convolution(node: OnnxNode) -> None:
    """Conv and ConvTranspose by constant weights."""
    weight = node.constant(1, "weight")
    deconvolution = node.op == "ConvTranspose"
    number = weight.ndim - 2
    strides = tuple(node.attribute("strides", (1,) * number))
    dilations = tuple(node.attribute("dilations", (1,) * number))
    if deconvolution and (
        any(node.attribute("output_padding", ())) or node.attribute("output_shape")
    ):
        node.refuse("it has an output padding or shape of its own")
    group = int(node.attribute("group", 1))
    bias = node.constant(2, "bias") if len(node.inputs) > 2 else None
    if deconvolution:
        pads = _alike(node, _pads(node, weight.shape[2:], strides, dilations))
    else:
        pads, weight = _padded_kernel(node, weight, strides, dilations)
    param: dict[str, object] = {
        "num_output": int(weight.shape[1] * group if deconvolution else weight.shape[0]),
        "bias_term": None if bias is not None else False,
        "pad": _each(pads, 0),
        "kernel_size": _each(weight.shape[2:], None),
        "group": None if group == 1 else group,
        "stride": _each(strides, 1),
        "dilation": _each(dilations, 1),
    }
    value = node.inputs[0]
    if value not in node.building.blobs:
        node.refuse(f"its input `{value}` is a constant")
    arrays = [weight] if bias is None else [weight, bias]
    kind = "Deconvolution" if deconvolution else "Convolution"
    bottoms = [node.building.blobs[value]]
    node.add(kind, bottoms, arrays=arrays, convolution_param=param)


def _each(values: Any, usual: int | None) -> list[int] | None:
    """One number for all axes where they are alike, none where it is the usual one."""
    numbers = [int(value) for value in values]
    if len(set(numbers)) == 1:
        return None if numbers[0] == usual else numbers[:1]
    return numbers


def pooling(node: OnnxNode) -> None:
    """MaxPool and AveragePool, where Caffe's windows are the same."""
    kernel = tuple(node.attribute("kernel_shape", ()))
    if len(kernel) != 2 or len(node.proto.output) > 1:
        node.refuse("it pools no two axes, or gives a mask")
    strides = tuple(node.attribute("strides", (1, 1)))
    if set(node.attribute("dilations", (1,))) != {1}:
        node.refuse("its window has holes")
    average = node.op == "AveragePool"
    given = _pads(node, kernel, strides, (1, 1))
    # A window's maximum knows no padding: what counts is where windows begin, and how many.
    pads = _alike(node, given) if average else [before for before, _ in given]
    if average and any(pads) and not node.attribute("count_include_pad", 0):
        node.refuse("its averages leave the padding out, and Caffe's count it")
    size, made = node.shape()[2:], node.made()[2:]
    ceil = tuple(_pooled(*each) for each in zip(size, kernel, strides, pads, strict=True))
    floor = tuple(
        (n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, strides, pads, strict=True)
    )
    if made not in (ceil, floor):
        node.refuse(f"it gives {made} of {size}, and Caffe's windows {ceil} or {floor}")
    param: dict[str, object] = {"pool": "AVE" if average else "MAX"}
    for name, values in (("kernel", kernel), ("stride", strides), ("pad", pads)):
        param.update(_hw(name, tuple(map(int, values))))
    if ceil != made:
        param["round_mode"] = "FLOOR"
    node.add("Pooling", [node.bottom()], pooling_param=param)


def _hw(name: str, values: tuple[int, ...]) -> dict[str, int]:
    usual = {"stride": 1, "pad": 0}.get(name)
    if values[0] == values[1]:
        key = "kernel_size" if name == "kernel" else name
        return {} if values[0] == usual else {key: values[0]}
    return {f"{name}_h": values[0], f"{name}_w": values[1]}


def _pooled(size: int, kernel: int, stride: int, pad: int) -> int:
    """How many windows Caffe has, rounding up (pooling_layer.cpp)."""
    number = -(-(size + 2 * pad - kernel) // stride) + 1
    return number - 1 if pad and (number - 1) * stride >= size + pad else number


def reduce_mean(node: OnnxNode) -> None:
    """The mean of height and width."""
    shape = node.shape()
    axes = node.optional(1) if len(node.inputs) > 1 else node.attribute("axes")
    if axes is None or sorted(int(a) % len(shape) for a in axes) != [2, 3] or len(shape) != 4:
        node.refuse("it takes the mean of other axes than height and width")
    param = {"pool": "AVE", "global_pooling": True}
    if node.attribute("keepdims", 1):
        node.add("Pooling", [node.bottom()], pooling_param=param)
        return
    pooled = node.inner("Pooling", [node.bottom()], "pool", pooling_param=param)
    node.add("Flatten", [pooled])
