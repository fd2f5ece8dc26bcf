"""Data layers of forks, which become inputs as BVLC's do, and layers of forks that write files.

Only what decides their tops' shapes is read. A fork's data layer that is not listed here is an
input too: one by its name, that has tops and no bottoms (:func:`unlisted_data_layer`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from netc.ops.define import Arity, ErasedOp, LayerContext, OpDef, erased, full_extent, no_params
from netc.ops.detection.darknet import ROW, TRUE_BOXES
from netc.ops.fields import bad_value, fork_field, reject_unknown_fields
from netc.ops.filler import Filler
from netc.ops.inputs import nothing_given, sink, transformed_channels
from netc.ops.param_str import param_str_fields
from netc.ops.role import Role
from netc.ops.source_layer import FollowedSize, PartialShape, SourceParams, source_layer
from netc.schema.message import Message

_NUMBERS = re.compile(r"\s*[1-9]\d{0,8}\s*(,\s*[1-9]\d{0,8}\s*){0,31}")
_MAP = ("N", 1, "H", "W")  # a label for each pixel
_EACH: tuple[FollowedSize, ...] = ("N",)  # a label for each image
_DIMENSIONS = ("N", 1, 1, 2)  # height and width of each image before it was padded
_BOXES = (1, 1, None, 8)  # item, class, instance, box and difficult of each box of the batch

# Tops after the data, by layer type: where all are alike the last stands for the rest.
_TOPS: Mapping[str, tuple[tuple[FollowedSize, ...] | None, ...]] = {
    "AnnotatedData": (_BOXES,),
    "BinaryData": (_EACH,),
    "BoxData": (None,),
    "CPMData": (None,),
    "CompactData": (_EACH,),
    "DataHeatmap": (None,),
    "DataVariableSize": (_EACH,),
    "DenseImageData": (_MAP,),
    "DetectionData": (None,),
    "DocData": (None,),
    "EvalData": ((None, 8, 1, 1), ("N", 2, 1, 1)),  # the true boxes; height and width
    "FloatData": (),
    "FrcnnRoiData": (None,),
    "FrcnnVidData": (None,),
    "ImageFloatData": (None,),
    "ImageGtData": (None,),
    "ImageLabelmapData": (_MAP,),
    "ImageSegData": (_MAP, _DIMENSIONS),
    "MILData": (None,),
    "MatRead": (None,),
    "MultiLabelImageData": (None,),
    "OPData": (None,),
    "SelectSegBinary": (_MAP, None),
    "SparseData": (_EACH,),
    "VideoData": (_EACH,),
    "WindowClsData": (None,),
    "WindowSegData": (_MAP,),
}


def _parse(layer: Message, context: LayerContext) -> SourceParams:
    """The data's shape as far as common fields tell it, and the other tops' by theirs."""
    kind = layer.get("type")
    if kind in _REGIONS:
        return SourceParams(_regions_shapes(layer.get("top")))
    if kind in _TOLD:
        return SourceParams(_TOLD[kind](layer)[: context.tops])
    tops = _TOPS.get(kind, (None,))
    follow = [tops[min(i, len(tops) - 1)] if tops else None for i in range(context.tops - 1)]
    if layer.has("dense_image_data_param"):
        follow = _divided(follow, layer.get("dense_image_data_param"))
    annotated = layer.get("annotated_data_param")
    if kind == "AnnotatedData" and (context.tops > 2 or annotated.has("yolo_data_type")):
        follow = _darknet_follow(annotated, context.tops - 1)
    if kind in _LABELS and context.tops > 1:
        follow[0] = ("N", fork_field(layer.get(_LABELS[kind][0]), _LABELS[kind][1], None))
    if kind in _GRIDS:
        follow = _grid_follow(layer.get(_GRIDS[kind][0]), *_GRIDS[kind][1:], context.tops - 1)
    data = _data_shape(layer)
    params = SourceParams((data, *(None,) * len(follow)), follow=(None, *follow))
    return replace(params, shapes=params.completed(params.shapes, partly=True))


def _mil_shapes(layer: Message) -> tuple[PartialShape, ...]:
    """MILData (mil_data_layer.cpp): each image in some sizes within one square, and its classes."""
    param, crop = layer.get("mil_data_param"), layer.get("transform_param").get("crop_size")
    images = param.get("images_per_batch") or None
    items = images * param.get("num_scales") if images else None
    data = (items, param.get("channels"), crop or None, crop or None)
    return data, (images, param.get("n_classes") or None, 1, 1)


def _heatmap_shapes(layer: Message) -> tuple[PartialShape, ...]:
    """DataHeatmap (data_heatmap.cpp): colours, and a map for each joint that the list has."""
    param = layer.get("heatmap_data_param")
    images, size = (param.get(name) or None for name in ("batchsize", "outsize"))
    sizes = (param.get(name) or None for name in ("label_height", "label_width"))
    return (images, _COLOURS, size, size), (images, None, *sizes)


# Layers that tell the shapes of all tops by fields of their own.
_TOLD: Mapping[str, Callable[[Message], tuple[PartialShape, ...]]] = {
    "DataHeatmap": _heatmap_shapes,
    "MILData": _mil_shapes,
}


def _divided(
    follow: list[tuple[FollowedSize, ...] | None], param: Message
) -> list[tuple[FollowedSize, ...] | None]:
    """ENet's labels are smaller than the pictures by a factor, but where these are cropped."""
    by = fork_field(param, "label_divide_factor", 1)
    if by <= 1 or (param.get("crop_height") and param.get("crop_width")):
        return follow
    return [shape and (*shape[:-2], f"H//{by}", f"W//{by}") for shape in follow]


