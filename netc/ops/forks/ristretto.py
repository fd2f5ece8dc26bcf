"""Ristretto's convolution and inner product in dynamic fixed point (Gysel et al. 2016).

base_ristretto_layer.cpp, conv_ristretto_layer.cpp and fc_ristretto_layer.cpp of pmgysel/caffe. In
TEST the bottoms, the trained arrays and the tops are cut to a number of bits of which some stand
behind the point; in TRAIN the trained arrays alone are, and by chance up or down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from netc.ir.types import Shape, count
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.convolution import CONVOLUTION
from netc.ops.define import (
    FLOAT,
    Cost,
    ErasedOp,
    LayerContext,
    OpDef,
    TypeReading,
    WeightSpec,
    erased,
)
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.linear import INNER_PRODUCT
from netc.ops.random import layer_number, uniform
from netc.ops.window import Window
from netc.schema.message import Message

_WIDTHS = ("bw_layer_in", "bw_params", "bw_layer_out")
_POINTS = ("fl_layer_in", "fl_params", "fl_layer_out")
_FIELDS = ("precision", "rounding_scheme", *_WIDTHS, *_POINTS)
_MOST_BITS, _FURTHEST, _USUAL_POINT = 64, 100, 16


class FixedPoint(NamedTuple):
    """Two's complement numbers of ``bits`` bits, ``point`` of them behind the point."""

    bits: int
    point: int


@dataclass(frozen=True, slots=True)
class RistrettoParams:
    """The plain layer's own parameters, and in what numbers it computes.

    ``bottom`` and ``top`` are None in TRAIN. ``drawn``: numbers go up or down by chance, else to
    the nearest, away from 0 where two are as near.
    """

    inner: object
    bottom: FixedPoint | None
    weight: FixedPoint
    top: FixedPoint | None
    drawn: bool
    bottoms: int
    seed: int


def _point(p: Message, name: str) -> int:
    found = p.get(name) or (_USUAL_POINT,)
    if len(found) > 1:
        raise p.error(
            name,
            "unsupported-value",
            f"Ristretto's layers have one `{name}`, there are {len(found)}",
            "numbers for each channel are Intel's Caffe's, which netc does not compute",
        )
    if abs(found[0]) > _FURTHEST:
        raise p.error(
            name, "out-of-range", f"`{name}` must lie within -100 and 100, it is {found[0]}"
        )
    return int(found[0])


def _formats(p: Message) -> tuple[FixedPoint, ...]:
    """Of the bottoms, the trained arrays and the tops."""
    if p.get("precision") != "DYNAMIC_FIXED_POINT":
        raise p.error(
            "precision",
            "unsupported-value",
            f"netc does not compute Ristretto's precision {p.get('precision')}",
            "its code for CPUs and that for GPUs come to different numbers there; "
            "DYNAMIC_FIXED_POINT is computed",
        )
    for name in _WIDTHS:
        if not 1 <= p.get(name) <= _MOST_BITS:
            raise bad_value(p, name, f"must lie within 1 and {_MOST_BITS}")
    return tuple(
        FixedPoint(p.get(bits), _point(p, point))
        for bits, point in zip(_WIDTHS, _POINTS, strict=True)
    )


def trimmed(x: AnyArray, form: FixedPoint | None, chance: AnyArray | None) -> AnyArray:
    """``x`` in numbers of a format, of its own shape and dtype.

    Args:
        x: any floats.
        form: the format; None leaves ``x`` as it is.
        chance: uniform numbers in [0, 1) of ``x``'s shape that are added before the rest is cut
            off; None rounds to the nearest.
    """
    if form is None:
        return x
    xp, step = namespace(x), 2.0**-form.point
    most = x.dtype.type((2.0 ** (form.bits - 1) - 1) * step)
    least = x.dtype.type(-(2.0 ** (form.bits - 1)) * step)
    scaled = xp.clip(x, least, most).astype(np.float64) / step
    if chance is None:
        whole = xp.trunc(scaled + xp.copysign(0.5, scaled))
    else:
        whole = xp.floor((scaled + chance).astype(np.float64))
    result: AnyArray = (whole * step).astype(x.dtype)
    return result


