"""Rules of layers that sum up windows: Pooling, SPP, LpPooling and LRN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from netc.export.onnx.products import pads
from netc.export.onnx.writer import LayerExport, Rule
from netc.ops.array import AnyArray
from netc.ops.forks.lp_pooling import LpPoolingParams
from netc.ops.lrn import LRNParams, lrn_axes
from netc.ops.pooling import PoolingParams, pooling_axes
from netc.ops.spp import SPPParams, pyramid
from netc.ops.window import Axis

_LOWEST = float(np.finfo(np.float32).min)  # what Caffe's largest of nothing is


def _slid(axes: Sequence[Axis]) -> dict[str, Any]:
    return {
        "kernel_shape": [axis.kernel for axis in axes],
        "strides": [axis.stride for axis in axes],
        "pads": pads(axes),
    }


def _within(axis: Axis) -> Axis:
    """The axis without windows that lie wholly beyond its input, which ONNX's pooling lacks."""
    return axis._replace(out=min(axis.out, -(-(axis.size + axis.pad) // axis.stride)))


def _slide(
    layer: LayerExport,
    kind: str,
    value: str,
    axes: Sequence[Axis],
    filling: float,
    **attributes: object,
) -> str:
    """A pooling node; windows beyond the input give ``filling``."""
    inside = [_within(axis) for axis in axes]
    pooled = layer.op(kind, value, **_slid(inside), **attributes)
    beyond = [axis.out - seen.out for axis, seen in zip(axes, inside, strict=True)]
    if not any(beyond):
        return pooled
    around = layer.whole("beyond", [0, 0, 0, 0, 0, 0, *beyond])
    return layer.op("Pad", pooled, around, layer.constant("filling", filling))


def _pooled(layer: LayerExport, params: PoolingParams, value: str) -> str:
    """A value pooled."""
    axes = pooling_axes(params, layer.shape())
    if params.method == "MAX":
        return _slide(layer, "MaxPool", value, axes, _LOWEST)
    if params.method == "AVE":
        return _average(layer, value, axes)
    if params.train:
        raise layer.refuse("it draws at random", "export phase TEST")
    return _expected(layer, value, axes)


def _average(layer: LayerExport, value: str, axes: Sequence[Axis]) -> str:
    """Averages, divided as Caffe does: by the window clipped to the padded input.

    ONNX divides by the whole window; a constant map of factors makes up for the difference.
    """
    means = _means(layer, value, axes)
    with np.errstate(all="ignore"):
        high, wide = (np.float32(axis.kernel) / _lengths(axis) for axis in axes)
        factors = high[:, None] * wide[None, :]
    if (factors == 1).all():
        return means
    return layer.op("Mul", means, layer.constant("factors", factors))


def _lengths(axis: Axis) -> AnyArray:
    """Elements of each window up to the end of the padding; what starts beyond has none or less."""
    starts = np.arange(axis.out, dtype=np.float32) * axis.stride - axis.pad
    return np.minimum(starts + axis.kernel, axis.size + axis.pad) - starts


def _means(layer: LayerExport, value: str, axes: Sequence[Axis]) -> str:
    """Each window's sum, divided by all of the window's elements."""
    return _slide(layer, "AveragePool", value, axes, 0, count_include_pad=1)


def _expected(layer: LayerExport, value: str, axes: Sequence[Axis]) -> str:
    """STOCHASTIC in TEST: each element weighted by itself, 0 where nothing is positive."""
    total = _means(layer, value, axes)
    squares = _means(layer, layer.op("Mul", value, value), axes)
    zero, one = layer.constant("zero", 0), layer.constant("one", 1)
    positive = layer.op("Greater", total, zero)
    ratio = layer.op("Div", squares, layer.op("Where", positive, total, one))
    return layer.op("Where", positive, ratio, zero)


def _pooling(layer: LayerExport) -> None:
    params = layer.params_as(PoolingParams)
    if params.mask:
        _with_mask(layer)
    elif params.window.whole and params.method != "STOCHASTIC":
        kind = "GlobalMaxPool" if params.method == "MAX" else "GlobalAveragePool"
        layer.give(kind, layer.x)
    else:
        _rename_last(layer, _pooled(layer, params, layer.x))


def _with_mask(layer: LayerExport) -> None:
    """The second top is where the largest stood in its plane; ONNX counts through all planes."""
    from onnx import TensorProto

    axes = pooling_axes(layer.params_as(PoolingParams), layer.shape())
    if [_within(axis) for axis in axes] != list(axes):
        raise layer.refuse("a window lies beyond its input, where the mask is -1")
    largest, where = layer.ops("MaxPool", 2, layer.x, **_slid(axes))
    layer.give("Identity", largest)
    plane = layer.whole("plane", axes[0].size * axes[1].size)
    layer.give("Cast", layer.op("Mod", where, plane), top=1, to=TensorProto.FLOAT)


def _rename_last(layer: LayerExport, value: str) -> None:
    """Let the node that was added last make the top itself."""
    _, last = layer.writer.nodes[-1]
    assert last.output[0] == value
    last.output[0] = layer.outputs[0]
    last.name = layer.node.name


def _spp(layer: LayerExport) -> None:
    levels = pyramid(layer.params_as(SPPParams), layer.shape())
    pooled = [_pooled(layer, params, layer.x) for params in levels]
    if len(pooled) == 1:
        _rename_last(layer, pooled[0])
    else:
        flat = [layer.op("Flatten", value, axis=1) for value in pooled]
        layer.give("Concat", *flat, axis=1)


def _lp_pooling(layer: LayerExport) -> None:
    """(sum of |x| ** p) ** (1 / p), the sum as a mean times the window's elements."""
    params = layer.params_as(LpPoolingParams)
    axes, p = pooling_axes(params.pooling, layer.shape()), params.p
    size = layer.constant("size", axes[0].kernel * axes[1].kernel)
    if p == 2:
        powers = layer.op("Mul", layer.x, layer.x)
        layer.give("Sqrt", layer.op("Mul", _means(layer, powers, axes), size))
        return
    powers = layer.op("Pow", layer.op("Abs", layer.x), layer.constant("p", p))
    total = layer.op("Mul", _means(layer, powers, axes), size)
    layer.give("Pow", total, layer.constant("root", 1 / p))


def _lrn(layer: LayerExport) -> None:
    params = layer.params_as(LRNParams)
    if params.across:
        layer.give(
            "LRN",
            layer.x,
            size=params.local_size,
            alpha=params.alpha,
            beta=params.beta,
            bias=params.k,
        )
        return
    means = _average(layer, layer.op("Mul", layer.x, layer.x), lrn_axes(params, layer.shape()))
    weighted = layer.op("Mul", means, layer.constant("alpha", params.alpha))
    base = layer.op("Add", weighted, layer.constant("one", 1))
    factor = layer.op("Pow", base, layer.constant("power", -params.beta))
    layer.give("Mul", layer.x, factor)


RULES: Mapping[str, Rule] = {
    "LRN": _lrn,
    "LpPooling": _lp_pooling,
    "Pooling": _pooling,
    "SPP": _spp,
}
