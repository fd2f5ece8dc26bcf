"""The preprocessing of images for an input: from the user's options, else from the net's text.

A text says it in the ``transform_param`` of its Input layer, which the dialect's ``input`` block
writes (see docs/language.md), or of a data layer, with whose own parameters the images are prepared
as that layer does (data_transformer.cpp, image_data_layer.cpp, window_data_layer.cpp).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from netc.diagnostics import Diagnostic, NetcError, Span
from netc.image_files import Header
from netc.images import Preprocessing, read_mean
from netc.ir.graph import Array
from netc.ir.types import Shape, show
from netc.ops.array import AnyArray
from netc.ops.catalog import has_role
from netc.ops.role import Role
from netc.paths import named_file
from netc.schema.message import Message
from netc.weights.mean import load_mean


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """Preprocessing as the user gives it; None takes what the net's text says.

    Attributes:
        mean: comma-separated values, or the path of a mean file.
        scale: multiplied last.
        raw_scale: the value of a pixel of full brightness.
        channel_order: channel order of the net's input.
        resize: height and width, or the shorter side, in pixels, before cropping.
        crops: "center", "ten", or "flip".
        allow_outside: whether a mean file named in the text may be in any folder.
    """

    mean: str | None = None
    scale: float | None = None
    raw_scale: float | None = None
    channel_order: Literal["BGR", "RGB"] | None = None
    resize: tuple[int, int] | int | None = None
    crops: Literal["center", "ten", "flip"] | None = None
    allow_outside: bool = False

    @classmethod
    def of(cls, given: object) -> ImageOptions:
        """Options from an object with some of these attributes, such as argparse's namespace."""
        known: dict[str, Any] = {name: getattr(given, name, None) for name in cls.__slots__}
        known["allow_outside"] = bool(known["allow_outside"])
        return cls(**known)


class MeanFile(NamedTuple):
    """A mean file named in a text: its path as written, the text's folder, and the place."""

    name: str
    folder: Path | None
    span: Span | None


@dataclass(frozen=True, slots=True, eq=False)
class InputTransform:
    """The preprocessing of an input that a text declares; None or empty where it does not.

    Attributes:
        mean: one value for each channel, in the net's channel order.
        mean_file: a mean file.
        range: the values of black and white before mean and scale.
        layout: axis order of arrays that are fed, "NCHW" or "NHWC".
        data: type of the data layer that declares it; empty for an Input layer.
        channels: channels of the images that the data layer reads, where it says so.
        crop: the data layer's crop_size in pixels, cropped at the centre; 0 for none.
        span: where it is declared.
    """

    mean: tuple[float, ...] = ()
    mean_file: MeanFile | None = None
    scale: float | None = None
    order: Literal["BGR", "RGB"] | None = None
    resize: tuple[int, ...] = ()
    crops: Literal["center", "ten"] | None = None
    range: tuple[float, ...] = ()
    layout: str = "NCHW"
    data: str = ""
    channels: int | None = None
    crop: int = 0
    span: Span | None = None


NOTHING = InputTransform()


def transforms_of_inputs(
    net: Message, folder: Path | None, layers: Iterable[Message] | None = None
) -> dict[str, InputTransform]:
    """Input blob -> the preprocessing that a net's text declares.

    Args:
        net: a NetParameter in the current format.
        folder: the folder that paths in the text start from; None for the current folder.
        layers: the layers of the NetState; None for all.

    Raises:
        NetcError: bad-preprocessing, for values that make no sense, such as an empty range.
    """
    found = {}
    for layer in net.get("layer") if layers is None else layers:
        transform = layer.get("transform_param")
        fed = has_role(layer.get("type"), Role.FED)
        if fed and layer.has("transform_param"):
            found.update(dict.fromkeys(layer.get("top"), _said(transform, folder)))
        elif not fed and not layer.get("bottom") and layer.get("top"):
            found[layer.get("top")[0]] = transform_of_data(layer, folder)
    return found


def _said(transform: Message, folder: Path | None) -> InputTransform:
    file = transform.optional("mean_file")
    _check_count(transform, "range", (2,))
    _check_count(transform, "resize", (1, 2))
    if len(set(transform.get("range"))) == 1:
        raise transform.error("range", "bad-preprocessing", "black and white are the same number")
    if any(size == 0 for size in transform.get("resize")):
        raise transform.error("resize", "bad-preprocessing", "`resize` is at least 1")
    crops: Any = transform.optional("crops")
    return InputTransform(
        transform.get("mean_value"),
        None if file is None else MeanFile(file, folder, transform.span_of("mean_file")),
        transform.optional("scale"),
        transform.optional("channel_order"),
        transform.get("resize"),
        crops.lower() if crops else None,
        transform.get("range"),
        transform.get("layout"),
        span=transform.span,
    )


def _check_count(transform: Message, name: str, allowed: tuple[int, ...]) -> None:
    count = len(transform.get(name))
    if count and count not in allowed:
        listed = " or ".join(map(str, allowed))
        message = f"`{name}` has {listed} values, and {count} are given"
        raise transform.error(name, "bad-preprocessing", message)


def transform_of_data(layer: Message, folder: Path | None) -> InputTransform:
    """The preprocessing of a data layer in phase TEST: centre crops, no mirroring.

    Raises:
        NetcError: bad-preprocessing.
    """
    transform, kind = layer.get("transform_param"), layer.get("type")
    for one, other in (("mean_file", "mean_value"), ("force_color", "force_gray")):
        if _is_said(transform, one) and _is_said(transform, other):
            message = f"`{one}` and `{other}` contradict each other"
            raise transform.error(other, "bad-preprocessing", message, "keep one of them")
    said = _said(transform, folder)
    resize = said.resize or _size_of_data(layer)
    crop = transform.get("crop_size")
    return replace(said, data=kind, channels=_channels(layer), crop=crop, resize=resize)


