"""WarpCTCLoss: connectionist temporal classification (Graves et al. 2006) of senlinuc/caffe_ocr.

warp_ctc_loss_layer.cpp, with Baidu's warp-ctc. The bottoms are scores (steps, items, symbols) and
labels (items, ...), from which blanks are left out wherever they stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, Whole
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.ops.forks.ctc_loss import ctc_cost, log_probabilities
from netc.ops.labels import class_labels
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class WarpCTCParams:
    """``blank`` is the blank's number, 0 unless the text says another."""

    blank: int


def _parse(layer: Message, context: LayerContext) -> WarpCTCParams:
    p = reject_unknown_fields(layer.get("ctc_loss_param"), "blank_index")
    return WarpCTCParams(p.get("blank_index") if p.has("blank_index") else 0)


def _shape(params: WarpCTCParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    if len(data) < 3 or count(data, 3) != 1:
        raise ShapeError(f"steps x items x symbols are needed, the bottom is {show(data)}")
    if not 0 <= params.blank < data[2]:
        raise ShapeError(
            f"`blank_index` {params.blank} is none of {data[2]} symbols",
            "ctc_loss_param.blank_index",
        )
    if not label or label[0] != data[1] or count(label, 2) != 1:  # one symbol each, of a vector
        raise ShapeError(f"{data[1]} rows of labels are needed, the bottom is {show(label)}")
    return ((),)


def labelled(params: WarpCTCParams, inputs: Arrays) -> Iterator[tuple[AnyArray, AnyArray]]:
    """Of each item log p (steps, symbols), float64, and the numbers of its symbols.

    Raises:
        NetcError: label-out-of-range.
    """
    logs = log_probabilities(np.asarray(inputs[0]))
    labels, _ = class_labels(np.asarray(inputs[1]), logs.shape[2])
    for item, own in enumerate(labels.reshape(logs.shape[1], -1)):
        yield logs[:, item], own[own != params.blank]


@quietly
def _loss(params: WarpCTCParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The mean over the batch of -log p(symbols); 0 for those that no path has steps for."""
    costs = [ctc_cost(logs, label, params.blank) for logs, label in labelled(params, inputs)]
    return (np.asarray(np.mean(costs), inputs[0].dtype),)


def _contents(params: WarpCTCParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return None, Whole(inputs[0][2])


WARP_CTC_LOSS = OpDef(
    name="WarpCTCLoss",
    arity=Arity((2, 2), (1, 1), optional_top=True),
    params=_parse,
    shape=_shape,
    cost=per_input(10),
    window=full_extent,
    memory=copies(12),
    reference=_loss,
    contents=_contents,
    loss=True,
    family="loss",
    host=True,
)

OPS = (WARP_CTC_LOSS,)
