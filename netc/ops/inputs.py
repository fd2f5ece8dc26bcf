"""Data layers, which become inputs of the graph, and Parameter and HDF5Output.

Input, DummyData, Data, ImageData, WindowData, MemoryData and HDF5Data, after BVLC's
``<name>_layer.cpp``. Only what decides their tops' shapes is read here: an inference run is fed by
its caller. ``netc.sources`` reads the files and databases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import MAX_AXES, Shape
from netc.ops.array import AnyArray, Arrays
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    TypeReading,
    WeightSpec,
    erased,
    full_extent,
    no_params,
)
from netc.ops.fields import fork_field
from netc.ops.filler import CONSTANT_ZERO, parse_filler
from netc.ops.role import Role
from netc.ops.source_layer import SourceParams, source_layer
from netc.schema.message import Message


def parse_shape(message: Message) -> Shape:
    """The shape a BlobShape message gives.

    Raises:
        NetcError: bad-shape, for a negative size or more than 32 axes.
    """
    sizes: Shape = message.get("dim")
    if len(sizes) > MAX_AXES:
        raise message.error(
            "dim", "bad-shape", f"a shape has at most {MAX_AXES} axes, this has {len(sizes)}"
        )
    for index, size in enumerate(sizes):
        if size < 0:
            fault = f"a size must be at least 0, `dim` is {size}"
            raise NetcError(Diagnostic("bad-shape", fault, message.span_of("dim", index)))
    return sizes


Item = TypeVar("Item")


def _for_each_top(message: Message, field: str, values: Sequence[Item], tops: int) -> list[Item]:
    """A value for each top, from one for all or one each."""
    if len(values) not in (1, tops):
        raise message.error(
            field,
            "value-count",
            f"`{field}` is given {len(values)} times for {tops} tops",
            f"give it once for all tops or {tops} times",
        )
    return list(values) * tops if len(values) == 1 else list(values)


# Input: input_layer.cpp


def _parse_input(layer: Message, context: LayerContext) -> SourceParams:
    param = layer.get("input_param")
    shapes = [parse_shape(shape) for shape in param.get("shape")]
    if not shapes:
        return SourceParams((None,) * context.tops)
    return SourceParams(tuple(_for_each_top(param, "shape", shapes, context.tops)))


# DummyData: dummy_data_layer.cpp


def _parse_dummy(layer: Message, context: LayerContext) -> SourceParams:
    param = layer.get("dummy_data_param")
    fillers = [parse_filler(filler) for filler in param.get("data_filler")] or [CONSTANT_ZERO]
    return SourceParams(
        tuple(_dummy_shapes(param, context.tops)),
        tuple(_for_each_top(param, "data_filler", fillers, context.tops)),
    )


_OLD_SIZES = ("num", "channels", "height", "width")


def _dummy_shapes(param: Message, tops: int) -> list[Shape]:
    old = [name for name in _OLD_SIZES if param.has(name)]
    if not old:
        shapes = [parse_shape(shape) for shape in param.get("shape")]
        return _for_each_top(param, "shape", shapes, tops)
    if param.has("shape"):
        raise param.error(
            old[0],
            "conflicting-fields",
            f"the sizes are given by `shape` and by the older `{old[0]}`",
            "keep `shape` alone",
        )
    sizes = [_for_each_top(param, name, param.get(name), tops) for name in _OLD_SIZES]
    return list(zip(*sizes, strict=True))


# Data, ImageData, WindowData, MemoryData, HDF5Data


def _images(
    layer: Message,
    context: LayerContext,
    batch: int | None,
    channels: int | None,
    size: tuple[int | None, int | None],
) -> SourceParams:
    """A batch of images and, with two tops, their labels; a crop decides the size."""
    height, width = transformed_size(layer) or size
    shapes = ((batch or None, channels, height, width), (batch or None,))
    follow = (None, ("N",))[: context.tops]
    return SourceParams(shapes[: context.tops], help=_crop_help(height), follow=follow)


def _crop_help(height: int | None) -> tuple[str, ...]:
    return () if height else ("`transform_param { crop_size: N }` tells height and width",)


def _parse_data(layer: Message, context: LayerContext) -> SourceParams:
    """Data: the database tells what the transformation does not (data_layer.cpp)."""
    param = layer.get("data_param")
    batch = param.get("batch_size")
    found = _images(layer, context, batch, transformed_channels(layer), (None, None))
    if context.tops < 2 or not fork_field(param, "get_mirror_crop", False):
        return found
    # JAANet: whether each picture is mirrored, the crop's size, its first row and its first column
    shapes = (found.shapes[0], (batch or None, 4, 1, 1))
    return replace(found, shapes=shapes, follow=(None, ("N", 4, 1, 1)))


def transformed_channels(layer: Message) -> int | None:
    """Channels of an image where ``transform_param`` tells them (data_transformer.cpp), else None.

    ``force_gray`` gives 1, ``force_color`` 3, and several ``mean_value`` one for each channel.
    """
    transform = layer.get("transform_param")
    if transform.get("force_gray"):
        return 1
    if transform.get("force_color"):
        return 3
    means = len(transform.get("mean_value"))
    return means if means > 1 else None


_CROPS = (("crop_size",) * 2, ("crop_height", "crop_width"), ("crop_h", "crop_w"))


def transformed_size(layer: Message) -> tuple[int, int] | None:
    """Height and width of images where ``transform_param`` tells them, else None.

    By a crop (data_transformer.cpp), forks' of two sizes too, or by SSD's ``resize_param``.
    """
    transform = layer.get("transform_param")
    resized = transform.get("resize_param")
    for message, names in ((transform, _CROPS), *((one, _RESIZED) for one in resized[:1])):
        for pair in names:
            height, width = (_whole(message, name) for name in pair)
            if height and width:
                return height, width
    return None


_RESIZED = (("height", "width"),)


def _whole(message: Message, name: str) -> int:
    known = name in message.type.fields and message.has(name)
    return int(message.get(name)) if known else 0


def _parse_image_data(layer: Message, context: LayerContext) -> SourceParams:
    """ImageData: images are resized to ``new_height`` and ``new_width`` (image_data_layer.cpp)."""
    param = layer.get("image_data_param")
    height, width = param.get("new_height"), param.get("new_width")
    if bool(height) != bool(width):
        raise param.error(
            "new_height" if height else "new_width",
            "missing-field",
            f"`new_height` and `new_width` go together, they are {height} and {width}",
        )
    channels = 3 if param.get("is_color") else 1
    batch = param.get("batch_size")
    return _images(layer, context, batch, channels, (height or None, width or None))


def _parse_window_data(layer: Message, context: LayerContext) -> SourceParams:
    """WindowData: windows warped to ``crop_size``; images have 3 channels."""
    batch = layer.get("window_data_param").get("batch_size")
    return _images(layer, context, batch, 3, (None, None))


def _parse_memory_data(layer: Message, context: LayerContext) -> SourceParams:
    """MemoryData: all four sizes are written (memory_data_layer.cpp)."""
    param = layer.get("memory_data_param")
    names = ("batch_size", "channels", "height", "width")
    sizes = tuple(param.get(name) or None for name in names)
    missing = [f"`{name}`" for name, size in zip(names, sizes, strict=True) if size is None]
    help = (f"`memory_data_param` lacks {', '.join(missing)}",) if missing else ()
    return SourceParams((sizes, sizes[:1])[: context.tops], help=help)


def _parse_hdf5_data(layer: Message, context: LayerContext) -> SourceParams:
    """HDF5Data: the file alone tells the sizes (hdf5_data_layer.cpp)."""
    batch = layer.get("hdf5_data_param").get("batch_size")
    help = (f"the first size is the `batch_size`, {batch}",) if batch else ()
    return SourceParams((None,) * context.tops, help=help, batch=batch)


INPUT = source_layer("Input", (1, None), _parse_input, role=Role.FED)
DUMMY_DATA = source_layer("DummyData", (1, None), _parse_dummy, role=Role.FILLED)
DATA = source_layer("Data", (1, 2), _parse_data)


def _parse_classes(layer: Message, context: LayerContext) -> SourceParams:
    """yuqj1991's ImageData: how many pictures of each class it took, (label_num,), and classes."""
    param, found = layer.get("image_data_param"), _parse_image_data(layer, context)
    known = "label_num" in param.type.fields and param.has("label_num")
    classes = param.get("label_num") if known else None
    shapes = (found.shapes[0], (classes,), (param.get("batch_size") or None,))
    return replace(found, shapes=shapes, follow=())


