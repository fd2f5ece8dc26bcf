"""WassersteinLoss: the cost of moving one distribution to another, smoothed by its entropy.

wasserstein_loss_layer.cpp of BVLC's pull request 3817 (Frogner et al. 2015, arXiv:1506.05439;
Cuturi 2013). The costs, classes x classes, are the data set `data` of an HDF5 file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input
from netc.ops.define import Arity, BlobFile, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.labels import check_batch
from netc.ops.numbers import number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class WassersteinParams:
    """Parameters of WassersteinLoss.

    Args:
        source: the file of the costs, as it is written.
        rounds: how often both scalings are computed, ``scaling_iter``.
        sharpness: ``lambda``; the entropy counts one over it.
        shifted: the mean of an item's gradient is taken off it.
        costs: of moving from class to class, once the file has been read.
    """

    source: str
    rounds: int
    sharpness: float
    shifted: bool
    costs: Array | None = field(default=None, compare=False, repr=False)


def _parse(layer: Message, context: LayerContext) -> WassersteinParams:
    names = ("ground_metric", "scaling_iter", "lambda", "shift_gradient")
    p = reject_unknown_fields(layer.get("wasserstein_param"), *names)
    if not p.has("ground_metric"):
        raise p.error(
            None,
            "missing-field",
            "`ground_metric` is not given, the HDF5 file of the costs between classes",
            'add `wasserstein_param { ground_metric: "costs.h5" }`',
        )
    if not 0 < p.get("lambda") < float("inf"):
        raise bad_value(p, "lambda", "must be greater than 0 and finite")
    return WassersteinParams(
        p.get("ground_metric"),
        number(p, "scaling_iter", 0),
        p.get("lambda"),
        p.get("shift_gradient"),
    )


def _shape(params: WassersteinParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    check_batch(data, label)
    wide = label[1] if len(label) > 1 else 1
    if count(label, 2) != 1 or wide not in (1, count(data, 1)):
        raise ShapeError(
            f"the label must be a class, or a distribution over {count(data, 1)} of them, for each "
            f"of {data[0]} items, it is {show(label)}"
        )
    return ((),)


class Scalings(NamedTuple):
    """``rows`` u and ``columns`` v of Sinkhorn's algorithm, float64 (items, classes)."""

    rows: AnyArray
    columns: AnyArray


def costs_of(params: WassersteinParams, classes: int) -> AnyArray:
    """The costs, float64 (classes, classes).

    Raises:
        NetcError: ground-metric, where the file has not been read.
    """
    if params.costs is None:
        message = f"the costs `{params.source}` have not been read"
        raise NetcError(Diagnostic("ground-metric", message))
    return np.asarray(params.costs, np.float64).reshape(classes, classes)


def scalings(params: WassersteinParams, inputs: Arrays) -> Scalings:
    """Both scalings after ``rounds`` rounds; a class is a distribution that is 1 there."""
    said, label = (np.asarray(a).reshape(len(a), -1).astype(np.float64) for a in inputs[:2])
    classes = said.shape[1]
    if label.shape[1] == 1:
        label = np.eye(classes)[np.clip(label[:, 0].astype(np.int64), 0, classes - 1)]
    likely = np.exp(-params.sharpness * costs_of(params, classes) - 1)
    rows, columns = np.ones_like(said), np.ones_like(said)
    for _ in range(params.rounds):
        columns = label / (rows @ likely)
        rows = said / (columns @ likely.T)
    return Scalings(rows, columns)


@quietly
def _wasserstein(
    params: WassersteinParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    """u'(K M) v + (u log u)'K v / l + u'K(v log v) / l + u'(K log K) v / l, over the items.

    As in Caffe it is NaN where a class has no share: 0 log 0 is not taken for 0 there. The
    gradient does without these terms.
    """
    u, v = scalings(params, inputs)
    costs = costs_of(params, u.shape[1])
    likely = np.exp(-params.sharpness * costs - 1)
    entropy = ((u * np.log(u)) @ likely * v).sum()
    entropy += ((v * np.log(v)) @ likely.T * u).sum()
    entropy += (u @ (likely * np.log(likely)) * v).sum()
    moved = (u @ (likely * costs) * v).sum()
    return (np.asarray((moved + entropy / params.sharpness) / len(u), inputs[0].dtype),)


def _given(
    params: WassersteinParams, inputs: Sequence[Shape], path: str, array: Array
) -> WassersteinParams:
    classes = count(inputs[0], 1)
    if array.shape[:1] != (classes,) or array.size != classes * classes:
        raise ShapeError(
            f"`{path}`: the costs must be {classes}x{classes} for {classes} classes, they are "
            f"{show(array.shape)}",
            code="ground-metric",
        )
    return replace(params, source=path, costs=array)


WASSERSTEIN_LOSS = OpDef(
    name="WassersteinLoss",
    arity=Arity((2, 2), (1, 1), optional_top=True),
    params=_parse,
    shape=_shape,
    cost=per_input(12),
    window=full_extent,
    memory=copies(24),
    reference=_wasserstein,
    loss=True,
    blob_file=BlobFile(
        lambda params: params.source,
        _given,
        data_set="data",
        example=lambda params, shapes: (count(shapes[0], 1),) * 2,
    ),
    family="loss",
    host=True,
)

OPS = (WASSERSTEIN_LOSS,)
