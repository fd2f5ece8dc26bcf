"""OICRLayer of ppengtang/oicr (Tang et al. 2017, arXiv:1704.00138), a built-in Python layer.

The best region of each class that the image has names those that overlap it.
"""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.contents import Contents, Regions, Whole
from netc.ops.define import ShapeError
from netc.ops.detection.boxes import box_overlaps
from netc.ops.param_str import parse_param_str
from netc.ops.python import PythonContext, register_built_in

_NEAR, _SIDE = 0.5, 600.0


def _oicr_classes(param_str: str) -> int:
    return int(parse_param_str(param_str, "OICRLayer", {"num_classes": None})["num_classes"])


def _oicr_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    classes = _oicr_classes(param_str)
    fits = len(inputs) == 3 and len(inputs[0]) >= 2 and count(inputs[0], 1) == 5
    fits = fits and inputs[0][0] == inputs[1][0] and count(inputs[1], 1) in (classes - 1, classes)
    if not fits or inputs[2][0] != 1 or count(inputs[2]) != classes - 1:
        raise ShapeError(
            f"`OICRLayer` of {classes} classes takes regions of one image, their scores and the "
            f"image's labels; the bottoms are {', '.join(map(show, inputs))}",
            code="python-layer",
        )
    return ((inputs[0][0],), (inputs[0][0],))


def _oicr(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    """Labels of the regions, 0 where they overlap none by a half, and the weights of their loss."""
    classes = _oicr_classes(param_str)
    boxes = np.asarray(inputs[0]).reshape(-1, 5)[:, 1:]
    scores = np.array(inputs[1]).reshape(len(boxes), -1)
    scores = scores[:, 1:] if scores.shape[1] == classes else scores
    chosen, kept, weights = [], [], []
    for label in np.flatnonzero(np.asarray(inputs[2]).reshape(-1) == 1):
        best = int(scores[:, label].argmax())
        chosen.append(boxes[best])
        kept.append(label + 1)
        weights.append(scores[best, label])
        scores[best] = 0  # a region is chosen for one class
    if not chosen:
        return np.zeros(len(boxes)), np.zeros(len(boxes))
    table = box_overlaps(boxes, np.stack(chosen))
    best_of = table.argmax(axis=1)
    labels = np.where(table.max(axis=1) >= _NEAR, np.array(kept)[best_of], 0)
    return labels, np.array(weights)[best_of]


def _oicr_contents(param_str: str, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return Regions(1, _SIDE, _SIDE), None, Whole(2)


register_built_in("oicr_layer.layer", "OICRLayer", _oicr, _oicr_shape, contents=_oicr_contents)