def _cut(
    params: RistrettoParams, x: AnyArray, form: FixedPoint | None, key: AnyArray | None, draw: int
) -> AnyArray:
    drawn = params.drawn and form is not None
    return trimmed(x, form, uniform(x, x.shape, params.seed, key, draw) if drawn else None)


def cut_weights(params: RistrettoParams, weights: Arrays, key: AnyArray | None) -> list[AnyArray]:
    """The trained arrays as the layer reads them; ``key`` is the generator's."""
    return [_cut(params, w, params.weight, key, index) for index, w in enumerate(weights)]


def cut_bottom(params: RistrettoParams, x: AnyArray, index: int, key: AnyArray | None) -> AnyArray:
    """A bottom as the layer reads it."""
    return _cut(params, x, params.bottom, key, 2 + 2 * index)


def _parse(plain: ErasedOp, layer: Message, context: LayerContext) -> RistrettoParams:
    p = reject_unknown_fields(layer.get("quantization_param"), *_FIELDS)
    test = context.phase == "TEST"
    bottom, weight, top = _formats(p)
    return RistrettoParams(
        plain.params(layer, context),
        bottom if test else None,
        weight,
        top if test else None,
        not test or p.get("rounding_scheme") == "STOCHASTIC",
        context.bottoms,
        layer_number(layer.get("name")),
    )


def _shape(plain: ErasedOp, params: RistrettoParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return plain.shape(params.inner, inputs[: params.bottoms])


def _weights(
    plain: ErasedOp, params: RistrettoParams, inputs: Sequence[Shape]
) -> tuple[WeightSpec, ...]:
    return plain.weights(params.inner, inputs[: params.bottoms])


def _cost(
    plain: ErasedOp, params: RistrettoParams, ins: Sequence[Shape], outs: Sequence[Shape]
) -> Cost:
    found = plain.cost(params.inner, ins[: params.bottoms], outs)
    return Cost(found.macs, found.operations + 4 * sum(map(count, (*ins, *outs))))


def _window(
    plain: ErasedOp, params: RistrettoParams, ins: Sequence[Shape], outs: Sequence[Shape]
) -> Window:
    return plain.window(params.inner, ins[: params.bottoms], outs)


def _memory(
    plain: ErasedOp, params: RistrettoParams, ins: Sequence[Shape], outs: Sequence[Shape]
) -> int:
    arrays = [*ins, *outs, *(spec.shape for spec in _weights(plain, params, ins))]
    own = plain.memory(params.inner, ins[: params.bottoms], outs)
    return own + 12 * FLOAT * sum(map(count, arrays))


def _run(
    plain: ErasedOp, params: RistrettoParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    bottoms = inputs[: params.bottoms]
    key = inputs[params.bottoms] if len(inputs) > params.bottoms else None
    read = [cut_bottom(params, x, index, key) for index, x in enumerate(bottoms)]
    made = plain.reference(params.inner, read, cut_weights(params, weights, key))
    return tuple(_cut(params, y, params.top, key, 3 + 2 * index) for index, y in enumerate(made))


def _ristretto(name: str, plain: ErasedOp) -> OpDef[RistrettoParams]:
    """A layer that does what ``plain`` does, in fixed point."""
    op: OpDef[RistrettoParams] = OpDef(
        name=name,
        arity=plain.arity,
        params=partial(_parse, plain),
        shape=partial(_shape, plain),
        weights=partial(_weights, plain),
        cost=partial(_cost, plain),
        window=partial(_window, plain),
        reference=partial(_run, plain),
        memory=partial(_memory, plain),
        draws=lambda params: params.drawn,
        family=plain.family,
        reading=lambda layer: TypeReading(erased(op), _READ_AS),
    )
    return op


_READ_AS = (
    "type",
    "it cuts its bottom for itself alone; in Ristretto, which cuts the blob itself in TEST, layers "
    "that read it afterwards get what is left",
    (
        "only blobs that several layers read differ: by up to half the last bit of `fl_layer_in`, "
        "more where an element is too large for `bw_layer_in`",
    ),
)

CONVOLUTION_RISTRETTO = _ristretto("ConvolutionRistretto", erased(CONVOLUTION))
FC_RISTRETTO = _ristretto("FcRistretto", erased(INNER_PRODUCT))

OPS = (CONVOLUTION_RISTRETTO, FC_RISTRETTO)