IMAGE_DATA_OF_CLASSES = source_layer("ImageDataOfClasses", (3, 3), _parse_classes)


def _of_classes(layer: Message) -> TypeReading | None:
    """Three tops are yuqj1991/caffe_train's, which draws classes and pictures of them."""
    three = len(layer.get("top")) == 3
    return TypeReading(erased(IMAGE_DATA_OF_CLASSES)) if three else None


IMAGE_DATA = replace(
    source_layer("ImageData", (2, 2), _parse_image_data, role=Role.IMAGE_LIST), reading=_of_classes
)
READINGS = (IMAGE_DATA_OF_CLASSES,)
WINDOW_DATA = source_layer("WindowData", (2, 2), _parse_window_data, role=Role.WINDOW_LIST)
MEMORY_DATA = source_layer("MemoryData", (2, 2), _parse_memory_data, role=Role.MEMORY)
HDF5_DATA = source_layer("HDF5Data", (1, None), _parse_hdf5_data)


# Parameter: parameter_layer.hpp


@dataclass(frozen=True, slots=True)
class ParameterParams:
    """The shape of a Parameter layer's top, which is its trained array."""

    shape: Shape


def _parse_parameter(layer: Message, context: LayerContext) -> ParameterParams:
    return ParameterParams(parse_shape(layer.get("parameter_param").get("shape")))


def _parameter_shape(params: ParameterParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return (params.shape,)


def _parameter_weights(params: ParameterParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    return (WeightSpec(params.shape),)


def _parameter(params: ParameterParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return (weights[0],)


PARAMETER = OpDef(
    name="Parameter",
    arity=Arity((0, 0), (1, 1)),
    params=_parse_parameter,
    shape=_parameter_shape,
    weights=_parameter_weights,
    window=full_extent,
    reference=_parameter,
    family="data",
    role=Role.CONSTANT,
)


# HDF5Output: hdf5_output_layer.cpp


def nothing_given(params: None, inputs: Sequence[Shape]) -> tuple[()]:
    """Shape rule of a layer without tops."""
    return ()


def sink(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Definition of a layer that writes files: nothing; its bottoms are outputs of the graph."""
    return ()


HDF5_OUTPUT = OpDef(
    name="HDF5Output",
    arity=Arity((2, 2), (0, 0)),
    params=no_params,
    shape=nothing_given,
    window=full_extent,
    reference=sink,
    family="data",
    role=Role.SINK,
)

OPS = (
    INPUT,
    DUMMY_DATA,
    DATA,
    IMAGE_DATA,
    WINDOW_DATA,
    MEMORY_DATA,
    HDF5_DATA,
    PARAMETER,
    HDF5_OUTPUT,
)
