"""Boxes in parts of a net's input, as boxes in pixels of the image that it was made of.

OutputBBox and ProjectBBox of SSD (bbox_util.cpp of weiliu89/caffe@ssd).
"""

from __future__ import annotations

from dataclasses import dataclass

from netc.numeric import np
from netc.ops.array import AnyArray
from netc.ops.fields import bad_value
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class Resized:
    """A ``resize_param``: its mode, the input's height and width, and FIT_SMALL_SIZE's scales."""

    mode: str
    height: int
    width: int
    height_scale: int
    width_scale: int


def parse_resized(param: Message) -> Resized | None:
    """The message's ``resize_param``; None where it has none.

    Raises:
        NetcError: out-of-range, for a height or a width of 0.
    """
    if not param.has("resize_param"):
        return None
    message = param.get("resize_param")
    for name in ("height", "width"):
        if message.get(name) < 1:
            raise bad_value(message, name, "must be at least 1")
    numbers = (message.get(n) for n in ("height", "width", "height_scale", "width_scale"))
    return Resized(message.get("resize_mode"), *numbers)


def in_pixels(boxes: AnyArray, size: tuple[float, float], resized: Resized | None) -> AnyArray:
    """Corners in pixels of an image, and not beyond it.

    Args:
        boxes: (n, 4), corners in parts of the net's input.
        size: the image's height and width.
        resized: how the image was made the input; None where it was stretched.
    """
    scale = np.array([size[1], size[0]] * 2, np.float32)
    if resized is None:
        return np.clip(boxes, 0, 1) * scale
    if resized.mode == "FIT_SMALL_SIZE" and resized.height_scale and resized.width_scale:
        by = np.array([resized.width_scale, resized.height_scale] * 2, np.float32)
        return np.clip(boxes * by, 0, scale)
    if resized.mode == "FIT_LARGE_SIZE_AND_PAD":
        boxes = _without_border(boxes, *_border(size, resized))
    return np.clip(boxes, 0, 1) * scale


def _border(size: tuple[float, float], resized: Resized) -> tuple[float, float]:
    """The parts of the input's width and height that are padding on either side."""
    aspect = size[1] / size[0]
    if aspect > resized.width / resized.height:
        return 0.0, (resized.height - resized.width / aspect) / 2 / resized.height
    return (resized.width - resized.height * aspect) / 2 / resized.width, 0.0


def _without_border(boxes: AnyArray, across: float, down: float) -> AnyArray:
    """Boxes in parts of what is not padding; those that lie in padding alone stay as they are."""
    low, high = np.array([across, down], np.float32), np.array([1 - across, 1 - down], np.float32)
    begun, ended = boxes[:, :2] < high, boxes[:, 2:] > low
    inside = np.asarray((begun & ended).all(axis=1, keepdims=True))
    moved = (boxes - np.tile(low, 2)) / np.tile(high - low, 2)
    return np.where(inside, moved, boxes)
