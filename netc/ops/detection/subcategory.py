"""FeatureExtrapolating and HeatmapGenerating of subcategory CNNs.

feature_extrapolating_layer.cpp and heatmap_generating_layer.cpp of SubCNN
(Xiang et al. 2017, arXiv:1604.04693). Images come at several scales, all padded to one size, the
scales of an image next to each other along the first axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input, per_output
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent, no_params
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class ExtrapolationParams:
    """``scales`` of the bottom, and into how many steps the range between two is split."""

    scales: tuple[float, ...]
    steps: int

    def made(self) -> list[tuple[int, float]]:
        """Of each scale of the top: which of the bottom's it is made of, and by which factor."""
        found = []
        for at in range((len(self.scales) - 1) * self.steps + 1):
            low, part = divmod(at, self.steps)
            scale = self.scales[low]
            if part:
                scale += part * ((self.scales[low + 1] - scale) / self.steps)
            nearest = math.floor(at / self.steps + 0.5)
            found.append((nearest, scale / self.scales[nearest]))
        return found


def _parse_extrapolation(layer: Message, context: LayerContext) -> ExtrapolationParams:
    p = reject_unknown_fields(
        layer.get("feature_extrapolating_param"), "scale_string", "num_scale_base", "num_per_octave"
    )
    number = required_number(p, "num_scale_base")
    words = p.get("scale_string").split()[:number]
    try:
        scales = tuple(float(word) for word in words)
    except ValueError:
        scales = ()
    if len(scales) < number or not all(0 < scale < math.inf for scale in scales):
        raise bad_value(p, "scale_string", f"must have {number} numbers above 0")
    return ExtrapolationParams(scales, required_number(p, "num_per_octave"))


def _extrapolated_shape(params: ExtrapolationParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, scales = inputs[0], len(params.scales)
    if len(data) != 4 or data[0] % scales:
        raise ShapeError(
            f"maps of {scales} scales of each image are needed, the bottom is {show(data)}",
            "feature_extrapolating_param.num_scale_base",
        )
    return ((data[0] // scales * len(params.made()), *data[1:]),)


def stretched(factor: float, size: int) -> AnyArray:
    """A row that is resized by a factor, as a matrix (size, size): element x is at x / factor.

    What lies beyond the end is 0.
    """
    at = np.arange(size) / factor
    low = np.floor(at).astype(np.int64)
    part = at - low
    shares = np.zeros((size, size))
    rows = np.arange(size)
    for element, share in ((low, 1 - part), (low + 1, part)):
        inside = (at < size) & (element < size)
        shares[rows[inside], element[inside]] += share[inside]
    return shares


def _extrapolate(
    params: ExtrapolationParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    x = np.asarray(inputs[0])
    scales = x.reshape(-1, len(params.scales), *x.shape[1:])
    tops = []
    for scale, factor in params.made():
        down, across = (stretched(factor, size).astype(x.dtype) for size in x.shape[2:])
        tops.append(down @ scales[:, scale] @ across.T)
    return (np.stack(tops, axis=1).reshape(-1, *x.shape[1:]),)


FEATURE_EXTRAPOLATING = OpDef(
    name="FeatureExtrapolating",
    arity=Arity((1, 1), (1, 1)),
    params=_parse_extrapolation,
    shape=_extrapolated_shape,
    cost=per_output(8),
    window=full_extent,
    memory=copies(4),
    reference=_extrapolate,
    family="pooling",
    host=True,
)


def _heatmap_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    if len(inputs[0]) != 4:
        raise ShapeError(f"maps of probabilities are needed, the bottom is {show(inputs[0])}")
    return ((inputs[0][0], 1, *inputs[0][2:]),)


def greatest_class(x: AnyArray) -> AnyArray:
    """The class of greatest probability but for class 0 at each place, (num, 1, height, width).

    0 where none is above -1.
    """
    others = np.asarray(x)[:, 1:]
    if not others.shape[1]:
        return np.zeros((len(x), 1, *x.shape[2:]), np.int64)
    best = others.argmax(axis=1)[:, None]
    above = np.take_along_axis(others, best, axis=1) > -1
    return np.where(above, best + 1, 0)


@quietly
def _heatmap(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    x = np.asarray(inputs[0])
    best = greatest_class(x)
    found = np.take_along_axis(x, best, axis=1)
    return (np.where(best > 0, found, x.dtype.type(-1)),)


HEATMAP_GENERATING = OpDef(
    name="HeatmapGenerating",
    arity=Arity((1, 1), (1, 1)),
    params=no_params,
    shape=_heatmap_shape,
    cost=per_input(1),
    memory=copies(4),
    reference=_heatmap,
    family="pooling",
    host=True,
)


OPS = (FEATURE_EXTRAPOLATING, HEATMAP_GENERATING)