def _is_said(message: Message, name: str) -> bool:
    return message.has(name) and bool(message.get(name))


def shape_of(said: InputTransform, header: Header) -> Shape:
    """The shape (num, channels, height, width) that a data layer makes of an image of this size."""
    height, width = said.resize if len(said.resize) == 2 else header[:2]
    size = (said.crop, said.crop) if said.crop else (height, width)
    return (1, said.channels or 3, *size)


def _channels(layer: Message) -> int | None:
    transform = layer.get("transform_param")
    if transform.get("force_gray"):
        return 1
    if transform.get("force_color") or has_role(layer.get("type"), Role.WINDOW_LIST):
        return 3
    if has_role(layer.get("type"), Role.IMAGE_LIST):
        return 3 if layer.get("image_data_param").get("is_color") else 1
    return None


def _size_of_data(layer: Message) -> tuple[int, ...]:
    """Height and width that a data layer brings images to; nothing for their own.

    SSD's layers say it in ``resize_param``; other modes than WARP keep proportions in ways of
    their own, and are not done here.
    """
    if has_role(layer.get("type"), Role.IMAGE_LIST):
        param = layer.get("image_data_param")
        return (param.get("new_height"), param.get("new_width")) if param.get("new_height") else ()
    transform = layer.get("transform_param")
    if "resize_param" not in transform.type.fields or not transform.has("resize_param"):
        return ()
    given = transform.get("resize_param")
    resize = given[0] if isinstance(given, tuple) else given
    if resize.get("resize_mode") not in (None, "WARP"):
        message = f"`resize_mode: {resize.get('resize_mode')}` is not done to images here"
        raise resize.error(
            "resize_mode", "bad-preprocessing", message, "give --resize HEIGHT,WIDTH"
        )
    height, width = resize.get("height"), resize.get("width")
    return (height, width) if height and width else ()


def preprocessing(
    shape: Shape, args: ImageOptions, said: InputTransform = NOTHING
) -> Preprocessing:
    """The preprocessing of images for an input of this shape.

    Raises:
        NetcError: input-shape, where no image fits that shape; what reading the mean raises.
    """
    if len(shape) != 4:
        raise NetcError(
            Diagnostic(
                "input-shape",
                f"an image cannot be an input of {show(shape)}",
                help=("give an .npy or .npz file",),
            )
        )
    black, white = _range(args, said)
    size, mean = (shape[2], shape[3]), _mean(args, said, black)
    if has_role(said.data, Role.WINDOW_LIST) and mean is not None and mean.ndim == 3:
        mean = _centre(mean, size)
    return Preprocessing(
        size=size,
        channels=shape[1],
        resize=_first(args.resize, _resize(said), _own_size(said, mean)),
        crops=_first(args.crops, said.crops, "center"),
        channel_order=_first(args.channel_order, said.order, "BGR"),
        raw_scale=white - black,
        mean=mean,
        scale=_first(args.scale, said.scale, 1.0),
        data_layer=bool(said.data) and args.mean is None,
    )


def _own_size(said: InputTransform, mean: Array | None) -> Any:
    """What a data layer that crops takes images to be before: of the size of their mean."""
    if not said.crop or has_role(said.data, Role.WINDOW_LIST):
        return None
    return "own" if mean is None or mean.ndim == 1 else mean.shape[1:]


def _centre(mean: Array, size: tuple[int, int]) -> Array:
    """The part of a mean image that is subtracted from windows (window_data_layer.cpp)."""
    top, left = ((have - want) // 2 for have, want in zip(mean.shape[1:], size, strict=True))
    return mean[:, max(top, 0) : max(top, 0) + size[0], max(left, 0) : max(left, 0) + size[1]]


def _first(*values: object) -> Any:
    """The first that is given; the last is the default."""
    return next((value for value in values if value is not None), values[-1])


def _resize(said: InputTransform) -> tuple[int, int] | int | None:
    if len(said.resize) == 2:
        return said.resize[0], said.resize[1]
    return said.resize[0] if said.resize else None


def _range(args: ImageOptions, said: InputTransform) -> tuple[float, float]:
    """What black and white become."""
    if args.raw_scale is not None:
        return 0.0, float(args.raw_scale)
    return (said.range[0], said.range[1]) if said.range else (0.0, 255.0)


def _mean(args: ImageOptions, said: InputTransform, black: float) -> Array | None:
    """What is subtracted: the mean, less what black is."""
    mean: Array | None = None
    if args.mean is not None:
        mean = read_mean(args.mean)
    elif said.mean_file is not None:
        mean = _read_mean(said.mean_file, args.allow_outside)
    elif said.mean:
        mean = np.array(said.mean, dtype=np.float32)
    if black == 0:
        return mean
    return np.array([-black], dtype=np.float32) if mean is None else mean - np.float32(black)


def _read_mean(file: MeanFile, outside: bool) -> Array:
    """A mean that the text names; faults are told at its place."""
    path = named_file(file.name, file.folder, file.span, outside=outside)
    try:
        return load_mean(path)
    except NetcError as error:
        diagnostics = [replace(d, span=d.span or file.span) for d in error.diagnostics]
        raise NetcError(diagnostics) from None


def arranged(array: AnyArray, said: InputTransform) -> AnyArray:
    """An array in NCHW order: transposed where the text says that the input is fed as NHWC."""
    if said.layout == "NHWC" and getattr(array, "ndim", 0) == 4:
        return array.transpose(0, 3, 1, 2)
    return array


def transform_of(blob: str, known: Mapping[str, InputTransform]) -> InputTransform:
    """The preprocessing declared for an input; an empty one where there is none."""
    return known.get(blob, NOTHING)
