"""ROIPooling of time windows in a volume (roi_pooling_layer.cu of R-C3D, Xu et al. 2017).

A window is a row of image, first and last frame of the net's input. It takes the whole picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, Windows
from netc.ops.cost import per_output
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    TypeReading,
    copies,
    erased,
    full_extent,
)
from netc.ops.detection.region_bins import greatest, images_of, offset_bins, rounded
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import required_number
from netc.schema.message import Message

_SIDE = 7  # rows and columns of the picture, whatever the map has


@dataclass(frozen=True, slots=True)
class WindowPoolingParams:
    """The maximum of each of ``pooled_l`` by ``pooled_h`` by ``pooled_w`` bins of a window.

    The top is (windows, channels, pooled_l, pooled_h, pooled_w). ``temporal_scale`` is the bottom's
    steps for each frame of the net's input. Bins along rows and columns divide the first 7 of them.
    """

    pooled_l: int
    pooled_h: int
    pooled_w: int
    temporal_scale: float


def _parse(layer: Message, context: LayerContext) -> WindowPoolingParams:
    """``spatial_scale`` is read there and not used."""
    names = ("pooled_l", "pooled_h", "pooled_w", "spatial_scale", "temporal_scale")
    param = reject_unknown_fields(layer.get("roi_pooling_param"), *names)
    length, height, width = (required_number(param, name) for name in names[:3])
    return WindowPoolingParams(length, height, width, param.get("temporal_scale"))


def _shape(params: WindowPoolingParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, windows = inputs
    if len(data) != 5:
        raise ShapeError(f"with `pooled_l` the first bottom must have 5 axes, it is {show(data)}")
    if not windows or count(windows, 1) != 3:
        raise ShapeError(
            f"the windows must be rows of 3: image, first and last frame; there is {show(windows)}"
        )
    return ((windows[0], data[1], params.pooled_l, params.pooled_h, params.pooled_w),)


class WindowBins(NamedTuple):
    """The image of each window, and first and last + 1 step, row and column of its bins.

    ``images`` is (windows,), the others are (windows, bins), all integers.
    """

    images: AnyArray
    axes: tuple[tuple[AnyArray, AnyArray], ...]


@quietly
def window_bins(params: WindowPoolingParams, shape: Shape, rows: AnyArray) -> WindowBins:
    """The elements that each bin covers, in a blob of this shape.

    Raises:
        NetcError: region-out-of-range, for a window of an image that is not in the batch.
    """
    windows = np.asarray(rows).reshape(-1, 3)
    first, last = rounded(windows[:, 1:] * np.float32(params.temporal_scale)).T
    zeros = np.zeros_like(first)
    sides = (
        (first, np.maximum(last - first + 1, 1), params.pooled_l, shape[2]),
        (zeros, zeros + _SIDE, params.pooled_h, shape[3]),
        (zeros, zeros + _SIDE, params.pooled_w, shape[4]),
    )
    axes = tuple(offset_bins(*side) for side in sides)
    return WindowBins(images_of(windows, shape[0]), axes)


@quietly
def _window_pooling(
    params: WindowPoolingParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    data = inputs[0]
    bins = window_bins(params, data.shape, inputs[1])
    sizes = params.pooled_l, params.pooled_h, params.pooled_w
    output = np.zeros((len(bins.images), data.shape[1], *sizes), dtype=data.dtype)
    data = np.fmax(data, np.finfo(np.float32).min)  # where the search begins, passing over nan
    for at, image in enumerate(bins.images):
        pooled = data[image]
        for axis in (2, 1, 0):
            first, last = bins.axes[axis]
            pooled = greatest(pooled, first[at], last[at], 1 + axis)
        output[at] = pooled
    return (np.where(np.isneginf(output), data.dtype.type(0), output),)


def _contents(params: WindowPoolingParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return None, Windows(inputs[0][0], inputs[0][2] / (params.temporal_scale or 1.0))


WINDOW_POOLING = OpDef(
    name="ROIPoolingOfWindows",
    arity=Arity((2, 2), (1, 1)),
    params=_parse,
    shape=_shape,
    cost=per_output(1),
    window=full_extent,
    reference=_window_pooling,
    memory=copies(4),
    contents=_contents,
    family="pooling",
    host=True,
)


def window_reading(layer: Message) -> TypeReading | None:
    """R-C3D's ROIPooling has ``pooled_l``; None where it is not written."""
    param = layer.get("roi_pooling_param")
    own = any(name in param.type.fields and param.has(name) for name in _OWN)
    return TypeReading(erased(WINDOW_POOLING)) if own else None


_OWN = ("pooled_l", "temporal_scale")
READINGS = (WINDOW_POOLING,)
