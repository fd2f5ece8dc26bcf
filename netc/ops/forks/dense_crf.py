"""DenseCRF: mean-field inference of a fully connected conditional random field (DeepLab).

Krähenbühl and Koltun 2011; Chen et al. 2015; densecrf_layer.cpp of DeepLab's Caffe. The first
bottom has scores of classes, the second the height and width of each image before it was padded,
the third, if there is one, the images. Potentials are Potts': of places, and of places and colours.
Every filter is divided by what it makes of ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.contents import Contents, Whole
from netc.ops.define import Arity, Cost, LayerContext, OpDef, ShapeError, full_extent
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.forks.meanfield import Filter, filter_of
from netc.ops.normalization import softmax
from netc.schema.message import Message

_FLT_MIN = 2.0**-126
_FARTHEST = 2**12  # of a feature: corners are short integers in Caffe


@dataclass(frozen=True, slots=True)
class DenseCRFParams:
    """Iterations and potentials.

    Args:
        iterations: mean-field steps.
        places: for each potential of places its weight and standard deviation in pixels.
        colours: for each of places and colours weight, deviation in pixels and in grey levels.
        probability: the top has probabilities, else their logarithms.
    """

    iterations: int
    places: tuple[tuple[float, float], ...]
    colours: tuple[tuple[float, float, float], ...]
    probability: bool


def _parse(layer: Message, context: LayerContext) -> DenseCRFParams:
    p = reject_unknown_fields(
        layer.get("dense_crf_param"),
        *("max_iter", "pos_xy_std", "pos_w", "bi_xy_std", "bi_rgb_std", "bi_w"),
        "output_probability",
    )
    places = _together(p, "pos_w", "pos_xy_std")
    colours = _together(p, "bi_w", "bi_xy_std", "bi_rgb_std")
    if context.bottoms == 3 and not colours:
        raise p.error(
            None,
            "missing-field",
            "DenseCRF is given images and no potential that reads them",
            "write `bi_w`, `bi_xy_std` and `bi_rgb_std`, or leave out the third bottom",
        )
    if context.bottoms == 2:
        colours = []
    return DenseCRFParams(
        max(0, p.get("max_iter")),
        tuple((w, xy) for w, xy in places),
        tuple((w, xy, rgb) for w, xy, rgb in colours),
        p.get("output_probability"),
    )


def _together(p: Message, weight: str, *deviations: str) -> list[tuple[float, ...]]:
    """The potentials of one kind; each has a weight and deviations above 0."""
    for name in deviations:
        if len(p.get(name)) != len(p.get(weight)):
            raise bad_value(
                p, name, f"must be written as often as `{weight}`, {len(p.get(weight))} times"
            )
        if not all(number > 0 for number in p.get(name)):
            raise bad_value(p, name, "must be above 0")
    return list(zip(p.get(weight), *(p.get(name) for name in deviations), strict=True))


def _shape(params: DenseCRFParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    scores, sizes = inputs[:2]
    if len(scores) != 4:
        raise ShapeError(f"scores of classes have 4 axes, the bottom is {show(scores)}")
    if len(sizes) < 2 or sizes[0] != scores[0] or count(sizes, 1) < 2:
        raise ShapeError(
            f"the second bottom has a height and a width for each of {scores[0]} images, it is "
            f"{show(sizes)}"
        )
    if len(inputs) == 3 and inputs[2] != (scores[0], 3, *scores[2:]):
        raise ShapeError(
            f"the third bottom must be images of 3 colours and the maps' size {show(scores)}, it "
            f"is {show(inputs[2])}"
        )
    return (scores,)


def _contents(params: DenseCRFParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return None, Whole(min(inputs[0][2:]) + 1), None


def _cost(params: DenseCRFParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    potentials = len(params.places) + len(params.colours)
    return Cost(operations=30 * params.iterations * (1 + potentials) * count(inputs[0]))


def _memory(params: DenseCRFParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    potentials = len(params.places) + len(params.colours)
    pixels = count(inputs[0], 2)
    return pixels * (3000 * max(1, potentials) + 80 * inputs[0][1])


def _filters(
    params: DenseCRFParams, image: AnyArray | None, high: int, wide: int
) -> Iterator[tuple[float, Filter]]:
    """Each potential's weight and filter, over the part of an image that is no padding."""
    rows, columns = (axis.reshape(-1).astype(np.float32) for axis in np.indices((high, wide)))
    places = np.stack([columns, rows], axis=1)
    for weight, near in params.places:
        yield weight, _filter(places / np.float32(near))
    if image is not None:
        colours = image[:, :high, :wide].reshape(3, -1).T
        for weight, near, alike in params.colours:
            parts = [places / np.float32(near), colours / np.float32(alike)]
            yield weight, _filter(np.concatenate(parts, axis=1))


def _filter(features: AnyArray) -> Filter:
    try:
        if (np.abs(features) < _FARTHEST).all():
            return filter_of(features)
    except OverflowError:
        pass
    raise NetcError(
        Diagnostic(
            "out-of-range",
            "DenseCRF is given an image whose colours are too far apart",
            help=("its third bottom is the image, with colours in grey levels",),
        )
    )


def _part(size: AnyArray, high: int, wide: int) -> tuple[int, int]:
    """The height and width of an image within its map; all of the map where it was cropped."""
    real = [int(number) if np.isfinite(number) else -1 for number in size[:2]]
    if high <= real[0] and wide <= real[1]:
        return high, wide
    if real[0] > high or real[1] > wide:
        raise NetcError(
            Diagnostic(
                "out-of-range",
                f"DenseCRF is told of an image of {real[0]}x{real[1]} in a map of {high}x{wide}",
                help=("its second bottom has the height and width of each image",),
            )
        )
    return max(0, real[0]), max(0, real[1])


def _dense_crf(params: DenseCRFParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Pixels of padding are 0 in the top."""
    arrays = [np.asarray(array) for array in inputs]
    scores, sizes = arrays[0], arrays[1].reshape(len(arrays[1]), -1)
    top = np.zeros_like(scores)
    with np.errstate(all="ignore"):
        for at, each in enumerate(scores):
            high, wide = _part(sizes[at], *each.shape[1:])
            if high and wide:
                image = arrays[2][at] if len(arrays) > 2 else None
                top[at, :, :high, :wide] = _inferred(params, each[:, :high, :wide], image)
    return (top,)


def _inferred(params: DenseCRFParams, scores: AnyArray, image: AnyArray | None) -> AnyArray:
    """Mean-field steps over one image's scores (classes, height, width)."""
    classes, high, wide = scores.shape
    start = softmax(scores.reshape(classes, -1).astype(np.float64), 0)
    unary = np.log(start)
    potentials = list(_filters(params, image, high, wide))
    prob = start
    for _ in range(params.iterations):
        given = unary.copy()
        for weight, one in potentials:
            given += weight * one.forth(prob)
        prob = softmax(given, 0)
    made = prob if params.probability else np.log(np.maximum(prob, _FLT_MIN))
    return made.reshape(scores.shape)


DENSE_CRF = OpDef(
    name="DenseCRF",
    arity=Arity((2, 3), (1, 1)),
    params=_parse,
    shape=_shape,
    cost=_cost,
    window=full_extent,
    memory=_memory,
    reference=_dense_crf,
    contents=_contents,
    family="other",
    host=True,
)

OPS = (DENSE_CRF,)
