"""Rules of layers that put elements elsewhere: shapes, parts, orders, sizes, choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from netc.export.onnx.pointwise import identity
from netc.export.onnx.writer import LayerExport, Rule
from netc.ops.cropping import CropCenterParams, CropParams, crop_offsets
from netc.ops.forks.maps import FlipParams
from netc.ops.forks.permutation import PermuteParams, ReorgParams, ShuffleChannelParams, permutation
from netc.ops.forks.resizing import InterpParams
from netc.ops.forks.sequence import ReverseParams
from netc.ops.forks.upsampling import UpsampleParams
from netc.ops.joining import ConcatParams, SliceParams
from netc.ops.pooling import PoolingParams, pooling_axes
from netc.ops.reduction import ArgMaxParams
from netc.ops.reshaping import TileParams


def _reshape(layer: LayerExport) -> None:
    layer.give_reshaped(layer.x)


def _concat(layer: LayerExport) -> None:
    if len(layer.inputs) == 1:
        identity(layer)
    else:
        layer.give("Concat", *layer.inputs, axis=layer.params_as(ConcatParams).axis)


def _slice(layer: LayerExport) -> None:
    params = layer.params_as(SliceParams)
    axis = params.axis % len(layer.shape())
    if len(layer.outputs) == 1:
        identity(layer)
    elif params.points:
        cuts = (0, *params.points, layer.shape()[axis])
        sizes = layer.whole("sizes", [end - start for start, end in pairwise(cuts)])
        layer.give_all("Split", layer.x, sizes, axis=axis)
    else:
        layer.give_all("Split", layer.x, axis=axis)


def _tile(layer: LayerExport) -> None:
    params = layer.params_as(TileParams)
    times = [1] * len(layer.shape())
    times[params.axis] = params.tiles
    layer.give("Tile", layer.x, layer.whole("times", times))


def _cut(
    layer: LayerExport,
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int],
    step: int = 1,
) -> list[str]:
    """The inputs of a Slice after its first."""
    named = {"starts": starts, "ends": ends, "axes": axes, "steps": [step] * len(axes)}
    return [layer.whole(name, list(numbers)) for name, numbers in named.items()]


def _crop(layer: LayerExport) -> None:
    params, made = layer.params_as(CropParams, CropCenterParams), layer.made()
    starts = crop_offsets(params, layer.shape())
    axes = [i for i, size in enumerate(layer.shape()) if (starts[i], made[i]) != (0, size)]
    if not axes:
        identity(layer)
        return
    ends = [starts[i] + made[i] for i in axes]
    layer.give("Slice", layer.x, *_cut(layer, [starts[i] for i in axes], ends, axes))


_BACK = np.iinfo(np.int64).min  # before the first element, for a Slice that goes backwards


def _reverse(layer: LayerExport) -> None:
    _backwards(layer, sorted(set(layer.params_as(ReverseParams).axes)))


def _flip(layer: LayerExport) -> None:
    params = layer.params_as(FlipParams)
    axes = [axis for axis, on in ((2, params.height), (3, params.width)) if on]
    if axes:
        _backwards(layer, axes)
    else:
        identity(layer)


def _backwards(layer: LayerExport, axes: list[int]) -> None:
    backwards = _cut(layer, [-1] * len(axes), [_BACK] * len(axes), axes, -1)
    layer.give("Slice", layer.x, *backwards)


def _permute(layer: LayerExport) -> None:
    if not layer.shape():
        layer.give("Identity", layer.x)
        return
    order = permutation(layer.params_as(PermuteParams), len(layer.shape()))
    layer.give("Transpose", layer.x, perm=order)


def _shuffle(layer: LayerExport) -> None:
    _, channels, *places = layer.shape()
    group = layer.params_as(ShuffleChannelParams).group
    grouped = layer.reshape(layer.x, [0, group, channels // group, *places])
    swapped = layer.op("Transpose", grouped, perm=[0, 2, 1, *range(3, 3 + len(places))])
    layer.give("Reshape", swapped, layer.whole("shape", [0, channels, *places]))


def _reorg(layer: LayerExport) -> None:
    """In darknet's order, which is none of SpaceToDepth's."""
    params = layer.params_as(ReorgParams)
    s = params.stride
    _, channels, height, width = layer.shape()
    share = channels // s**2
    if params.reverse:
        blocks, perm = [0, s, s, share, height, width], [0, 3, 4, 1, 5, 2]
    else:
        blocks, perm = [0, share, height, s, width, s], [0, 3, 5, 1, 2, 4]
        height, width = height // s, width // s
    spread = layer.op("Transpose", layer.reshape(layer.x, blocks), perm=perm)
    layer.give("Reshape", spread, layer.whole("shape", [0, *layer.made()[1:]]))


def _interp(layer: LayerExport) -> None:
    height, width = layer.shape()[2:]
    begin, end = layer.params_as(InterpParams).crop
    x = layer.x
    if begin or end:
        cut = _cut(layer, [begin, begin], [height - end, width - end], [2, 3])
        x = layer.op("Slice", x, *cut)
    made = layer.made()[2:]
    if made == (height - begin - end, width - begin - end):
        layer.give("Identity", x)
        return
    ahead = layer.op("Slice", layer.op("Shape", x), *_cut(layer, [0], [2], [0]))
    sizes = layer.op("Concat", ahead, layer.whole("size", made), axis=0)
    layer.give(
        "Resize",
        *(x, "", "", sizes),
        mode="linear",
        coordinate_transformation_mode="align_corners",
    )


def _upsample(layer: LayerExport) -> None:
    params = layer.params_as(UpsampleParams)
    if params.masked:
        _put_back(layer)
        return
    ones = [1.0] * (len(layer.shape()) - 2)
    layer.give(
        "Resize",
        *(layer.x, "", layer.constant("scales", [*ones, *params.scale])),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _put_back(layer: LayerExport) -> None:
    """Each element at its index in its plane, zero elsewhere."""
    if not _names_each_once(layer):
        raise layer.refuse(
            "its mask may name a place twice, and ONNX leaves open which element stays",
            "ONNX has it where the mask is of a Pooling whose windows do not overlap",
        )
    from onnx import TensorProto, numpy_helper

    _, channels, high, wide = layer.made()
    seen = [0, channels, layer.shape()[2] * layer.shape()[3]]
    where = layer.op("Cast", layer.reshape(layer.inputs[1], seen), to=TensorProto.INT64)
    number = layer.op("Slice", layer.op("Shape", layer.x), *_cut(layer, [0], [1], [0]))
    plane = layer.op("Concat", number, layer.whole("plane", [channels, high * wide]), axis=0)
    zero = numpy_helper.from_array(np.zeros(1, np.float32))
    empty = layer.op("ConstantOfShape", plane, value=zero)
    filled = layer.op("ScatterElements", empty, where, layer.reshape(layer.x, seen), axis=2)
    layer.give("Reshape", filled, layer.whole("shape", [0, channels, high, wide]))


def _names_each_once(layer: LayerExport) -> bool:
    made_by = layer.writer.graph.producers.get(layer.inputs[1])
    params = made_by.params if made_by is not None else None
    if made_by is None or not isinstance(params, PoolingParams):
        return False
    axes = pooling_axes(params, layer.writer.graph.shape(made_by.inputs[0]))
    return all(axis.kernel <= axis.stride or axis.out == 1 for axis in axes)


def _batch_reindex(layer: LayerExport) -> None:
    from onnx import TensorProto

    index = layer.op("Cast", layer.inputs[1], to=TensorProto.INT64)
    layer.give("Gather", layer.x, index, axis=0)


def _filter(layer: LayerExport) -> None:
    from onnx import TensorProto

    flat = layer.reshape(layer.inputs[-1], [-1])
    chosen = layer.op("Cast", flat, to=TensorProto.BOOL)
    for top, value in enumerate(layer.inputs[:-1]):
        layer.give("Compress", value, chosen, top=top, axis=0)


def _argmax(layer: LayerExport) -> None:
    params = layer.params_as(ArgMaxParams)
    whole = params.axis is None
    x = layer.op("Flatten", layer.x, axis=1) if whole else layer.x
    axis = 1 if params.axis is None else params.axis % len(layer.shape())
    length = int(np.prod(layer.shape()[1:])) if whole else layer.shape()[axis]
    values, where = _greatest(layer, x, axis, length)
    if not whole:
        layer.give("Identity", values if params.out_max_val else where)
        return
    if params.out_max_val:
        where = layer.op("Concat", where, values, axis=1)
    layer.give_reshaped(where)


def _greatest(layer: LayerExport, x: str, axis: int, length: int) -> tuple[str, str]:
    """The greatest and where they are, as numbers; of equal ones the last comes first.

    TopK has the first of equal ones first, so that it goes backwards.
    """
    from onnx import TensorProto

    params = layer.params_as(ArgMaxParams)
    if params.top_k == 1 and not params.out_max_val:
        found = layer.op("ArgMax", x, axis=axis, keepdims=1, select_last_index=1)
        return "", layer.op("Cast", found, to=TensorProto.FLOAT)
    backwards = layer.op("Slice", x, *_cut(layer, [-1], [_BACK], [axis], -1))
    number = layer.whole("k", [params.top_k])
    values, found = layer.ops("TopK", 2, backwards, number, axis=axis, largest=1, sorted=1)
    where = layer.op("Sub", layer.whole("last", length - 1), found)
    return values, layer.op("Cast", where, to=TensorProto.FLOAT)


RULES: Mapping[str, Rule] = {
    "ArgMax": _argmax,
    "BatchReindex": _batch_reindex,
    "Concat": _concat,
    "Crop": _crop,
    "CropCenter": _crop,
    "Filter": _filter,
    "Flatten": _reshape,
    "Flip": _flip,
    "Interp": _interp,
    "Permute": _permute,
    "Reorg": _reorg,
    "Reshape": _reshape,
    "Reverse": _reverse,
    "ShuffleChannel": _shuffle,
    "Slice": _slice,
    "Tile": _tile,
    "Upsample": _upsample,
}
