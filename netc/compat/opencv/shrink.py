"""``shrinkCaffeModel``: weights as 16-bit floats (caffe_shrinker.cpp)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from netc.ops.catalog import has_role
from netc.ops.role import Role
from netc.surgery.slim import halved
from netc.weights import load_weights
from netc.weights.definitions import copied_definitions
from netc.weights.load import write_weights

_USUAL = Role.CONVOLUTION | Role.INNER_PRODUCT


def shrinkCaffeModel(
    src: str | PathLike[str], dst: str | PathLike[str], layersTypes: Sequence[str] = ()
) -> None:
    """Write a .caffemodel with 16-bit floats, which OpenCV and NVIDIA's Caffe read.

    Args:
        src: the weights.
        dst: the file to write.
        layersTypes: the types of layers whose arrays are rounded; Convolution and InnerProduct
            where none is given.

    Raises:
        NetcError: what reading and writing weights raise.
    """
    weights = load_weights(src)
    definitions = copied_definitions(str(src)) if weights.generation == "V2" else None
    made, types = halved(weights).weights, frozenset(layersTypes)
    layers = {
        name: made.layers[name]
        if layer.type in types or (not types and has_role(layer.type, _USUAL))
        else layer
        for name, layer in weights.layers.items()
    }
    write_weights(Path(dst), replace(weights, layers=layers), definitions, half=True)
