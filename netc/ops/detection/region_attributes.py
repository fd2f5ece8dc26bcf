"""Attributes and relations of the regions that a detector trains on.

rpn/proposal_target_layer.py of peteanderson80/bottom-up-attention (Anderson et al. 2018,
arXiv:1707.07998). Rows of true boxes are a box, its label, the numbers of its attributes, 0 where
it has fewer, and, where relations train, one number for each true box: the relation it has to that
box, 0 for none.
"""

from __future__ import annotations

from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray
from netc.ops.define import ShapeError
from netc.ops.detection.anchor_targets import drawn
from netc.ops.param_str import ParamFields
from netc.ops.python import PythonContext

BATCH, POSITIVES = 64, 32  # experiments/cfgs/faster_rcnn_end2end_resnet.yml there
ATTRIBUTES = 16  # of a true box
_BEFORE = 5  # numbers of a row before them


class Extras(NamedTuple):
    """What is told of regions beside their class.

    Args:
        attributes, relations: whether a top tells them.
        ignore: the label of what does not count.
    """

    attributes: bool
    relations: bool
    ignore: float

    @property
    def any(self) -> bool:
        """Whether there is anything."""
        return self.attributes or self.relations


def extras(given: ParamFields) -> Extras:
    """By the layer's fields; a number of classes of 0 is none."""
    attributes, relations = (float(given[f"num_{name}_classes"]) > 0 for name in ("attr", "rel"))
    return Extras(attributes, relations, float(given["ignore_label"]))


def extra_shapes(told: Extras, truth: Shape) -> tuple[Shape, ...]:
    """(32, 16) for attributes, (32 * 32, 1, 1, 1) for relations, behind the layer's five tops.

    Rows of true boxes may be of 5 before data come, as the data layer's set-up has them.

    Raises:
        ShapeError: rows of another width than attributes or relations have.
    """
    wide, least = count(truth, 1), _BEFORE + ATTRIBUTES
    wanted = least + truth[0]
    if told.relations and wide not in (_BEFORE, wanted):
        raise ShapeError(
            f"with relations, rows of {truth[0]} true boxes have {wanted} numbers: box, label, "
            f"{ATTRIBUTES} attributes and the relation to each; the second bottom is {show(truth)}"
        )
    if told.attributes and wide != _BEFORE and wide < least:
        raise ShapeError(
            f"with attributes, rows of true boxes have at least {least} numbers: box, label and "
            f"{ATTRIBUTES} attributes; the second bottom is {show(truth)}"
        )
    made = (
        *(((POSITIVES, ATTRIBUTES),) if told.attributes else ()),
        *(((POSITIVES**2, 1, 1, 1),) if told.relations else ()),
    )
    return made


def row_width(told: Extras, rows: int) -> int:
    """How many numbers a row of so many true boxes has."""
    if not told.any:
        return _BEFORE
    return _BEFORE + ATTRIBUTES + (rows if told.relations else 0)


def extra_targets(told: Extras, truth: AnyArray, context: PythonContext) -> tuple[AnyArray, ...]:
    """Labels of the positives' attributes, and of the relation of each to each.

    Args:
        told: which.
        truth: the true box of each positive and its further numbers, relations being those to the
            positives' true boxes: (positives, 21) or (positives, 21 + positives).
        context: for the generator's key.

    Returns:
        Arrays as ``extra_shapes`` says. Of attributes the first number of a region is kept as it
        is, a 0 among the others is ignored. Of pairs without a relation as many count, as class 0,
        as there are relations; others are ignored.
    """
    made = list[AnyArray]()
    if told.attributes:
        labels = np.full((POSITIVES, ATTRIBUTES), told.ignore, np.float32)
        own = truth[:, _BEFORE : _BEFORE + ATTRIBUTES].copy()
        own[:, 1:][own[:, 1:] == 0] = told.ignore
        labels[: len(own)] = own
        made.append(labels)
    if told.relations:
        made.append(_relations(told, truth[:, _BEFORE + ATTRIBUTES :], context))
    return tuple(made)


def _relations(told: Extras, table: AnyArray, context: PythonContext) -> AnyArray:
    flat = table.reshape(-1).astype(np.float32)
    none = np.flatnonzero(flat == 0)
    related = len(flat) - len(none)
    if len(none) > related:
        none = drawn(none, related, flat, context, 2)
    flat = np.where(flat == 0, np.float32(told.ignore), flat)
    flat[none] = 0
    labels = np.full((POSITIVES, POSITIVES), told.ignore, np.float32)
    labels[: len(table), : len(table)] = flat.reshape(table.shape)
    return labels.reshape(-1, 1, 1, 1)


def positives_truth(told: Extras, truth: AnyArray, at: AnyArray) -> AnyArray:
    """Rows of the positives' true boxes, whose relations are those to each other.

    Args:
        told: what is wanted.
        truth: all true boxes, (n, 21) or (n, 21 + n).
        at: the true box of each positive.

    Raises:
        NetcError: rows are of 5 numbers still.
    """
    rows, least = truth, _BEFORE + ATTRIBUTES
    if told.any and rows.shape[1] < least:
        raise NetcError(
            Diagnostic(
                "python-layer",
                f"the true boxes are rows of {rows.shape[1]} numbers; with attributes or relations "
                f"they have {least} or more",
                help=(f"feed true boxes of {least}: box, label and {ATTRIBUTES} attributes",),
            )
        )
    if not told.relations:
        return rows[at]
    return np.concatenate([rows[at, :least], rows[at, least:][:, at]], axis=1)
