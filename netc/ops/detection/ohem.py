"""OHEMDataLayer: the regions with the largest losses (Shrivastava et al. 2016, arXiv:1604.03540).

roi_data_layer/layer.py of abhi2610/ohem, with the numbers of its configuration. Regions of one
class and image that overlap one of a larger loss are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, Regions, Whole
from netc.ops.define import ShapeError
from netc.ops.detection.boxes import nms_keep
from netc.ops.param_str import parse_param_str
from netc.ops.python import PythonContext, register_built_in

_BATCH, _OVERLAP, _SIDE = 64, 0.7, 600.0
_LEAST = np.finfo(np.float64).eps  # probability that a logarithm is taken of


def _ohem_classes(param_str: str) -> int:
    return int(parse_param_str(param_str, "OHEMDataLayer", {"num_classes": None})["num_classes"])


def _ohem_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    classes = _ohem_classes(param_str)
    rows = inputs[2][0] if len(inputs) == 7 and inputs[2] else 0
    each = (classes, 4 * classes, 5, 1, *(4 * classes,) * 3)
    if len(inputs) != 7 or any(
        shape[:1] != (rows,) or count(shape, 1) != number
        for shape, number in zip(inputs, each, strict=True)
    ):
        raise ShapeError(
            f"`OHEMDataLayer` of {classes} classes takes scores, box changes, regions, labels and "
            "the changes to learn with their two weights, a row for each region; the bottoms are "
            f"{', '.join(map(show, inputs))}"
        )
    return ((_BATCH, 5), (_BATCH,), *((_BATCH, 4 * classes),) * 3)


def _losses(scores: AnyArray, found: AnyArray, labels: AnyArray, learnt: Arrays) -> AnyArray:
    """The loss of each region: its label's negative logarithm, and smooth L1 of its box."""
    targets, inside, outside = learnt
    own = scores[np.arange(len(labels)), labels].astype(np.float64)
    away = np.abs(inside * (found - targets))
    smooth = np.where(away < 1, 0.5 * away * away, away - 0.5)
    boxes = (outside * smooth * (inside != 0)).sum(axis=1)
    result: AnyArray = -np.log(np.maximum(own, _LEAST)) + np.where(labels > 0, boxes, 0)
    return result


@quietly
def _hard(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    scores, found, rows, marks, *learnt = (
        np.asarray(array).reshape(len(array), -1) for array in inputs
    )
    labels = marks[:, 0].astype(np.int64).clip(0, scores.shape[1] - 1)
    loss = _losses(scores, found, labels, tuple(learnt))
    kept = []
    for image in np.unique(rows[:, 0]):
        for label in np.unique(labels):
            some = np.flatnonzero((rows[:, 0] == image) & (labels == label))
            order = some[np.argsort(-loss[some], kind="stable")]
            kept.extend(order[nms_keep(rows[order, 1:], _OVERLAP, border=1)].tolist())
    chosen = np.array(kept, np.int64)
    best = chosen[np.argsort(-loss[chosen], kind="stable")[:_BATCH]]
    return (rows[best], marks[best, 0], *(array[best] for array in learnt))


def _ohem_contents(param_str: str, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return None, None, Regions(1, _SIDE, _SIDE), Whole(_ohem_classes(param_str))


register_built_in(
    "roi_data_layer.layer",
    "OHEMDataLayer",
    _hard,
    _ohem_shape,
    rows_vary=True,
    contents=_ohem_contents,
)
