"""MultiStageMeanfield: mean-field iterations of a conditional random field (CRF-RNN).

Zheng et al. 2015; multi_stage_meanfield.cpp and meanfield_iteration.cpp of torrvision/caffe. Each
iteration smooths the class probabilities by two Gaussian filters: a spatial one, and a bilateral
one, of place and colour. The trained arrays, (1, 1, classes, classes) each, are the weights of both
filters and the compatibility of classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.define import (
    Arity,
    Cost,
    LayerContext,
    OpDef,
    ShapeError,
    WeightSpec,
    full_extent,
)
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.forks.permutohedral import Lattice, lattice_of
from netc.ops.normalization import softmax
from netc.schema.message import Message

_EPSILON = 1e-20
_FARTHEST = 2**12  # of a feature: corners are short integers in Caffe


@dataclass(frozen=True, slots=True)
class MeanfieldParams:
    """How many iterations, and the standard deviations of the filters.

    Args:
        iterations: at least 2.
        alpha: of the bilateral filter, in pixels (``theta_alpha``).
        beta: of the bilateral filter, in grey levels (``theta_beta``).
        gamma: of the spatial filter, in pixels (``theta_gamma``).
    """

    iterations: int
    alpha: float
    beta: float
    gamma: float


def _parse(layer: Message, context: LayerContext) -> MeanfieldParams:
    """The modes and weights that begin a training are not read: trained arrays are wanted."""
    names = ("num_iterations", "theta_alpha", "theta_beta", "theta_gamma", "threshold",
             "compatibility_mode", "spatial_filter_weight", "bilateral_filter_weight",
             "forced_spatial_filter_weight", "forced_bilateral_filter_weight")  # fmt: skip
    p = reject_unknown_fields(layer.get("multi_stage_meanfield_param"), *names)
    if p.get("num_iterations") < 2:
        raise bad_value(p, "num_iterations", "must be greater than 1")
    for name in ("theta_alpha", "theta_beta", "theta_gamma"):
        if not p.get(name) > 0:
            raise bad_value(p, name, "must be greater than 0")
    reach = (p.get(name) for name in ("theta_alpha", "theta_beta", "theta_gamma"))
    return MeanfieldParams(p.get("num_iterations"), *reach)


def _shape(params: MeanfieldParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    unary, first, image = inputs
    if len(unary) != 4 or first != unary:
        raise ShapeError(
            f"both maps of classes must have one shape of 4 axes: {show(unary)} and {show(first)}"
        )
    if len(image) != 4 or image[0] != unary[0] or image[1] < 3 or image[2:] != unary[2:]:
        raise ShapeError(
            f"the third bottom must be images of 3 colours and the maps' size {show(unary)}, it is "
            f"{show(image)}"
        )
    return (unary,)


def _weights(params: MeanfieldParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    """By near pixels, by like ones, and how classes bear each other; Caffe reads .par files."""
    classes = inputs[0][1]
    return (WeightSpec((1, 1, classes, classes)),) * 3


def _cost(params: MeanfieldParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    number, classes = count(inputs[0]), inputs[0][1]
    return Cost(3 * params.iterations * number * classes, 60 * params.iterations * number)


def _memory(params: MeanfieldParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    pixels = count(inputs[0], 2)
    return pixels * (3000 + 80 * inputs[0][1]) + 16 * params.iterations * count(inputs[0])


@dataclass(frozen=True, slots=True)
class Filter:
    """A Gaussian filter on a lattice, and a factor for each pixel's result, ``norm`` (pixels,)."""

    lattice: Lattice
    norm: AnyArray

    def forth(self, maps: AnyArray) -> AnyArray:
        """Maps (classes, pixels) filtered, then normalised."""
        return self.lattice.filtered(maps) * self.norm

    def back(self, maps: AnyArray) -> AnyArray:
        """The transpose of :meth:`forth`, for gradients."""
        return self.lattice.filtered(maps * self.norm, turned=True)


def filters(params: MeanfieldParams, image: AnyArray) -> tuple[Filter, Filter]:
    """The spatial and the bilateral filter of one image (colours, height, width).

    Raises:
        NetcError: out-of-range, for colours that are NaN or infinite or too far apart.
    """
    rows, columns = (axis.reshape(-1).astype(np.float32) for axis in np.indices(image.shape[1:]))
    places = np.stack([columns, rows], axis=1)
    colours = image[:3].reshape(3, -1).T / np.float32(params.beta)
    both = np.concatenate([places / np.float32(params.alpha), colours], axis=1)
    if not (np.abs(both) < _FARTHEST).all():
        raise _too_far()
    try:
        near, alike = filter_of(places / np.float32(params.gamma)), filter_of(both)
    except OverflowError:
        raise _too_far() from None
    return near, alike


def _too_far() -> NetcError:
    return NetcError(
        Diagnostic(
            "out-of-range",
            "MultiStageMeanfield is given an image whose colours are too far apart",
            help=("its third bottom is the image, with colours in grey levels",),
        )
    )


def filter_of(features: AnyArray) -> Filter:
    """A Gaussian filter over points with these features, (points, d), divided by that of ones."""
    lattice = lattice_of(features.astype(np.float32))
    ones = lattice.filtered(np.ones((1, len(features))))[0]
    return Filter(lattice, 1 / (ones + _EPSILON))


@dataclass(frozen=True, slots=True)
class Iteration:
    """One iteration over one image; arrays are (classes, pixels).

    ``prob`` is what it read, ``near`` and ``alike`` that after the spatial and the bilateral
    filter, ``message`` their weighted sum and ``made`` the result, before a softmax.
    """

    prob: AnyArray
    near: AnyArray
    alike: AnyArray
    message: AnyArray
    made: AnyArray


def iterations(
    params: MeanfieldParams, unary: AnyArray, first: AnyArray, pair: tuple[Filter, Filter],
    weights: Arrays,
) -> Iterator[Iteration]:  # fmt: skip
    """The iterations over one image, in order.

    Args:
        params: the layer's parameters.
        unary: (classes, pixels), the scores that every iteration adds.
        first: (classes, pixels), the scores that the first iteration begins with.
        pair: the spatial and the bilateral filter.
        weights: the three trained arrays.
    """
    by_near, by_alike, bearing = (np.asarray(w).reshape(w.shape[-2:]) for w in weights)
    given = first
    for _ in range(params.iterations):
        prob = softmax(given, 0)
        near, alike = (one.forth(prob) for one in pair)
        message = by_near @ near + by_alike @ alike
        given = unary - bearing @ message
        yield Iteration(prob, near, alike, message, given)


def _meanfield(params: MeanfieldParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    unary, first, image = (np.asarray(array) for array in inputs)
    top = np.empty_like(unary)
    for at in range(len(unary)):
        flat = [
            array[at].reshape(unary.shape[1], -1).astype(np.float64) for array in (unary, first)
        ]
        *_, last = iterations(params, flat[0], flat[1], filters(params, image[at]), weights)
        top[at] = last.made.reshape(unary.shape[1:])
    return (top,)


MULTI_STAGE_MEANFIELD = OpDef(
    name="MultiStageMeanfield",
    arity=Arity((3, 3), (1, 1)),
    params=_parse,
    shape=_shape,
    weights=_weights,
    cost=_cost,
    window=full_extent,
    memory=_memory,
    reference=_meanfield,
    family="other",
    host=True,
)

OPS = (MULTI_STAGE_MEANFIELD,)
