"""CTCLoss of ChWick's Caffe: sequences of their own lengths, told by markers.

ctc_loss_layer.cpp, as opencv/training_toolbox_caffe and TextBoxes++ have it. The bottoms are scores
(steps, items, symbols), markers (steps, items), 0 where the next sequence begins, and the symbols
(steps, items), ended by a number below 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.forks.ctc_loss import ctc_cost, log_probabilities
from netc.ops.labels import class_labels
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class SequencesParams:
    """``blank`` is the blank's number, below 0 for the last; ``collapse`` joins equal symbols."""

    blank: int
    collapse: bool

    def blank_of(self, symbols: int) -> int:
        """The blank's number among so many symbols."""
        return self.blank if self.blank >= 0 else symbols - 1


def _parse(layer: Message, context: LayerContext) -> SequencesParams:
    names = ("blank_index", "preprocess_collapse_repeated", "ctc_merge_repeated",
             "output_delay", "loss_calculation_t")  # fmt: skip  # the last does nothing there
    p = reject_unknown_fields(layer.get("ctc_loss_param"), *names)
    if not p.get("ctc_merge_repeated"):
        raise bad_value(p, "ctc_merge_repeated", "must be true, netc has no other path")
    if p.get("output_delay"):
        raise bad_value(p, "output_delay", "must be 0, netc begins with the first step")
    return SequencesParams(p.get("blank_index"), p.get("preprocess_collapse_repeated"))


def _shape(params: SequencesParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data = inputs[0]
    if len(data) < 3 or count(data, 3) != 1:
        raise ShapeError(f"steps x items x symbols are needed, the bottom is {show(data)}")
    for shape in inputs[1:]:
        if shape[:2] != data[:2] or count(shape) != data[0] * data[1]:
            raise ShapeError(f"{data[0]} x {data[1]} numbers are needed, got {show(shape)}")
    return ((),)


def sequences(params: SequencesParams, inputs: Arrays) -> Iterator[tuple[AnyArray, AnyArray]]:
    """Of each item log p of its own steps (steps, symbols), float64, and its symbols' numbers.

    Raises:
        NetcError: label-out-of-range.
    """
    logs = log_probabilities(np.asarray(inputs[0]))
    markers, symbols = (np.asarray(a).reshape(logs.shape[:2]) for a in inputs[1:])
    for item in range(logs.shape[1]):
        begins = np.flatnonzero(np.trunc(markers[1:, item] + 0.5) == 0)
        ends = np.flatnonzero(symbols[:, item] < 0)
        steps = int(begins[0]) + 1 if len(begins) else len(logs)
        own = symbols[: ends[0] if len(ends) else len(symbols), item]
        label, _ = class_labels(np.trunc(own + 0.5), logs.shape[2])
        if params.collapse and len(label):
            label = label[np.append(True, label[1:] != label[:-1])]
        yield logs[: steps if len(label) else 0, item], label


@quietly
def _loss(params: SequencesParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The mean of -log p(symbols); items without symbols count 0, impossible ones infinity."""
    blank, total, number = params.blank_of(inputs[0].shape[2]), 0.0, inputs[0].shape[1]
    for logs, label in sequences(params, inputs):
        if len(logs):
            fits = len(label) + int((label[1:] == label[:-1]).sum()) <= len(logs)
            total += ctc_cost(logs, label, blank) if fits else np.inf
    return (np.asarray(total / max(1, number), inputs[0].dtype),)


CTC_SEQUENCES = OpDef(
    name="CTCLoss",
    arity=Arity((3, 3), (1, 1), optional_top=True),
    params=_parse,
    shape=_shape,
    cost=per_input(10),
    window=full_extent,
    memory=copies(12),
    reference=_loss,
    loss=True,
    family="loss",
    host=True,
)

OPS = (CTC_SEQUENCES,)