def _darknet_follow(param: Message, tops: int) -> list[tuple[FollowedSize, ...] | None]:
    """eric612's AnnotatedData (annotated_data_layer.cpp): darknet's rows, and maps of objects.

    Maps have a channel for each class of a file's, or one for all.
    """
    rows = ("N", 1, TRUE_BOXES, ROW) if param.get("yolo_data_type") == 1 else _BOXES
    height, width = param.get("seg_resize_width"), param.get("seg_resize_height")  # as it is there
    scale = param.get("seg_scales")
    sizes = (height, width) if height and width else (f"H//{scale}", f"W//{scale}")
    objects = ("N", 1 if param.get("single_class") else None, *sizes)
    found: list[tuple[FollowedSize, ...] | None] = [rows, objects]
    return found[:tops]


# Data layers that say how many labels a picture has: layer type -> its parameters and the field.
_LABELS: Mapping[str, tuple[str, str]] = {
    "ImageFloatData": ("image_float_data_param", "label_dim"),
    "MultiLabelImageData": ("multi_label_image_data_param", "label_num"),
}

_REGIONS = ("FrcnnRoiData", "FrcnnVidData")  # makefile/frcnn's RoIDataLayer


# Data layers of Cascade R-CNN and MS-CNN: a map of true boxes for each of a list of steps, then the
# boxes. Layer type -> its parameters, the list, the numbers of a box.
_GRIDS: Mapping[str, tuple[str, str, int]] = {
    "DetectionData": ("detection_data_param", "stride", 8),
    "ImageGtData": ("image_gt_data_param", "downsample_rate", 7),
}


def _grid_follow(
    param: Message, steps: str, numbers: int, tops: int
) -> list[tuple[FollowedSize, ...] | None]:
    labels = 2 + param.get("coord_num")
    maps: list[tuple[FollowedSize, ...] | None] = [
        ("N", labels, f"H/{step}", f"W/{step}") for step in param.get(steps) if step > 0
    ]
    return [*maps, (None, numbers, 1, 1), *(None,) * tops][:tops]


def _data_shape(layer: Message) -> PartialShape:
    height, width = _size(layer)
    batch, channels = _first(layer, "batch_size"), _channels(layer)
    clip = _clip(layer)
    if clip is not None:
        return (batch, 2 if fork_field(clip, "is_flow", False) else _COLOURS,
                clip.get("new_length") or None, height, width)  # fmt: skip
    return (batch, channels, height, width)


# Fields of C3D's video layers alone; yjxiong's join the frames along the channels.
_OF_CLIPS = ("use_image", "sampling_rate", "use_temporal_jitter", "is_flow")
_OF_SEGMENTS = ("modality", "num_segments", "name_pattern", "encoding", "grayscale")


def _clip(layer: Message) -> Message | None:
    """The message of a layer of C3D that reads clips, images x channels x time x height x width.

    Of VideoData's texts those are C3D's that give a length, and no field that only yjxiong's has.
    """
    if not layer.get("type").startswith("Video"):
        return None
    if layer.has("image_data_param"):
        message: Message = layer.get("image_data_param")
        return message
    message = layer.get("video_data_param")
    written = [name for name in message.type.fields if message.has(name)]
    if any(name in _OF_CLIPS for name in written):
        return message
    joined = not message.get("new_length") or any(name in _OF_SEGMENTS for name in written)
    return None if joined else message


