"""ContrastiveLoss: contrastive_loss_layer.cpp (Hadsell, Chopra and LeCun, CVPR 2006)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, dims, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.contents import flag_last
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, full_extent
from netc.ops.fields import fork_field, reject_unknown_fields
from netc.ops.labels import (
    check_batch,
)
from netc.ops.loss import check_one_label_each, check_single, per_example, scalar
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class ContrastiveLossParams:
    """d^2 of similar pairs, max(``margin`` - d, 0)^2 of others, d being their Euclidean distance.

    The mean over the batch is halved. ``legacy_version`` takes max(``margin`` - d^2, 0) of others.
    """

    margin: float
    legacy_version: bool


_CATEGORIES = 4  # bottoms with a class of each item, where BVLC Caffe has one likeness of both


def _parse_contrastive(layer: Message, context: LayerContext) -> ContrastiveLossParams:
    """BVLC's pull request 1278 has `label_type: CATEGORY`, with a class of either item."""
    names = ("margin", "legacy_version", "label_type")
    param = reject_unknown_fields(layer.get("contrastive_loss_param"), *names)
    classes = fork_field(param, "label_type", "PAIR_SIMILARITY") == "CATEGORY"
    if classes != (context.bottoms == _CATEGORIES):
        kind = "CATEGORY" if classes else "PAIR_SIMILARITY"
        raise layer.error(
            "bottom",
            "bottom-count",
            f"ContrastiveLoss with `label_type: {kind}` takes {3 + classes} bottoms, it has "
            f"{context.bottoms}",
            "the default is PAIR_SIMILARITY, one number that is not 0 where both are alike"
            if not classes
            else "the third and fourth bottoms are the classes of both",
        )
    return ContrastiveLossParams(param.get("margin"), param.get("legacy_version"))


def _contrastive_shape(params: ContrastiveLossParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    first, second, *labels = inputs
    for name, shape in (("first", first), ("second", second)):
        _check_plain(f"the {name} bottom", shape)
    channels = [dims(shape).channels for shape in (first, second)]
    if channels[0] != channels[1]:
        raise ShapeError(
            f"both bottoms must have as many channels: {channels[0]} in {show(first)} and "
            f"{channels[1]} in {show(second)}"
        )
    check_batch(first, second)
    for which, label in zip(("third", "fourth"), labels, strict=False):
        check_single(f"the {which} bottom", label)
        check_one_label_each(first, label)
    return ((),)


def alike(inputs: Arrays) -> AnyArray:
    """Which pairs are similar: said to be, or of one class; bool (items,)."""
    first, _, *labels = inputs
    xp, number = namespace(first), len(first)
    said = [xp.trunc(label.reshape(-1)[:number]) for label in labels]
    similar: AnyArray = said[0] == said[1] if len(said) > 1 else said[0] != 0
    return similar


def _check_plain(what: str, shape: Shape) -> None:
    """A vector for each example: height and width 1, read the old way."""
    if len(shape) > 4 or dims(shape)[2:] != (1, 1):
        raise ShapeError(f"{what} must have height and width 1, it is {show(shape)}")


@quietly
def _contrastive(
    params: ContrastiveLossParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    first, second = inputs[:2]
    xp = namespace(first)
    number = first.shape[0]
    difference = (first - second.reshape(first.shape)).reshape(number, count(first.shape, 1))
    squares = (difference * difference).sum(axis=1)
    if params.legacy_version:
        pushed = xp.maximum(params.margin - squares, 0)
    else:
        pushed = xp.maximum(params.margin - xp.sqrt(squares), 0) ** 2
    total = xp.where(alike(inputs), squares, pushed).sum(dtype=np.float64)
    return (scalar(per_example(total, number, first) / 2, first),)


CONTRASTIVE_LOSS = OpDef(
    name="ContrastiveLoss",
    arity=Arity((3, 4), (1, 1), optional_top=True),
    params=_parse_contrastive,
    shape=_contrastive_shape,
    cost=per_input(3),
    window=full_extent,
    reference=_contrastive,
    loss=True,
    contents=flag_last,
    family="loss",
)

OPS = (CONTRASTIVE_LOSS,)
