"""Layers of optical flow: Correlation, FlowWarp and Resample of FlowNet 2 (Ilg et al. 2017).

correlation_layer.cu, flow_warp_layer.cu and resample_layer.cu of lmb-freiburg/flownet2, and their
CPU forms in synopsys-caffe. FlowNet 2's mistake in Resample is kept: where height and width shrink
by different factors, x is moved by half of y's factor and y by half of x's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.cost import per_output
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.detection.region_bins import rounded
from netc.ops.fields import bad_value, fork_field, reject_unknown_fields
from netc.ops.numbers import number, one_of, required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class CorrelationParams:
    """Correlation of two maps: patches of the first with displaced patches of the second.

    Args:
        pad: zeros around both maps.
        kernel: side of a patch, odd.
        reach: largest displacement, in elements (``max_displacement``).
        stride: from one patch to the next (``stride_1``).
        step: from one displacement to the next (``stride_2``); each is a channel of the top.
        subtract: absolute differences are averaged, in place of products.
    """

    pad: int
    kernel: int
    reach: int
    stride: int
    step: int
    subtract: bool


def _parse_correlation(layer: Message, context: LayerContext) -> CorrelationParams:
    names = ("pad", "kernel_size", "max_displacement", "stride_1", "stride_2", "correlation_type",
             "do_abs")  # fmt: skip
    p = reject_unknown_fields(layer.get("correlation_param"), *names)
    kernel = required_number(p, "kernel_size")
    if kernel % 2 == 0:
        raise bad_value(p, "kernel_size", "must be odd")
    return CorrelationParams(
        p.get("pad"),
        kernel,
        number(p, "max_displacement", 0),
        number(p, "stride_1", 1),
        number(p, "stride_2", 1),
        one_of(p, "correlation_type", ("MULTIPLY", "SUBTRACT")) == "SUBTRACT",
    )


def _correlation_shape(params: CorrelationParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    first, second = inputs
    if len(first) != 4 or first != second:
        raise ShapeError(
            f"both bottoms must be maps of one shape: {show(first)} and {show(second)}"
        )
    border = 2 * (params.reach + (params.kernel - 1) // 2 - params.pad)
    sizes = [math.ceil((size - border) / params.stride) for size in first[2:]]
    if min(sizes) < 1:
        raise ShapeError(
            f"{show(first)} with `pad` {params.pad} has no room for displacements of "
            f"{params.reach} and a kernel of {params.kernel}",
            "correlation_param.max_displacement",
        )
    return ((first[0], (2 * (params.reach // params.step) + 1) ** 2, *sizes),)


def _correlate(params: CorrelationParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The mean of products, or of absolute differences, over each patch and all channels."""
    shape = _correlation_shape(params, [a.shape for a in inputs])[0]
    pad = ((0, 0), (0, 0), (params.pad,) * 2, (params.pad,) * 2)
    one, two = (np.pad(np.asarray(array), pad) for array in inputs)
    top = np.zeros(shape, one.dtype)
    for channel, here, there in correlated_places(params, shape):
        left, right = one[here], two[there]
        both = np.abs(left - right) if params.subtract else left * right
        top[:, channel] += both.sum(axis=1)
    return (top / one.dtype.type(params.kernel**2 * one.shape[1]),)


Places = tuple[Any, ...]


def correlated_places(
    params: CorrelationParams, shape: Shape
) -> Iterator[tuple[int, Places, Places]]:
    """Of each channel of the top and element of a patch: the indices into both padded maps.

    Args:
        params: the layer's parameters.
        shape: the top's, (num, channels, height, width).

    Yields:
        The channel, and what of the first and of the second map is compared.
    """
    side = params.reach // params.step
    for channel in range(shape[1]):
        down, across = divmod(channel, 2 * side + 1)
        move = (down - side) * params.step, (across - side) * params.step
        for j, i in np.ndindex(params.kernel, params.kernel):
            here, there = (j, i), (j + move[0], i + move[1])
            yield channel, _places(params, shape, here), _places(params, shape, there)


def _places(params: CorrelationParams, shape: Shape, at: tuple[int, int]) -> Places:
    """The elements of a padded map that the outputs meet, moved by some rows and columns."""
    rows, columns = (
        params.reach + move + params.stride * np.arange(size)
        for move, size in zip(at, shape[2:], strict=True)
    )
    return slice(None), slice(None), rows[:, None], columns


CORRELATION = OpDef(
    name="Correlation",
    arity=Arity((2, 2), (1, 1)),
    params=_parse_correlation,
    shape=_correlation_shape,
    cost=per_output(2),
    window=full_extent,
    memory=copies(12),
    reference=_correlate,
    family="pooling",
    host=True,
)


@dataclass(frozen=True, slots=True)
class FlowWarpParams:
    """``outside``: what a place takes that points outside of the map, 0 or NaN."""

    outside: float


def _parse_warp(layer: Message, context: LayerContext) -> FlowWarpParams:
    param = reject_unknown_fields(layer.get("flow_warp_param"), "fill_value")
    zero = fork_field(param, "fill_value", "ZERO") == "ZERO"
    return FlowWarpParams(0.0 if zero else math.nan)


