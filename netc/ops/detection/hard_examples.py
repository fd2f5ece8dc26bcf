"""Online hard example mining (Shrivastava et al. 2016) as R-FCN's Caffe has it.

SoftmaxWithLossOHEM gives each place's loss; BoxAnnotatorOHEM keeps the regions of greatest loss.
softmax_loss_ohem_layer and box_annotator_ohem_layer of intel/caffe, which run on a CPU; those of
R-FCN itself need a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.axes import axis_in
from netc.ops.contents import label_along
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.ops.labels import (
    check_batch,
    check_label_count,
    class_labels,
    divisor,
    ohem_normalization,
    parse_ignore_label,
)
from netc.ops.normalization import softmax
from netc.ops.numbers import required_number
from netc.schema.message import Message

_FLT_MIN = 2.0**-126  # FLT_MIN, the least float32 that is no denormal number


@dataclass(frozen=True, slots=True)
class SoftmaxOHEMParams:
    """Parameters of SoftmaxWithLossOHEM.

    Args:
        axis: of the scores, the one that holds the classes.
        ignore_label: predictions with this label do not count; None counts all.
        normalization: as of SoftmaxWithLoss, or PRE_FIXED.
        fixed: what the loss is divided by for PRE_FIXED.
        tops: 1 to 3: the loss (), the probabilities, each prediction's loss in the label's shape.
            With 3 tops the probabilities are zeros, as in the fork.
    """

    axis: int
    ignore_label: int | None
    normalization: str
    fixed: float
    tops: int


def _parse_softmax(layer: Message, context: LayerContext) -> SoftmaxOHEMParams:
    normalization, fixed = ohem_normalization(layer)
    ignored = parse_ignore_label(layer.get("loss_param"))
    axis = reject_unknown_fields(layer.get("softmax_param"), "axis").get("axis")
    return SoftmaxOHEMParams(axis, ignored, normalization, fixed, max(1, context.tops))


def _softmax_shape(params: SoftmaxOHEMParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    axis = axis_in(data, params.axis, "softmax_param.axis")
    check_batch(data, label)
    check_label_count(data, label, axis)
    return ((), data, label)[: params.tops]


@quietly
def _softmax_ohem(
    params: SoftmaxOHEMParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    data, label = inputs
    xp, axis = namespace(data), params.axis % data.ndim
    outer, classes, inner = (
        count(data.shape, 0, axis),
        data.shape[axis],
        count(data.shape, axis + 1),
    )
    index, kept = class_labels(label.reshape(outer, 1, inner), classes, params.ignore_label)
    prob = softmax(data, axis)
    chosen = xp.take_along_axis(prob.reshape(outer, classes, inner), index, axis=1)
    each = xp.where(kept, -xp.log(xp.maximum(chosen, _FLT_MIN)), chosen.dtype.type(0))
    by: AnyArray | float = params.fixed
    if params.normalization != "PRE_FIXED":
        by = divisor(params.normalization, outer, inner, kept.sum())
    # The fork sums as many places as count, from the first on, whichever of them are left out.
    summed = each.reshape(-1)[: int(kept.sum())].sum(dtype=np.float64)
    loss = xp.asarray(summed / by, dtype=data.dtype).reshape(())
    shown_prob = prob if params.tops == 2 else xp.zeros_like(prob)  # ... and gives them to 2 tops
    return (loss, shown_prob, each.reshape(label.shape))[: params.tops]


SOFTMAX_OHEM = OpDef(
    name="SoftmaxWithLossOHEM",
    arity=Arity((2, 2), (1, 3), optional_top=True),
    params=_parse_softmax,
    shape=_softmax_shape,
    cost=per_input(5),
    window=full_extent,
    memory=copies(12),
    reference=_softmax_ohem,
    contents=label_along,
    loss=True,
    family="loss",
)


@dataclass(frozen=True, slots=True)
class BoxAnnotatorParams:
    """The ``roi_per_img`` regions of greatest loss of each image keep their labels and weights.

    All others get ``ignore_label`` and weight 0.
    """

    roi_per_img: int
    ignore_label: int


def _parse_annotator(layer: Message, context: LayerContext) -> BoxAnnotatorParams:
    param = reject_unknown_fields(
        layer.get("box_annotator_ohem_param"), "roi_per_img", "ignore_label"
    )
    return BoxAnnotatorParams(required_number(param, "roi_per_img"), param.get("ignore_label"))


def _annotator_shape(params: BoxAnnotatorParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    regions, losses, labels, weights = inputs
    if len(regions) < 2 or count(regions, 1) != 5:
        raise ShapeError(f"the regions must be rows of 5, the first bottom is {show(regions)}")
    for what, shape in (("losses", losses), ("labels", labels), ("weights", weights)):
        if not shape or shape[0] != regions[0] or (what != "weights" and count(shape, 1) != 1):
            raise ShapeError(f"{regions[0]} regions need as many {what}, they are {show(shape)}")
    return labels, weights


def _annotate(params: BoxAnnotatorParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Labels and weights of the regions with the greatest loss of each image; of equal, any."""
    regions, losses, labels, box_weights = (np.asarray(array) for array in inputs)
    keep = np.zeros(len(regions), dtype=bool)
    images = regions.reshape(len(regions), 5)[:, 0].astype(np.int64)
    for image in np.unique(images):
        own = np.flatnonzero(images == image)
        order = np.argsort(-losses.reshape(-1)[own], kind="stable")
        keep[own[order[: params.roi_per_img]]] = True
    return (
        np.where(_rows(keep, labels), labels, np.float32(params.ignore_label)),
        np.where(_rows(keep, box_weights), box_weights, np.float32(0)),
    )


def _rows(keep: AnyArray, like: AnyArray) -> AnyArray:
    return keep.reshape(-1, *(1,) * (like.ndim - 1))


BOX_ANNOTATOR = OpDef(
    name="BoxAnnotatorOHEM",
    arity=Arity((4, 4), (2, 2)),
    params=_parse_annotator,
    shape=_annotator_shape,
    cost=per_input(2),
    window=full_extent,
    memory=copies(12),
    reference=_annotate,
    family="loss",
    host=True,
)

OPS = (SOFTMAX_OHEM, BOX_ANNOTATOR)
