"""Examples of input shapes for what a data layer's text leaves open; told, and never taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from netc.ir.types import Shape
from netc.ops.python import PYTHON
from netc.ops.source_layer import PartialShape
from netc.schema.message import Message


class Known(NamedTuple):
    """A data set, the words by which names of files speak of it, and its images' sizes."""

    name: str
    words: tuple[str, ...]
    image: Shape


_KNOWN = (
    Known("MNIST", ("mnist",), (1, 28, 28)),
    Known("CIFAR", ("cifar",), (3, 32, 32)),
    Known("SVHN", ("svhn",), (3, 32, 32)),
    Known("ImageNet", ("imagenet", "ilsvrc"), (3, 227, 227)),
    Known("CamVid", ("camvid",), (3, 360, 480)),
    Known("SUN RGB-D", ("sunrgbd", "/sun/", "segnet_sun"), (3, 360, 480)),
    Known("Cityscapes", ("cityscapes",), (3, 1024, 2048)),
    Known("NYUDv2", ("nyud",), (3, 425, 560)),
    Known("SIFT Flow", ("siftflow", "/sift"), (3, 256, 256)),
    Known("Flying Chairs", ("flyingchairs",), (3, 384, 512)),
    Known("Pascal", ("pascal", "voc", "sbdd"), (3, 500, 500)),
    Known("COCO", ("coco",), (3, 480, 640)),
)
_REGIONS = Known("Faster R-CNN", (), (3, 600, 1000))  # its shorter and its longest side
_COLOURS, _USUAL, _AXES = 3, 224, 4


def example(layer: Message, top: str, partial: PartialShape | None) -> list[str]:
    """A hint that names an example of the shape; none where it is not one of images.

    Args:
        layer: the data layer.
        top: its top.
        partial: what its text tells of the top's shape.
    """
    known = _known(layer)
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


def _known(layer: Message) -> Known | None:
    """The data set that the layer's name or files speak of."""
    if layer.get("type") == PYTHON.name:
        if layer.get("python_param").get("layer") == "RoIDataLayer":
            return _REGIONS
    text = " ".join([layer.get("name"), *_texts(layer)]).lower()
    return next((k for k in _KNOWN if any(word in text for word in k.words)), None)


def _texts(message: Message) -> Iterator[str]:
    """The texts in a layer's parameters: names of files, of modules, and what a class is given."""
    for name, entries in message.entries.items():
        for entry in entries:
            if isinstance(entry.value, Message):
                yield from _texts(entry.value)
            elif isinstance(entry.value, str) and name not in ("bottom", "top", "type"):
                yield entry.value