def _params(layer: Message) -> Iterator[Message]:
    """The messages that a layer's text holds."""
    for entries in layer.entries.values():
        if isinstance(entries[-1].value, Message):
            yield entries[-1].value


def _first(layer: Message, name: str) -> int | None:
    """A whole number that some message of the layer gives; None where none does."""
    for message in _params(layer):
        if name in message.type.fields and message.has(name):
            value = message.get(name)
            if isinstance(value, int) and value > 0:
                return value
    return None


_SIZES = (("crop_size",) * 2, ("crop_height", "crop_width"), ("crop_h", "crop_w"))
_RESIZED = (("new_height", "new_width"), ("resize_height", "resize_width"))


def _size(layer: Message) -> tuple[int | None, int | None]:
    """Height and width: of a crop, of what images are resized to, or unknown."""
    for names in _SIZES:
        size = _first(layer, names[0]), _first(layer, names[1])
        if None not in size:
            return size
    resized = layer.get("transform_param").get("resize_param")
    for message in resized[:1]:
        if message.get("height") and message.get("width"):
            return message.get("height"), message.get("width")
    for names in _RESIZED:
        size = _first(layer, names[0]), _first(layer, names[1])
        if None not in size:
            return size
    return None, None


def _channels(layer: Message) -> int | None:
    """3 of colour images, 1 of others; unknown where the text does not speak of images."""
    for message in _params(layer):
        if "modality" in message.type.fields and message.has("modality"):
            return _of_segments(message)
        if "is_color" in message.type.fields:
            return 3 if message.get("is_color") else 1
    return transformed_channels(layer)


def _of_segments(param: Message) -> int:
    """yjxiong/caffe's VideoData: the frames of all segments, or two maps of flow for each."""
    colours = 1 if fork_field(param, "grayscale", False) else _COLOURS
    each = 2 if param.get("modality") == "FLOW" else colours
    return int(each * (param.get("new_length") or 1) * fork_field(param, "num_segments", 1))


def _source(name: str) -> OpDef[SourceParams]:
    return source_layer(name, (1, None), _parse)


def unlisted_data_layer(layer: Message) -> ErasedOp | None:
    """The source op for a layer of unknown type that must read data; None for other layers.

    Its type begins with "Data" or ends in "Data" or "DataLayer", and it has tops and no bottoms.
    """
    kind = layer.get("type")
    named = kind.startswith("Data") or kind.endswith(("Data", "DataLayer"))
    if layer.get("bottom") or not layer.get("top") or not named:
        return None
    return erased(_source(kind))


_SEGMENTATION = frozenset({
    "VOCSegDataLayer", "SBDDSegDataLayer", "PASCALContextSegDataLayer", "SIFTFlowSegDataLayer",
    "NYUDSegDataLayer", "ImageSegDataLayer",
})  # fmt: skip
_COLOURS = 3


def _python_input(layer: Message, context: LayerContext) -> SourceParams:
    """What well-known layers that read data tell of their tops' shapes."""
    param = layer.get("python_param")
    kind = param.get("layer")
    stated = stated_shape(param.get("param_str")) if kind == "CustomData" else None
    if stated is not None:  # OpenSALICON's layer
        return SourceParams((stated, *(None,) * (context.tops - 1)))
    if kind == "RoIDataLayer":
        return SourceParams(_regions_shapes(layer.get("top")))
    if kind == "GtDataLayer":
        return SourceParams(_GRID[: context.tops])
    if kind == "MNCDataLayer":
        return SourceParams((*_WITH_RPN, *_MNC_MASKS)[: context.tops])
    if kind in _CAPTIONS:
        return SourceParams(_caption_shapes(layer, kind, context.tops))
    if kind in _SEGMENTATION and context.tops >= 2:
        data: PartialShape = (1, _COLOURS, None, None)
        shapes = (data, *(None,) * (context.tops - 1))
        return SourceParams(shapes, follow=(None, *map(_beside_images, layer.get("top")[1:])))
    return SourceParams((None,) * context.tops)


def stated_shape(param_str: str) -> tuple[int, ...] | None:
    """The shape that a ``param_str`` such as ``1,3,600,800`` is; None where it is none."""
    if not _NUMBERS.fullmatch(param_str):
        return None
    return tuple(int(size) for size in param_str.split(","))


_CAPTIONS = ("RCNNTestDataLayer", "RCNNCaptionTrainDataLayer")


