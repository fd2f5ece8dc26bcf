"""``caffe.coord_map``: maps coordinates between blobs, and makes Crop layers from such maps.

Of each spatial axis a map says ``there = scale * here + shift``. A convolution's output lies in its
input at ``stride * here + (kernel - 1) / 2 - pad``, a deconvolution's at the inverse of that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netc.compat.pycaffe.errors import also
from netc.compat.pycaffe.net_spec import Function, Made, Top, layers
from netc.diagnostics import Diagnostic, NetcError
from netc.ops.array import AnyArray

# Layers whose output lies where their input does.
_SAME_PLACE = frozenset((
    "AbsVal", "BNLL", "BatchNorm", "Bias", "Dropout", "ELU", "Eltwise", "Exp", "LRN", "Log", "MVN",
    "PReLU", "Power", "ReLU", "Scale", "Sigmoid", "Split", "TanH", "Threshold",
))  # fmt: skip
_WINDOWS = frozenset(("Convolution", "Pooling", "Im2col"))


class Map(NamedTuple):
    """Places of one blob in another: the first spatial axis (None for any), scale and shift."""

    axis: int | None
    scale: NDArray[np.float64] | float
    shift: NDArray[np.float64] | float


class UndefinedMapException(Exception):  # noqa: N818 (pycaffe's name)
    """A layer's output has no places in its input."""


class AxisMismatchException(Exception):  # noqa: N818 (pycaffe's name)
    """Two layers count different axes as spatial."""


_IDENTITY = Map(None, 1.0, 0.0)


def conv_params(fn: Function) -> tuple[int, AnyArray, AnyArray, AnyArray]:
    """A window's first axis, stride, size with dilation, and padding.

    Raises:
        KeyError: there is no ``kernel_size``.
        NetcError: no-coord-map (AssertionError), for sizes in the older ``_h`` and ``_w`` fields.
    """
    params = fn.params.get("convolution_param", fn.params)
    old = [f"{name}_{axis}" for name in ("pad", "stride", "kernel") for axis in "hw"]
    _demand(not set(old) & set(fn.params), "fields for height and width apart are not taken")
    stride, pad, dilation = (
        np.array(params.get(name, default), ndmin=1)
        for name, default in (("stride", 1), ("pad", 0), ("dilation", 1))
    )
    size = (np.array(params["kernel_size"], ndmin=1) - 1) * dilation + 1
    return params.get("axis", 1), stride, size, pad


def crop_params(fn: Function) -> tuple[int, AnyArray]:
    """A Crop layer's first axis and offsets."""
    params = fn.params.get("crop_param", fn.params)
    return params.get("axis", 2), np.array(params.get("offset", 0), ndmin=1)


def coord_map(fn: Function) -> Map:
    """Where a layer's output lies in its input.

    Raises:
        UndefinedMapException: nowhere.
    """
    if fn.type_name in _WINDOWS:
        axis, stride, size, pad = conv_params(fn)
        return Map(axis, stride * 1.0, (size - 1) / 2.0 - pad)
    if fn.type_name == "Deconvolution":
        axis, stride, size, pad = conv_params(fn)
        return inverse(Map(axis, stride * 1.0, (size - 1) / 2.0 - pad))
    if fn.type_name in _SAME_PLACE:
        return _IDENTITY
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return Map(axis - 1, 1.0, offset * 1.0)
    raise UndefinedMapException


def compose(base_map: Map, next_map: Map) -> Map:
    """One map after another.

    Raises:
        AxisMismatchException: they are of different axes.
    """
    first, second = Map(*base_map), Map(*next_map)
    if first.axis is not None and second.axis is not None and first.axis != second.axis:
        raise AxisMismatchException
    axis = second.axis if first.axis is None else first.axis
    return Map(axis, first.scale * second.scale, second.scale * first.shift + second.shift)


def inverse(coord_map: Map) -> Map:
    """The way back."""
    axis, scale, shift = coord_map
    return Map(axis, 1 / scale, -shift / scale)


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """Where one blob's places lie in another, by the blobs that both are made of.

    Raises:
        NetcError: no-coord-map (RuntimeError), no spatial layers connect them.
        AxisMismatchException, KeyError: see ``compose`` and ``conv_params``.
    """
    below = _below(top_from)
    reached = {top_to: _IDENTITY}
    waiting = [top_to]
    while waiting:
        top = waiting.pop()
        if top in below:
            return compose(below[top], inverse(reached[top]))
        for bottom, found in _bottoms(top, reached[top]):
            reached[bottom] = found
            waiting.append(bottom)
    message = "no layers that keep places connect the two blobs"
    raise also(NetcError(Diagnostic("no-coord-map", message)), RuntimeError)


def _below(top: Top) -> dict[Top, Map]:
    """The blob and all that it is made of, with its places in each."""
    found = {top: _IDENTITY}
    waiting = [top]
    while waiting:
        one = waiting.pop()
        for bottom, map_ in _bottoms(one, found[one]):
            found[bottom] = map_
            waiting.append(bottom)
    return found


def _bottoms(top: Top, so_far: Map) -> list[tuple[Top, Map]]:
    """What a blob is made of, with the map to each; nothing where there is none."""
    inputs = top.fn.inputs[:1] if top.fn.type_name == "Crop" else top.fn.inputs
    try:
        return [(bottom, compose(so_far, coord_map(top.fn))) for bottom in inputs]
    except UndefinedMapException:
        return []


def crop(top_from: Top, top_to: Top) -> Made:
    """A Crop layer that cuts one blob to the places of another.

    Raises:
        NetcError: no-coord-map (AssertionError), where the scales differ or an offset is negative
            or no whole number; and as ``coord_map_from_to``.
    """
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    shift = np.array(shift, ndmin=1)
    _demand(bool(np.all(np.asarray(scale) == 1)), f"the scales differ, by {scale}")
    _demand(bool((shift <= 0).all()), f"the offset would be negative: {-shift}")
    _demand(
        bool((np.round(shift) == shift).all()), f"the offset would be no whole number: {-shift}"
    )
    offset = [int(-at) for at in np.round(shift)]
    return layers.Crop(top_from, top_to, crop_param={"axis": (axis or 0) + 1, "offset": offset})


def _demand(holds: bool, message: str) -> None:
    if not holds:
        raise also(NetcError(Diagnostic("no-coord-map", message)), AssertionError)
