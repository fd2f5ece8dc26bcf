"""Data sets that names of layers and files speak of, and how large their images are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from netc.ir.types import Shape
from netc.ops.python import PYTHON
from netc.schema.message import Message


class DataSet(NamedTuple):
    """A data set, the words by which names of files speak of it, and its images' sizes."""

    name: str
    words: tuple[str, ...]
    image: Shape


_KNOWN = (
    DataSet("MNIST", ("mnist",), (1, 28, 28)),
    DataSet("CIFAR", ("cifar",), (3, 32, 32)),
    DataSet("SVHN", ("svhn",), (3, 32, 32)),
    DataSet("ImageNet", ("imagenet", "ilsvrc"), (3, 227, 227)),
    DataSet("CamVid", ("camvid",), (3, 360, 480)),
    DataSet("SUN RGB-D", ("sunrgbd", "/sun/", "segnet_sun"), (3, 360, 480)),
    DataSet("Cityscapes", ("cityscapes",), (3, 1024, 2048)),
    DataSet("NYUDv2", ("nyud",), (3, 425, 560)),
    DataSet("SIFT Flow", ("siftflow", "/sift"), (3, 256, 256)),
    DataSet("Flying Chairs", ("flyingchairs",), (3, 384, 512)),
    DataSet("Pascal", ("pascal", "voc", "sbdd"), (3, 500, 500)),
    DataSet("COCO", ("coco",), (3, 480, 640)),
)
_REGIONS = DataSet("Faster R-CNN", (), (3, 600, 1000))  # its shorter and its longest side


def data_set(layer: Message) -> DataSet | None:
    """The data set that a data layer's name or files speak of; None where they name none."""
    if layer.get("type") == PYTHON.name:
        if layer.get("python_param").get("layer") == "RoIDataLayer":
            return _REGIONS
    text = " ".join([layer.get("name"), *_texts(layer)]).lower()
    return next((known for known in _KNOWN if any(word in text for word in known.words)), None)


def _texts(message: Message) -> Iterator[str]:
    """The texts in a layer's parameters: names of files, of modules, and what a class is given."""
    for name, entries in message.entries.items():
        for entry in entries:
            if isinstance(entry.value, Message):
                yield from _texts(entry.value)
            elif isinstance(entry.value, str) and name not in ("bottom", "top", "type"):
                yield entry.value
