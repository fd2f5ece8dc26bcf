"""TopK of sparse autoencoders (Makhzani and Frey 2013; topK_layer.cpp of BVLC's pull request 1137).

The greatest elements of an item stay as they are, all others become 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.cost import per_output
from netc.ops.define import LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class TopKParams:
    """``number`` elements of each item are kept; ``channels`` asks for those of each place."""

    number: int
    channels: bool


def _parse(layer: Message, context: LayerContext) -> TopKParams:
    """``k`` in training; in TEST ``k`` times ``a``, which is 0 where the text says nothing."""
    p = reject_unknown_fields(layer.get("topk_param"), "k", "a", "across_channels")
    number = required_number(p, "k")
    if context.phase != "TRAIN":
        number = int(np.float32(number) * np.float32(p.get("a")))
        if number < 1:
            raise p.error(
                "a" if p.has("a") else None,
                "out-of-range",
                f"in the TEST phase `k` times `a` elements are kept, which are {number}",
                "write `a: 1` to keep as many as in training",
            )
    return TopKParams(number, p.get("across_channels"))


def _shape(params: TopKParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    shape = inputs[0]
    if params.channels and len(shape) > 1 and shape[1] > 1 and count(shape, 2) != 1:
        raise ShapeError(
            f"`across_channels` is undefined for the {count(shape, 2)} places of {show(shape)}",
            "topk_param.across_channels",
            ("Caffe reads past the end of a list there",),
        )
    if params.number > count(shape, 1):
        raise ShapeError(
            f"{params.number} elements are to be kept of the {count(shape, 1)} of an item"
        )
    return (shape,)


def kept(params: TopKParams, x: AnyArray) -> AnyArray:
    """Which elements stay, bool in the shape of ``x``; of equal ones the first."""
    xp = namespace(x)
    rows = x.reshape(x.shape[0], -1)
    order = xp.argsort(-rows, axis=1, kind="stable")[:, : params.number]
    mask = xp.zeros(rows.shape, dtype=bool)
    mask[xp.arange(len(rows))[:, None], order] = True
    return mask.reshape(x.shape)


def _top_k(params: TopKParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    (x,) = inputs
    return (namespace(x).where(kept(params, x), x, 0).astype(x.dtype),)


TOP_K = OpDef(
    name="TopK",
    arity=ONE_TO_ONE,
    params=_parse,
    shape=_shape,
    cost=per_output(8),
    window=full_extent,
    memory=copies(8),
    reference=_top_k,
    family="activation",
    host=True,
)

OPS = (TOP_K,)
