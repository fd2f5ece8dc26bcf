"""Examples of input shapes for what a data layer's text leaves open; told, and never taken."""

from __future__ import annotations

from netc.analysis.data_sets import data_set
from netc.ir.types import Shape
from netc.ops.source_layer import PartialShape
from netc.schema.message import Message

_COLOURS, _USUAL, _AXES = 3, 224, 4


def example(layer: Message, top: str, partial: PartialShape | None) -> list[str]:
    """A hint that names an example of the shape; none where it is not one of images.

    Args:
        layer: the data layer.
        top: its top.
        partial: what its text tells of the top's shape.
    """
    known = data_set(layer)
    if "label" in top or (partial is None and known is None):
        return []
    if partial is not None and (len(partial) != _AXES or partial[2:] != (None, None)):
        return []
    channels = None if partial is None else partial[1]
    if known is None:
        image: Shape = (channels or _COLOURS, _USUAL, _USUAL)
        return [f"for example, for images of that size: {_option(top, image)}"]
    image = (channels or known.image[0], *known.image[1:])
    return [f"for example, for images as {known.name} has: {_option(top, image)}"]


def _option(top: str, image: Shape) -> str:
    return f"--input-shape {top}=1,{','.join(map(str, image))}"
