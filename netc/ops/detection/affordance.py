"""PredToProposalLayer of AffordanceNet (rpn/pred_to_proposal_layer.py), as built in.

Regions with their box changes and scores become the detections that masks are predicted of. The
bottoms are regions (image, corners in pixels of the net's input), changes of each class's box,
scores of all classes, and the image's height, width and scale. The tops are the boxes in pixels of
the net's input, their scores, their classes, and the boxes in pixels of the image. There is one
image. Where nothing is found there is one row, with score and class -1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.define import ShapeError
from netc.ops.detection.anchors import moved_rows
from netc.ops.detection.boxes import nms_keep
from netc.ops.param_str import parse_param_str
from netc.ops.python import PythonContext, register_built_in

_NAME = "PredToProposalLayer"
_FIELDS: Mapping[str, object] = {"max_per_image": None, "thresh": None}
_OVERLAP = 0.3  # cfg.TEST.NMS


def _settings(param_str: str) -> tuple[int, float]:
    given = parse_param_str(param_str, _NAME, _FIELDS)
    return int(given["max_per_image"]), float(given["thresh"])


def _shape(inputs: Sequence[Shape], param_str: str, context: PythonContext) -> tuple[Shape, ...]:
    """The shapes when every box is kept that may be; see :func:`_most`."""
    most, _ = _settings(param_str)
    fits = len(inputs) == 4 and all(len(shape) == 2 for shape in inputs)
    if fits:
        rows, changes, scores, _ = inputs
        fits = rows[1] == 5 and rows[0] == changes[0] == scores[0] and changes[1] == 4 * scores[1]
    if not fits:
        raise ShapeError(
            f"AffordanceNet's `{_NAME}` takes regions, changes of each class's box, scores and the "
            f"image's size, the bottoms are {', '.join(map(show, inputs))}"
        )
    found = _most(most, rows[0], scores[1])
    return ((found, 5), (found, 1), (found, 1), (found, 5))


def _most(limit: int, regions: int, classes: int) -> int:
    """The most boxes: as many as the limit, and as regions, for all that score as the last one."""
    found = max(1, regions * (classes - 1))
    return min(found, limit + regions) if limit > 0 else found


@quietly
def _detections(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    most, least = _settings(param_str)
    rows, changes, scores, info = (np.asarray(array, np.float32) for array in inputs)
    scale = info[0, 2]
    boxes = _boxes(rows[:, 1:] / scale, changes, info[0, :2] / scale)
    found = [
        _of_class(boxes[:, label], scores[:, label], label, least)
        for label in range(1, scores.shape[1])
    ]
    kept = np.concatenate(found) if found else np.zeros((0, 6), np.float32)
    if 0 < most < len(kept):
        kept = kept[kept[:, 4] >= np.sort(kept[:, 4])[-most]]
        kept = kept[: _most(most, *scores.shape)]
    if not len(kept):
        kept = np.array([[0, 0, 0, 0, -1, -1]], np.float32)
    own = np.concatenate([np.zeros((len(kept), 1)), kept[:, :4]], axis=1).astype(np.float32)
    return own * scale, kept[:, 4:5], kept[:, 5:], own


def _boxes(rows: AnyArray, changes: AnyArray, size: AnyArray) -> AnyArray:
    """The boxes of each class, (regions, classes, 4), in the image."""
    classes = changes.shape[1] // 4
    moved = np.stack(
        [moved_rows(rows, changes[:, 4 * k : 4 * k + 4]) for k in range(classes)], axis=1
    )
    high, wide = size
    return moved.clip(0, np.array([wide - 1, high - 1] * 2, np.float32))


def _of_class(boxes: AnyArray, scores: AnyArray, label: int, least: float) -> AnyArray:
    """Rows of box, score and class: those of a score, thinned out, the best first."""
    chosen = np.flatnonzero(scores > np.float32(least))
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
    best = chosen[nms_keep(boxes[chosen], _OVERLAP, border=1)]
    named = np.full((len(best), 1), label)
    return np.concatenate([boxes[best], scores[best, None], named], axis=1).astype(np.float32)


def _nothing(
    inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
) -> tuple[None, ...]:
    return (None,) * len(inputs)


register_built_in("rpn.pred_to_proposal_layer", _NAME, _detections, _shape, True, _nothing)
