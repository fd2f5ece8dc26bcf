"""DataAugmentation of FlowNet 2 (data_augmentation_layer.cu of lmb-freiburg/flownet2).

Ilg et al. 2017, FlowNet 2.0. In the TEST phase nothing is drawn unless
`augment_during_test` says so: pictures are cropped in the middle, and their mean is taken off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_output
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    WeightSpec,
    copies,
    full_extent,
)
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.forks.augmentation_params import (
    COEFFICIENTS,
    COLOURS,
    DISTRIBUTIONS,
    NUMBERS,
    SPATIAL,
    Draw,
    NumberDistribution,
    coefficients_of,
    inside_spatial,
    parse_distributions,
    row_of,
    transform,
)
from netc.ops.forks.picture_effects import (
    chromatic,
    effects,
    eigen_chromatic,
    eigen_space,
    needs_chromatic,
    needs_effects,
    needs_eigen,
)
from netc.ops.numbers import one_of
from netc.ops.random import iteration_of, layer_number, uniform
from netc.schema.message import Message

Size = tuple[int, int]
_HALF_LIFE = -1.0986  # of the schedule: -log 3


@dataclass(frozen=True, slots=True)
class AugmentationParams:
    """What ``augmentation_param`` says; sizes are height and width.

    Args:
        crop: of the top; None for none, and then nothing is augmented.
        picture: of the bottom, where no bottom tells it.
        given: what is drawn; nothing outside of training.
        mode: of GenerateAugmentationParameters: add, replace or regenerate.
        most: the greatest value of an augmented picture.
        axes: the three eigenvectors of the colours, in rows.
        passes: over how many passes the mean is made; 0 for none.
        per_pixel: the mean is taken off pixel by pixel, else one for each channel.
        mean: of the channels, where the text gives it.
        schedule: half life, first and last factor of the spreads.
        layer: the layer's number for the generator.
        bottoms, tops: how many there are; the generator's key comes behind the bottoms.
    """

    crop: Size | None
    picture: Size
    given: dict[str, NumberDistribution] = field(hash=False)
    mode: str
    most: float
    axes: tuple[float, ...]
    passes: int
    per_pixel: bool
    mean: tuple[float, ...]
    schedule: tuple[float, float, float]
    layer: int
    bottoms: int
    tops: int


_FIELDS = ("crop_width", "crop_height", "write_augmented", "max_multiplier", "augment_during_test",
           "recompute_mean", "write_mean", "mean_per_pixel", "mean", "mode", "bottomwidth",
           "bottomheight", "num", "chromatic_eigvec", *DISTRIBUTIONS)  # fmt: skip


def parse_augmentation(layer: Message, context: LayerContext) -> AugmentationParams:
    """The parameters of any of FlowNet's three layers.

    Raises:
        NetcError: unsupported-field, unsupported-value or out-of-range, at the field.
    """
    p = reject_unknown_fields(layer.get("augmentation_param"), *_FIELDS)
    s = layer.get("coeff_schedule_param")
    drawn = context.phase == "TRAIN" or p.get("augment_during_test")
    axes = tuple(p.get("chromatic_eigvec"))
    if axes and len(axes) != 9:
        raise bad_value(p, "chromatic_eigvec", "must have 9 numbers")
    sizes = (p.get("crop_height"), p.get("crop_width"))
    return AugmentationParams(
        sizes if p.has("crop_width") and p.has("crop_height") else None,
        (p.get("bottomheight"), p.get("bottomwidth")),
        parse_distributions(p) if drawn else {},
        one_of(p, "mode", ("add", "replace", "regenerate")),
        p.get("max_multiplier"),
        axes,
        p.get("recompute_mean"),
        p.get("mean_per_pixel"),
        tuple(p.get("mean")),
        (s.get("half_life"), s.get("initial_coeff"), s.get("final_coeff")),
        layer_number(layer.get("name")),
        context.bottoms,
        context.tops,
    )


def draws_any(params: AugmentationParams) -> bool:
    """Whether a layer draws coefficients."""
    return bool(params.given)


def check_pictures(shape: Shape) -> None:
    """Check that a bottom has pictures; raises ShapeError."""
    if len(shape) != 4:
        raise ShapeError(f"pictures have 4 axes, the bottom is {show(shape)}")


def check_rows(shape: Shape, number: int) -> None:
    """Check that a bottom has so many rows of coefficients; raises ShapeError."""
    if not shape or shape[0] != number or count(shape) != number * COEFFICIENTS:
        raise ShapeError(
            f"{number} rows of {COEFFICIENTS} coefficients are needed, the bottom is {show(shape)}"
        )


def _picture_draws(params: AugmentationParams, inputs: Arrays) -> list[Draw]:
    """The random numbers of each picture, with the schedule's factor at this iteration."""
    key = inputs[params.bottoms] if len(inputs) > params.bottoms else None
    half, first, last = params.schedule
    passes = (iteration_of(key) if key is not None else 0) + 1
    part = 2 / (1 + math.exp(_HALF_LIFE * passes / half)) - 1
    discount = first + (last - first) * part
    numbers = uniform(inputs[0], (len(inputs[0]), NUMBERS), params.layer, key)
    return [Draw(np.asarray(row), discount) for row in np.asarray(numbers)]


