"""Nodes of ONNX that move values: joining, cutting, shapes, padding, resizing."""

from __future__ import annotations

from typing import Any

import numpy as np

from netc.surgery.onnx_import.model import OnnxNode


def concat(node: OnnxNode) -> None:
    """Values side by side along an axis."""
    axis = int(node.attribute("axis")) % len(node.shape())
    blobs = [node.bottom(at) for at in range(len(node.inputs))]
    node.add("Concat", blobs, concat_param=None if axis == 1 else {"axis": axis})


def split(node: OnnxNode) -> None:
    """A value in parts along an axis."""
    axis = int(node.attribute("axis", 0)) % len(node.shape())
    outputs = [str(name) for name in node.proto.output]
    sizes = [node.made(at)[axis] for at in range(len(outputs))]
    points = [int(point) for point in np.cumsum(sizes)[:-1]]
    _cut(node, outputs, axis, points)


def _cut(node: OnnxNode, tops: list[str], axis: int, points: list[int]) -> None:
    param: dict[str, Any] = {"slice_point": points or None}
    param["axis"] = None if axis == 1 else axis
    node.add("Slice", [node.bottom()], tops, slice_param=param)


def cut_out(node: OnnxNode) -> None:
    """Slice: a run of one axis, what is left of it swallowed."""
    shape = node.shape()
    if node.opset >= 10:
        starts, ends = node.constant(1, "start"), node.constant(2, "end")
        given = [*node.inputs, "", ""]
        axes = node.constant(3, "axes") if given[3] else range(len(starts))
        steps = node.constant(4, "steps") if given[4] else [1] * len(starts)
    else:
        starts, ends = node.attribute("starts"), node.attribute("ends")
        axes, steps = node.attribute("axes", range(len(starts))), [1] * len(starts)
    if len(starts) != 1 or int(steps[0]) != 1:
        node.refuse("it cuts several axes, or in steps")
    axis = int(axes[0]) % len(shape)
    start, end, _ = slice(int(starts[0]), int(ends[0])).indices(shape[axis])
    tops, points, rest = [node.output], [], []
    if start > 0:
        rest.append(f"{node.output}_before")
        tops.insert(0, rest[-1])
        points.append(start)
    if end < shape[axis]:
        rest.append(f"{node.output}_after")
        tops.append(rest[-1])
        points.append(end)
    if not rest:
        node.same()
        return
    _cut(node, tops, axis, points)
    node.add("Silence", rest, [], name=f"{node.output}_silence")


# Shapes


def reshape(node: OnnxNode) -> None:
    """Reshape, Squeeze, Unsqueeze and Flatten: what is known of the shape is written."""
    old, new = node.shape(), node.made()
    if node.op == "Flatten" and int(node.attribute("axis", 1)) == 1:
        node.add("Flatten", [node.bottom()])
        return
    dims = list(new)
    if old and new and old[0] == new[0]:
        dims[0] = 0
        if len(new) == 2:
            node.add("Flatten", [node.bottom()])
            return
    node.add("Reshape", [node.bottom()], reshape_param={"shape": {"dim": dims}})


def transpose(node: OnnxNode) -> None:
    """The axes in another order."""
    axes = len(node.shape())
    order = [int(axis) for axis in node.attribute("perm", range(axes)[::-1])]
    node.add("Permute", [node.bottom()], permute_param={"order": order})


def pad(node: OnnxNode) -> None:
    """Zeros around an image, kept for the convolution that reads it."""
    mode = node.attribute("mode", "constant")
    pads = node.attribute("pads") if node.opset < 11 else node.constant(1, "padding")
    value = node.attribute("value", 0.0) if node.opset < 11 else node.optional(2)
    fill = 0.0 if value is None else float(np.asarray(value).reshape(-1)[0])
    numbers, axes = [int(pad) for pad in pads], len(node.shape())
    begin, end = numbers[:axes], numbers[axes:]
    if not any(numbers):
        node.same()
        return
    if mode != "constant" or fill or any(begin[:2] + end[:2]) or len(numbers) != 2 * axes:
        node.refuse("it pads by other than zeros around height and width")
    node.building.blobs[node.output] = node.bottom()
    node.building.pads[node.output] = (*begin[2:], *end[2:])


def resize(node: OnnxNode) -> None:
    """Pixels repeated, or interpolated with aligned corners."""
    old, new = node.shape(), node.made()
    mode = node.attribute("mode", "nearest")
    if len(old) != 4 or old[:2] != new[:2]:
        node.refuse("it resizes other axes than height and width")
    if mode == "nearest" and all(n % o == 0 for o, n in zip(old, new, strict=True)):
        _enlarge(node, new[2] // old[2], new[3] // old[3], old[1])
        return
    corners = node.attribute("coordinate_transformation_mode", "half_pixel") == "align_corners"
    if mode != "linear" or not corners:
        node.refuse(
            "Caffe repeats pixels a whole number of times, or interpolates with aligned corners"
        )
    node.add("Interp", [node.bottom()], interp_param={"height": new[2], "width": new[3]})


def _enlarge(node: OnnxNode, rows: int, columns: int, channels: int) -> None:
    """Each pixel repeated: a deconvolution of ones, which every Caffe has."""
    param: dict[str, Any] = {"num_output": channels, "group": channels, "bias_term": False}
    for name, (high, wide) in (("kernel", (rows, columns)), ("stride", (rows, columns))):
        param[f"{name}_h"], param[f"{name}_w"] = high, wide
    ones = np.ones((channels, 1, rows, columns), np.float32)
    node.add("Deconvolution", [node.bottom()], arrays=[ones], convolution_param=param)


def same(node: OnnxNode) -> None:
    """The input as it is."""
    node.same()
