"""Losses of the deep hashing network: PairwiseLoss of one batch and QuantizationLoss.

pairwise_loss_layer.cu and quantization_loss_layer.cu of BVLC's pull request 5757 (Zhu, Long, Wang
and Cao, AAAI 2016). There the code for the processor is empty; this is the device's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input
from netc.ops.define import FLOAT, Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.ops.labels import check_batch
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class AsymptoteParams:
    """``threshold``: from here on the loss's asymptote stands for it; below 0 for none."""

    threshold: float


def _parse_pairs(layer: Message, context: LayerContext) -> AsymptoteParams:
    return AsymptoteParams(
        reject_unknown_fields(layer.get("pairwise_param"), "threshold").get("threshold")
    )


def _pairs_shape(params: AsymptoteParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    check_batch(*inputs)
    return ((),)


def _pairs_memory(
    params: AsymptoteParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> int:
    items = inputs[0][0] if inputs[0] else 1
    return FLOAT * 2 * (6 * items * items + 2 * sum(map(count, inputs)))


def codes_and_likeness(inputs: Arrays) -> tuple[AnyArray, AnyArray]:
    """The codes, float64 (n, length), and which two items share a label, bool (n, n)."""
    rows, label = (np.asarray(a).reshape(len(a), -1).astype(np.float64) for a in inputs[:2])
    return rows, label @ label.T > 0


@quietly
def _pairs(params: AsymptoteParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The mean of log(1 + e^p) - s p over all pairs, of an item with itself too."""
    rows, like = codes_and_likeness(inputs)
    product = rows @ rows.T
    each = np.logaddexp(0, product) - like * product
    if params.threshold >= 0:
        each = np.where(product >= params.threshold, product * ~like, each)
    return (np.asarray(each.sum() / max(1, each.size), inputs[0].dtype),)


PAIRWISE_OF_BATCH = OpDef(
    name="PairwiseLossOfBatch",
    arity=Arity((2, 2), (1, 1), optional_top=True),
    params=_parse_pairs,
    shape=_pairs_shape,
    cost=per_input(12),
    window=full_extent,
    memory=_pairs_memory,
    reference=_pairs,
    loss=True,
    family="loss",
    host=True,
)


def _parse_quantization(layer: Message, context: LayerContext) -> AsymptoteParams:
    return AsymptoteParams(
        reject_unknown_fields(layer.get("quantization_param"), "threshold").get("threshold")
    )


def _codes_shape(params: AsymptoteParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    if not inputs[0]:
        raise ShapeError(f"codes of a batch are wanted, the bottom is {show(inputs[0])}")
    return ((),)


@quietly
def _quantization(params: AsymptoteParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The mean of log cosh(|x| - 1)."""
    far = np.abs(np.asarray(inputs[0]).astype(np.float64)) - 1
    each = np.logaddexp(far, -far) - np.log(2)
    if params.threshold > 0:
        each = np.where(far > params.threshold, far - np.log(2), each)
    return (np.asarray(each.sum() / max(1, each.size), inputs[0].dtype),)


QUANTIZATION_LOSS = OpDef(
    name="QuantizationLoss",
    arity=Arity((1, 1), (1, 1), optional_top=True),
    params=_parse_quantization,
    shape=_codes_shape,
    cost=per_input(6),
    window=full_extent,
    memory=copies(8),
    reference=_quantization,
    loss=True,
    family="loss",
    host=True,
)

OPS = (QUANTIZATION_LOSS,)
READINGS = (PAIRWISE_OF_BATCH,)