def drawn_rows(
    params: AugmentationParams, inputs: Arrays, before: AnyArray, size: Size, crop: Size
) -> AnyArray:
    """Rows of coefficients with what is drawn, (num, 42)."""
    rows = np.array(before, np.float64)
    if not params.given:
        return rows
    spatial = [*range(6)]
    for row, draw in zip(rows, _picture_draws(params, inputs), strict=True):
        if any(name in params.given for name in SPATIAL):
            if params.mode == "replace":
                row[spatial] = 0
            row[:] = inside_spatial(params.given, draw, row, size, crop)
        for names, made in COLOURS:
            if any(name in params.given for name in names):
                own = made(params.given, draw)
                new = row_of(own)
                if params.mode == "add":
                    row += new
                else:
                    at = [n for n, name in enumerate(coefficients_of(row, False)) if name in own]
                    row[at] = new[at]
    return rows


# DataAugmentation


def _augmented_shape(params: AugmentationParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data = inputs[0]
    check_pictures(data)
    if params.bottoms > 1:
        check_rows(inputs[1], data[0])
    crop = params.crop or (data[2], data[3])
    if min(crop) < 1 or crop[0] > data[2] or crop[1] > data[3]:
        raise ShapeError(f"a crop of {crop[0]}x{crop[1]} does not fit {show(data)}")
    rows = inputs[1] if params.bottoms > 1 else (data[0], COEFFICIENTS, 1, 1)
    return ((*data[:2], *crop), rows)[: params.tops]


def _means(params: AugmentationParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    """Passes so far, the mean picture and the mean of each channel."""
    (top, *_) = _augmented_shape(params, inputs)
    shapes = [(1, 1, 1, 1), (1, *top[1:]), (1, top[1], 1, 1)]
    return tuple(WeightSpec(s, learned=False) for s in shapes[: 3 if params.passes else 1])


def _cropped(x: AnyArray, matrix: AnyArray, crop: Size) -> AnyArray:
    """Bilinear samples of a picture (channels, h, w) at the places of a map; edges go on."""
    y, x_at = np.mgrid[: crop[0], : crop[1]].astype(np.float32)
    places = np.tensordot(matrix.astype(np.float32), np.stack([x_at, y, np.ones_like(y)]), 1)
    across = np.clip(places[0], 0, np.float32(x.shape[2] - 1.05))
    down = np.clip(places[1], 0, np.float32(x.shape[1] - 1.05))
    left, top = across.astype(np.int64), down.astype(np.int64)
    a, b = across - left, down - top
    right, bottom = np.minimum(left + 1, x.shape[2] - 1), np.minimum(top + 1, x.shape[1] - 1)
    made: AnyArray = (
        (1 - a) * (1 - b) * x[:, top, left]
        + a * b * x[:, bottom, right]
        + (1 - a) * b * x[:, bottom, left]
        + a * (1 - b) * x[:, top, right]
    )
    return made


def _augmented(params: AugmentationParams, inputs: Arrays) -> tuple[AnyArray, AnyArray]:
    """Pictures before their mean is taken off, and the rows of coefficients."""
    data = np.asarray(inputs[0])
    number = len(data)
    if params.bottoms > 1:
        rows = np.asarray(inputs[1], np.float64).reshape(number, COEFFICIENTS)
    else:
        rows = np.zeros((number, COEFFICIENTS))
    if params.crop is None:
        return data, rows
    size = (data.shape[2], data.shape[3])
    if params.bottoms == 1:
        rows = drawn_rows(params, inputs, rows, size, params.crop)
    own = [coefficients_of(row, rounded=True) for row in rows]
    made = np.stack([
        _cropped(picture, transform(each, size, params.crop), params.crop)
        for picture, each in zip(data, own, strict=True)
    ])  # fmt: skip
    if any(map(needs_eigen, own)):
        space = eigen_space(data, np.array(params.axes).reshape(3, 3))
        made = np.stack([eigen_chromatic(p, c, space, params.most)
                         for p, c in zip(made, own, strict=True)])  # fmt: skip
    if any(map(needs_chromatic, own)):
        made = np.stack([chromatic(p, c, params.most) for p, c in zip(made, own, strict=True)])
    if any(map(needs_effects, own)):
        key = inputs[params.bottoms] if len(inputs) > params.bottoms else None
        noise = uniform(data, (2, *made.shape), params.layer, key, draw=1)
        made = effects(made, own, params.most, np.asarray(noise, np.float64))
    return made.astype(data.dtype), rows


@quietly
def _run(
    params: AugmentationParams, inputs: Arrays, weights: Arrays
) -> tuple[Arrays, list[AnyArray]]:
    made, rows = _augmented(params, inputs)
    passes = weights[0] + 1
    kept = [passes]
    if params.passes:
        number, mean = float(passes.reshape(-1)[0]), weights[1]
        if number <= params.passes:
            mean = (mean * (number - 1) + made.mean(axis=0, keepdims=True)) / number
        mean = mean.astype(made.dtype)
        channels = mean.mean(axis=(2, 3), keepdims=True)
        if number > params.passes:
            channels = weights[2]
        kept += [mean, channels]
        made = made - (mean if params.per_pixel else channels)
    elif len(params.mean) == 3 and not params.per_pixel:
        made = made - np.array(params.mean, made.dtype).reshape(1, 3, 1, 1)
    tops = (made, rows.reshape(_rows_shape(params, inputs)).astype(made.dtype))
    return tops[: params.tops], kept


def _rows_shape(params: AugmentationParams, inputs: Arrays) -> Shape:
    return inputs[1].shape if params.bottoms > 1 else (len(inputs[0]), COEFFICIENTS, 1, 1)


def _augment(params: AugmentationParams, inputs: Arrays, weights: Arrays) -> Arrays:
    return _run(params, inputs, weights)[0]


def _train(params: AugmentationParams, inputs: Arrays, weights: Arrays) -> tuple[Arrays, Arrays]:
    return _run(params, inputs, weights)


DATA_AUGMENTATION = OpDef(
    name="DataAugmentation",
    arity=Arity((1, 2), (1, 2)),
    params=parse_augmentation,
    shape=_augmented_shape,
    weights=_means,
    cost=per_output(60),
    window=full_extent,
    memory=copies(24),
    reference=_augment,
    train=_train,
    moving=lambda params: (0, 1, 2) if params.passes else (0,),
    draws=draws_any,
    family="data",
    host=True,
)


OPS = (DATA_AUGMENTATION,)
