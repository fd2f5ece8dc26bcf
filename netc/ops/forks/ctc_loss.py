"""CtcLoss: connectionist temporal classification (Graves et al. 2006) of yalecyu/crnn.caffe.

ctc_loss_layer.cpp. The bottoms are scores (steps, items, symbols) and labels (items, ...), padded
with the blank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    copies,
    full_extent,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class CtcParams:
    """CtcLoss's fields.

    Args:
        symbols: how many there are, the blank counted (``alphabet_size``).
        steps: of the scores that are read, from the first (``time_step``).
        blank: the blank's number (``blank_label``).
    """

    symbols: int
    steps: int
    blank: int


def _parse_ctc(layer: Message, context: LayerContext) -> CtcParams:
    p = reject_unknown_fields(
        layer.get("ctc_loss_param"), "alphabet_size", "time_step", "blank_label"
    )
    return CtcParams(
        required_number(p, "alphabet_size"), required_number(p, "time_step"), p.get("blank_label")
    )


def _ctc_shape(params: CtcParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    if len(data) < 3 or count(data, 2) != params.symbols or data[0] < params.steps:
        raise ShapeError(
            f"{params.steps} steps of {params.symbols} symbols are needed, the bottom is "
            f"{show(data)}",
            "ctc_loss_param.alphabet_size",
        )
    # One symbol an item is what Data gives; CC4.0's Data gives it a second axis of 1.
    if not label or label[0] != data[1]:
        raise ShapeError(
            f"labels of {data[1]} items are needed, the second bottom is {show(label)}"
        )
    return ((),)


@quietly
def _ctc(params: CtcParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The mean over the batch of -log p(label) (Graves et al. 2006); blanks pad the labels."""
    logs = log_probabilities(np.asarray(inputs[0])[: params.steps])
    labels = np.asarray(inputs[1]).reshape(logs.shape[1], -1).astype(np.int64)
    costs = [
        ctc_cost(logs[:, at], own[own != params.blank], params.blank)
        for at, own in enumerate(labels)
    ]
    return (np.array(np.mean(costs), inputs[0].dtype),)


def log_probabilities(scores: AnyArray) -> AnyArray:
    """The logarithm of each symbol's probability, float64 (steps, items, symbols).

    Args:
        scores: (steps, items, ...), whose other axes together are the symbols.
    """
    own = scores.reshape(*scores.shape[:2], -1).astype(np.float64)
    shifted = own - own.max(axis=2, keepdims=True)
    logs: AnyArray = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
    return logs


def ctc_cost(logs: AnyArray, label: AnyArray, blank: int) -> float:
    """-log of the probability of all alignments; 0 where there are too few steps for any."""
    if len(label) + int((label[1:] == label[:-1]).sum()) > len(logs):
        return 0.0
    path, skips = ctc_path(label, blank)
    alpha = np.full(len(path), -np.inf)
    alpha[:2] = logs[0, path[:2]]
    for step in logs[1:]:
        one = np.concatenate([[-np.inf], alpha[:-1]])
        two = np.where(skips, np.concatenate([[-np.inf, -np.inf], alpha])[: len(path)], -np.inf)
        alpha = np.logaddexp(np.logaddexp(alpha, one), two) + step[path]
    return -float(np.logaddexp.reduce(alpha[-2:]))


def ctc_path(label: AnyArray, blank: int) -> tuple[AnyArray, AnyArray]:
    """A label with a blank before, between and behind its symbols, and where one may be skipped.

    Args:
        label: (length,) of whole numbers, without blanks.
        blank: the blank's number.

    Returns:
        (2 * length + 1,) symbols; of each whether the path may come to it from two before.
    """
    path = np.full(2 * len(label) + 1, blank)
    path[1::2] = label
    skips = np.zeros(len(path), dtype=bool)
    skips[2:] = (path[2:] != blank) & (path[2:] != path[:-2])
    return path, skips


CTC_LOSS = OpDef(
    name="CtcLoss",
    arity=Arity((2, 2), (1, 1), optional_top=True),
    params=_parse_ctc,
    shape=_ctc_shape,
    cost=per_input(10),
    window=full_extent,
    memory=copies(12),
    reference=_ctc,
    loss=True,
    family="loss",
    host=True,
)

OPS = (CTC_LOSS,)
