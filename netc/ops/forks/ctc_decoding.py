"""CTCGreedyDecoder: the best path of connectionist temporal classification (Graves et al. 2006).

ctc_decoder_layer.cpp of ChWick's Caffe, as opencv/training_toolbox_caffe has it: scores (steps,
items, symbols), markers (steps, items), 0 where a new sequence begins, and possibly the true
symbols (steps, items), ended by a number below 0. The other of senlinuc/caffe_ocr and the license
plate nets after it: scores alone, which give the symbols, or scores and true symbols (items, ...),
which give the accuracies; the blank is symbol 0 unless the text says another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, Stand, copies, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class DecoderParams:
    """CTCGreedyDecoder's fields.

    Args:
        blank: the blank's number; below 0 for the last symbol, None where the text says none.
        merge: symbols that repeat at once count once.
        scores, accuracy: whether there is a top of scores, or of the share of right sequences.
    """

    blank: int | None
    merge: bool
    scores: bool
    accuracy: bool

    def blank_of(self, symbols: int, usual: int = -1) -> int:
        """The blank's number among so many symbols; ``usual`` where the text says none."""
        blank = usual if self.blank is None else self.blank
        return blank if blank >= 0 else symbols - 1


def _parse(layer: Message, context: LayerContext) -> DecoderParams:
    p = reject_unknown_fields(layer.get("ctc_decoder_param"), "blank_index", "ctc_merge_repeated")
    measured = context.bottoms == 3 and context.tops > 1
    scores = context.tops == 3 or (context.bottoms == 2 and context.tops == 2)
    return DecoderParams(p.optional("blank_index"), p.get("ctc_merge_repeated"), scores, measured)


def _shape(params: DecoderParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data = inputs[0]
    if len(data) < 3 or count(data, 3) != 1:
        raise ShapeError(f"steps x items x symbols are needed, the bottom is {show(data)}")
    steps, items, _ = data[:3]
    if _is_accuracy(params, inputs) and _is_marked(inputs):
        raise ShapeError(
            f"{show(inputs[1])} may be markers, to give symbols, or symbols, to give accuracies",
            code="ambiguous-layer",
            help=("where there are not as many symbols as steps for each item the shape tells",),
        )
    for shape in inputs[1:]:
        if count(shape) != steps * items:
            raise ShapeError(f"{steps} x {items} markers or symbols are needed, got {show(shape)}")
    if params.scores and not params.accuracy and len(inputs) != 2:
        raise ShapeError("scores and the accuracy are two tops behind the sequences")
    scores: tuple[Shape, ...] = ((items, 1, 1, 1),) if params.scores else ()
    accuracy: tuple[Shape, ...] = ((1, 1, 1, 1),) if params.accuracy else ()
    return ((items, steps, 1, 1), *scores, *accuracy)


def _is_marked(inputs: Sequence[Shape]) -> bool:
    """Whether the second bottom may be markers, one for each step and item."""
    return count(inputs[1]) == inputs[0][0] * inputs[0][1] and inputs[1][0] == inputs[0][0]


def _is_accuracy(params: DecoderParams, inputs: Sequence[Shape]) -> bool:
    """Whether it may be caffe_ocr's accuracy: two bottoms, one top, rows of true symbols."""
    if len(inputs) != 2 or params.scores or len(inputs[0]) < 3 or len(inputs[1]) < 2:
        return False
    return inputs[1][0] == inputs[0][1] and count(inputs[1], 2) == 1


def _by_shape(params: DecoderParams, inputs: Sequence[Shape]) -> Stand | None:
    found = _is_accuracy(params, inputs) and not _is_marked(inputs)
    return Stand(CTC_ACCURACY.name, params) if found else None


def _decode(params: DecoderParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Of each item the best symbols in order, blanks and repetitions left out, then -1."""
    steps, items, symbols = inputs[0].shape[:3]
    lengths = np.full(items, steps)
    if len(inputs) > 1:
        markers = np.asarray(inputs[1]).reshape(steps, items)
        for item in range(items):
            ends = np.flatnonzero(markers[1:, item] == 0)
            lengths[item] = int(ends[0]) + 1 if len(ends) else steps
    blank = params.blank_of(symbols, -1 if len(inputs) > 1 else _BLANK)
    found, totals = _best(params, np.asarray(inputs[0]), lengths, blank)
    return _tops(params, inputs, found, totals)


_BLANK = 0  # of caffe_ocr


def _best(
    params: DecoderParams, data: AnyArray, lengths: AnyArray, blank: int
) -> tuple[list[AnyArray], list[float]]:
    """The symbols of each item's best path, and the negative sum of the scores along it."""
    scores = data.reshape(data.shape[:3])
    best, probability = scores.argmax(axis=2), scores.max(axis=2)
    found, totals = [], []
    for item, length in enumerate(lengths):
        path = best[:length, item]
        new = np.append(True, path[1:] != path[:-1]) if params.merge else np.ones(length, bool)
        found.append(path[new & (path != blank)])
        totals.append(-float(probability[:length, item].sum()))
    return found, totals


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


# The accuracies of senlinuc/caffe_ocr


def _accuracy_shape(params: DecoderParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return ((1, 2, 1, 1),)


def _accuracy(params: DecoderParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """1 less the mean of edits over the longer length, and the share of items without any."""
    data, truth = np.asarray(inputs[0]), np.asarray(inputs[1])
    steps, items, symbols = data.shape[:3]
    blank = params.blank_of(symbols, _BLANK)
    found, _ = _best(params, data, np.full(items, steps), blank)
    edits = right = 0.0
    for row, own in zip(truth.reshape(items, -1), found, strict=True):
        ends = np.flatnonzero(row < 0)
        wanted = np.trunc(row[: ends[0] if len(ends) else len(row)] + 0.5)
        wanted = wanted[wanted != blank]
        longer = max(len(wanted), len(own))
        if longer:
            number = edit_distance(wanted, own)
            edits, right = edits + number / longer, right + (number == 0)
    rates = [1 - edits / items, right / items]
    return (np.array(rates, data.dtype).reshape(1, 2, 1, 1),)


def edit_distance(one: AnyArray, other: AnyArray) -> int:
    """The least number of symbols to add, drop or change between two sequences (Levenshtein)."""
    row = np.arange(len(other) + 1)
    for at, symbol in enumerate(one):
        above = row
        row = np.empty_like(above)
        row[0] = at + 1
        kept = np.minimum(above[1:] + 1, above[:-1] + (other != symbol))
        for place, cost in enumerate(kept):
            row[place + 1] = min(cost, row[place] + 1)
    return int(row[-1])


CTC_ACCURACY = OpDef(
    name="CTCGreedyAccuracy",
    arity=Arity((2, 2), (1, 1)),
    params=_parse,
    shape=_accuracy_shape,
    cost=per_input(2),
    window=full_extent,
    memory=copies(6),
    reference=_accuracy,
    family="other",
    host=True,
)

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
    by_shape=_by_shape,
    host=True,
)

OPS = (CTC_GREEDY,)
READINGS = (CTC_ACCURACY,)