def _caption_shapes(layer: Message, kind: str, tops: int) -> tuple[PartialShape | None, ...]:
    """Up-Down-Captioner's regions and their features, and words of captions (rcnn_layers.py).

    The number of an image and its size; words that go in and that are to come out, in training;
    how many boxes there are, boxes, and features, whose number is the files' own.
    """
    try:
        said = param_str_fields(layer.get("python_param").get("param_str"))
        batch, most = int(said["batch_size"]), int(said.get("max_boxes", 100))
        rows = most + bool(said["pool"])
        words = [(batch, int(said["sequence_length"]))] * 2 if kind == _CAPTIONS[1] else []
    except Exception:
        return (None,) * tops
    shapes = ((batch, 3), *words, (batch, 1), (batch, rows, 4), (batch, rows, None))
    return (*shapes, *(None,) * tops)[:tops]


def _beside_images(top: str) -> tuple[FollowedSize, ...]:
    """A label, or another view of the same pixels: nyud_layers.py's depth, or HHA of three maps."""
    return ("N", _COLOURS if top == "hha" else 1, "H", "W")


def _regions_shapes(tops: Sequence[str]) -> tuple[PartialShape | None, ...]:
    """RoIDataLayer of Fast and Faster R-CNN and R-FCN (roi_data_layer/layer.py).

    Images have any size, numbers of boxes' targets follow from a configuration, and labels are one
    for each region or, in OICR, for each class; of boxes there is one until data come, as the
    layer's set-up has it. Faster R-CNN's has true boxes where
    Fast R-CNN's has regions and their labels; the tops' names tell them apart. R-C3D's has a video
    and rows of 3, first and last frame and label, and no size; RON's has several images and rows of
    6, box, label and image.
    """
    if list(tops) == ["data", "gt_boxes"]:
        return _VIDEO
    if list(tops) == ["data", "gt_rois", "im_info"]:
        return _IMAGES
    if len(tops) <= len(_WITH_RPN) and "labels" not in tops:
        return _WITH_RPN[: len(tops)]
    regions: tuple[PartialShape, ...] = ((None, _COLOURS, None, None), (1, 5))
    return (*regions, *(None,) * len(tops))[: len(tops)]


_WITH_RPN: tuple[PartialShape, ...] = ((1, _COLOURS, None, None), (1, 3), (1, 5))
_VIDEO: tuple[PartialShape, ...] = ((1, _COLOURS, None, 112, 112), (1, 3))
_IMAGES: tuple[PartialShape, ...] = ((None, _COLOURS, None, None), (1, 6), (1, 2))
# Of tanshen/SubCNN: pictures at several scales, true boxes, and what scales and shapes there are.
_GRID: tuple[PartialShape | None, ...] = ((None, _COLOURS, None, None), (1, 18), None)
# Of daijifeng001/MNC: the masks of the true boxes and their sizes, as its set-up has them.
_MNC_MASKS: tuple[PartialShape, ...] = ((1, 21, 21), (1, 2))

PYTHON_INPUT = erased(source_layer("Python", (0, None), _python_input, Role.RESULT))
"""A Python layer that has no bottoms and no implementation here: it reads data."""


def _writer(name: str, arity: tuple[int, int | None]) -> OpDef[None]:
    return OpDef(
        name=name,
        arity=Arity(arity, (0, 0)),
        params=no_params,
        shape=nothing_given,
        window=full_extent,
        reference=sink,
        role=Role.SINK,
        family="data",
    )


_WRITERS: Mapping[str, tuple[int, int | None]] = {
    "MatWrite": (1, None),
    "FLOWriter": (1, 1),
    "ImgWriter": (1, 1),
}


def _random_vector(layer: Message, context: LayerContext) -> SourceParams:
    """RandVec: noise for a generator (rand_vec_layer.cpp of BVLC's pull request 6660).

    What is not fed is drawn evenly between the bounds, by netc's own generator.
    """
    p = reject_unknown_fields(
        layer.get("randvec_param"), "batch_size", "dim", "height", "width", "lower", "upper"
    )
    if not p.get("lower") < p.get("upper"):
        raise bad_value(p, "upper", f"must be greater than `lower` {p.get('lower'):g}")
    sizes = tuple(p.get(name) for name in ("batch_size", "dim", "height", "width"))
    filler = Filler("uniform", min=p.get("lower"), max=p.get("upper"))
    return SourceParams((sizes if all(sizes[2:]) else sizes[:2],), (filler,))


OPS = (
    erased(source_layer("RandVec", (1, 1), _random_vector)),
    *(erased(_source(name)) for name in _TOPS),
    *(erased(_writer(name, arity)) for name, arity in _WRITERS.items()),
)