def warp_shape(params: object, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """The first bottom's shape; the second one has two numbers for each of its pixels.

    Raises:
        ShapeError: it has not.
    """
    data, flow = inputs
    if len(data) != 4 or flow != (data[0], 2, *data[2:]):
        raise ShapeError(
            f"the flow of {show(data)} must have 2 channels of its places, it is {show(flow)}"
        )
    return (data,)


def sampled_places(flow: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray]:
    """The columns and rows that each place reads, and whether they lie inside of the map.

    Args:
        flow: (num, 2, height, width): how far to the right and down, in elements.

    Returns:
        Three arrays (num, height, width); columns and rows are 0 where the place is outside.
    """
    high, wide = flow.shape[2:]
    across, down = np.meshgrid(np.arange(wide), np.arange(high))
    x, y = flow[:, 0] + across, flow[:, 1] + down
    inside = (x >= 0) & (y >= 0) & (x < wide) & (y < high)
    return np.where(inside, x, 0), np.where(inside, y, 0), inside


def _warp(params: FlowWarpParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Each place takes the value, between four, at itself plus its flow."""
    data, flow = (np.asarray(array) for array in inputs)
    high, wide = data.shape[2:]
    x, y, inside = sampled_places(flow)
    left, top = x.astype(np.int64), y.astype(np.int64)
    right, bottom = np.minimum(left + 1, wide - 1), np.minimum(top + 1, high - 1)
    a, b = (x - left)[:, None], (y - top)[:, None]
    image = np.arange(len(data))[:, None, None]

    def at(rows: AnyArray, columns: AnyArray) -> AnyArray:
        return data[image, :, rows, columns].transpose(0, 3, 1, 2)

    upper = (1 - a) * at(top, left) + a * at(top, right)
    lower = (1 - a) * at(bottom, left) + a * at(bottom, right)
    values = (1 - b) * upper + b * lower
    return (np.where(inside[:, None], values, params.outside).astype(data.dtype),)


FLOW_WARP = OpDef(
    name="FlowWarp",
    arity=Arity((2, 2), (1, 1)),
    params=_parse_warp,
    shape=warp_shape,
    cost=per_output(8),
    window=full_extent,
    memory=copies(12),
    reference=_warp,
    family="pooling",
    host=True,
)


@dataclass(frozen=True, slots=True)
class ResampleParams:
    """Resizing of height and width (resample_layer.cu).

    Args:
        size: the top's height and width; None for those of the second bottom.
        kind: "NEAREST", "LINEAR" or "CUBIC".
        antialias: widen the filter where the blob shrinks.
    """

    size: tuple[int, int] | None
    kind: str
    antialias: bool


def _parse_resample(layer: Message, context: LayerContext) -> ResampleParams:
    p = reject_unknown_fields(layer.get("resample_param"), "width", "height", "type", "antialias")
    size = None
    if context.bottoms == 1:
        size = (required_number(p, "height"), required_number(p, "width"))
    kind = one_of(p, "type", ("NEAREST", "LINEAR", "CUBIC"))
    return ResampleParams(size, kind, p.get("antialias"))


def _resample_shape(params: ResampleParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    for shape in inputs:
        if len(shape) != 4:
            raise ShapeError(f"Resample takes 4 axes, and a bottom is {show(shape)}")
    return ((*inputs[0][:2], *(params.size or inputs[-1][2:])),)


def _resample(params: ResampleParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    x = np.asarray(inputs[0])
    shape = _resample_shape(params, [array.shape for array in inputs])[0]
    factors = [np.float32(a) / np.float32(b) for a, b in zip(x.shape[2:], shape[2:], strict=True)]
    at = [  # each axis is moved by half of the other's factor
        np.arange(made, dtype=np.float32) * own + other / 2 - np.float32(0.5)
        for made, own, other in zip(shape[2:], factors, factors[::-1], strict=True)
    ]
    if params.kind == "NEAREST":
        rows, columns = (
            rounded(place).clip(0, size - 1).astype(np.int64)
            for place, size in zip(at, x.shape[2:], strict=True)
        )
        return (np.ascontiguousarray(x[:, :, rows[:, None], columns]),)
    wider = bool(params.antialias and max(factors) > 1)
    down, across = (
        _filter(params.kind, place, size, factor, wider)
        for place, size, factor in zip(at, x.shape[2:], factors, strict=True)
    )
    return (np.einsum("ih,nchw,jw->ncij", down, x, across).astype(np.float32),)


def _filter(kind: str, at: AnyArray, size: int, factor: np.float32, wider: bool) -> AnyArray:
    """Each output's share of each of the ``size`` inputs of an axis, summing to 1."""
    scale = 1 / factor if wider else np.float32(1)
    reach = 2 if factor < 1 else math.ceil((4 if kind == "CUBIC" else 2) / scale)
    place = np.arange(size, dtype=np.float32)
    near = np.abs(place - rounded(at)[:, None]) <= reach
    distance = np.abs(scale * (at[:, None] - place))
    share = np.where(near, _cubic(distance) if kind == "CUBIC" else np.maximum(1 - distance, 0), 0)
    total = share.sum(axis=1, keepdims=True)
    return np.where(total != 0, share / np.where(total != 0, total, 1), 0)


def _cubic(x: AnyArray) -> AnyArray:
    """The cubic convolution kernel with a = -0.5 (Keys 1981)."""
    close = x * x * (1.5 * x - 2.5) + 1
    far = x * (x * (-0.5 * x + 2.5) - 4) + 2
    return np.where(x <= 1, close, np.where(x < 2, far, 0))


RESAMPLE = OpDef(
    name="Resample",
    arity=Arity((1, 2), (1, 1)),
    params=_parse_resample,
    shape=_resample_shape,
    cost=per_output(16),
    window=full_extent,
    memory=copies(12),
    reference=_resample,
    reads=1,
    family="pooling",
    host=True,
)

OPS = (CORRELATION, FLOW_WARP, RESAMPLE)
