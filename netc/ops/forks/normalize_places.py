"""Normalize of happynear/caffe-windows: each place's channels over their norm, without weights.

normalize_layer.cpp there, used by NormFace (Wang et al. 2017, arXiv:1704.06369) and AM-Softmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.axes import need_axes
from netc.ops.cost import per_output
from netc.ops.define import (
    POINTWISE,
    Arity,
    LayerContext,
    OpDef,
    TypeReading,
    Window,
    copies,
    erased,
)
from netc.ops.fields import fork_field, reject_unknown_fields
from netc.ops.numbers import one_of
from netc.schema.message import Message

_LEAST = 1e-6  # added to the sum


@dataclass(frozen=True, slots=True)
class NormalizePlacesParams:
    """Of each item and place.

    Args:
        squares: the norm is the root of the sum of squares (L2), else the sum of magnitudes (L1).
        tops: 2 gives the norms too, (items, 1, height, width).
        norm_learns: gradients of the norms pass down (`bp_norm`), else they are dropped.
    """

    squares: bool
    tops: int
    norm_learns: bool


def _message(layer: Message) -> Message:
    """The layer's fields, which an early version has in `softmax_param`."""
    own = "normalize_param" in layer.type.fields and layer.has("normalize_param")
    message: Message = layer.get("normalize_param" if own else "softmax_param")
    return message


def _parse(layer: Message, context: LayerContext) -> NormalizePlacesParams:
    message = reject_unknown_fields(_message(layer), "normalize_type", "fix_gradient", "bp_norm")
    if fork_field(message, "fix_gradient", False):
        raise message.error(
            "fix_gradient",
            "unsupported-field",
            "`fix_gradient` is obeyed by the fork's GPU code alone, which does not divide then",
            "remove it for the derivative",
        )
    kind = one_of(message, "normalize_type", ("L2", "L1")) if _said(message) else "L2"
    learns = bool(fork_field(message, "bp_norm", False)) and context.tops == 2
    return NormalizePlacesParams(kind == "L2", context.tops, learns)


def _said(message: Message) -> bool:
    return "normalize_type" in message.type.fields and message.has("normalize_type")


def _shape(params: NormalizePlacesParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    need_axes(inputs[0], 2, "Normalize")
    data = (*inputs[0], 1, 1)[: max(4, len(inputs[0]))]
    return (inputs[0], (data[0], 1, *data[2:]))[: params.tops]


def norms(params: NormalizePlacesParams, x: AnyArray) -> AnyArray:
    """The norm of each place, with an axis of 1 in the channels' place."""
    xp, least = namespace(x), x.dtype.type(_LEAST)
    if params.squares:
        root: AnyArray = xp.sqrt((x * x).sum(axis=1, keepdims=True) + least)
        return root
    magnitudes: AnyArray = abs(x).sum(axis=1, keepdims=True) + least
    return magnitudes


@quietly
def _normalize(
    params: NormalizePlacesParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    x = inputs[0]
    norm = norms(params, x)
    shapes = _shape(params, (x.shape,))
    return (x / norm, norm.reshape(shapes[-1]))[: params.tops] if params.tops > 1 else (x / norm,)


def _window(
    params: NormalizePlacesParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    return POINTWISE


NORMALIZE_PLACES = OpDef(
    name="NormalizePlaces",
    arity=Arity((1, 1), (1, 2)),
    params=_parse,
    shape=_shape,
    cost=per_output(4),
    window=_window,
    memory=copies(2),
    reference=_normalize,
    family="normalization",
)


def places_reading(layer: Message) -> TypeReading | None:
    """This layer, where a field of its own or a second top says so; SSD's Normalize has neither."""
    if layer.has("norm_param"):
        return None
    own = "normalize_param" in layer.type.fields and layer.has("normalize_param")
    early = layer.has("softmax_param") and _said(layer.get("softmax_param"))
    if own or early or len(layer.get("top")) == 2:
        return TypeReading(erased(NORMALIZE_PLACES))
    return None


READINGS = (NORMALIZE_PLACES,)
