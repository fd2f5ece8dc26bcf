"""CTCGreedyDecoder: the best path of connectionist temporal classification (Graves et al. 2006).

ctc_decoder_layer.cpp of ChWick's Caffe, as opencv/training_toolbox_caffe has it. The bottoms are
scores (steps, items, symbols), markers (steps, items), 0 where a new sequence begins, and possibly
the true symbols (steps, items), ended by a number below 0. With scores alone, as license plate nets
have it, each item has all steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class DecoderParams:
    """CTCGreedyDecoder's fields.

    Args:
        blank: the blank's number; below 0 for the last symbol.
        merge: symbols that repeat at once count once.
        scores, accuracy: whether there is a top of scores, or of the share of right sequences.
    """

    blank: int
    merge: bool
    scores: bool
    accuracy: bool


def _parse(layer: Message, context: LayerContext) -> DecoderParams:
    p = reject_unknown_fields(layer.get("ctc_decoder_param"), "blank_index", "ctc_merge_repeated")
    told = context.bottoms == 3 and context.tops > 1
    scores = context.tops == 3 or (context.bottoms == 2 and context.tops == 2)
    return DecoderParams(p.get("blank_index"), p.get("ctc_merge_repeated"), scores, told)


def _shape(params: DecoderParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data = inputs[0]
    if len(data) < 3 or count(data, 3) != 1:
        raise ShapeError(f"steps x items x symbols are needed, the bottom is {show(data)}")
    steps, items, _ = data[:3]
    for shape in inputs[1:]:
        if count(shape) != steps * items:
            raise ShapeError(f"{steps} x {items} markers or symbols are needed, got {show(shape)}")
    if params.scores and not params.accuracy and len(inputs) != 2:
        raise ShapeError("scores and the accuracy are two tops behind the sequences")
    scores: tuple[Shape, ...] = ((items, 1, 1, 1),) if params.scores else ()
    accuracy: tuple[Shape, ...] = ((1, 1, 1, 1),) if params.accuracy else ()
    return ((items, steps, 1, 1), *scores, *accuracy)


def _decode(params: DecoderParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Of each item the best symbols in order, blanks and repetitions left out, then -1."""
    data = np.asarray(inputs[0])
    steps, items, symbols = data.shape[:3]
    scores = data.reshape(steps, items, symbols)
    markers = np.ones((steps, items)) if len(inputs) == 1 else np.asarray(inputs[1])
    markers = markers.reshape(steps, items)
    blank = params.blank if params.blank >= 0 else symbols - 1
    best, most = scores.argmax(axis=2), scores.max(axis=2)
    found, totals = [], []
    for item in range(items):
        ends = np.flatnonzero(markers[1:, item] == 0)
        length = int(ends[0]) + 1 if len(ends) else steps
        path = best[:length, item]
        new = np.append(True, path[1:] != path[:-1]) if params.merge else np.ones(length, bool)
        found.append(path[new & (path != blank)])
        totals.append(-float(most[:length, item].sum()))
    return _tops(params, inputs, found, totals)


def _tops(
    params: DecoderParams, inputs: Arrays, found: list[AnyArray], totals: list[float]
) -> tuple[AnyArray, ...]:
    kind, steps = inputs[0].dtype, inputs[0].shape[0]
    symbols = np.full((len(found), steps), -1, kind)
    for row, own in zip(symbols, found, strict=True):
        row[: len(own)] = own
    tops = [symbols[:, :, None, None]]
    if params.scores:
        tops.append(np.array(totals, kind).reshape(-1, 1, 1, 1))
    if params.accuracy:
        truth = np.asarray(inputs[2]).reshape(steps, -1)
        right = sum(_is_right(truth[:, item], own) for item, own in enumerate(found))
        tops.append(np.full((1, 1, 1, 1), right / max(1, len(found)), kind))
    return tuple(tops)


def _is_right(truth: AnyArray, found: AnyArray) -> bool:
    """Whether the true symbols, up to the first below 0, are the first ones found."""
    ends = np.flatnonzero(truth < 0)
    wanted = np.trunc(truth[: ends[0] if len(ends) else len(truth)] + 0.5)
    return len(wanted) <= len(found) and bool((found[: len(wanted)] == wanted).all())


CTC_GREEDY = OpDef(
    name="CTCGreedyDecoder",
    arity=Arity((1, 3), (1, 3)),
    params=_parse,
    shape=_shape,
    cost=per_input(2),
    window=full_extent,
    memory=copies(6),
    reference=_decode,
    family="other",
    host=True,
)

OPS = (CTC_GREEDY,)
