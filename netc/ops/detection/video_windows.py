"""R-C3D's Python layers: windows of time in a video (Xu et al. 2017).

proposal_layer.py, anchor_target_layer.py and proposal_target_layer.py of ``rpn`` in
VisionLearningGroup/R-C3D, which have the names of Faster R-CNN's and are told from them by their
bottoms: volumes and rows of 3. The numbers are those of its configuration for THUMOS'14. A window
is first and last frame, which belongs to it; here it is a box one pixel high.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, Windows
from netc.ops.define import ShapeError
from netc.ops.detection.anchor_targets import Overlaps, drawn, label_anchors
from netc.ops.detection.anchors import box_changes, moved_rows
from netc.ops.detection.boxes import nearest, nms_keep
from netc.ops.param_str import ParamFields, parse_param_str
from netc.ops.python import PythonContext

_BASE = 8  # frames of the window that anchors are made from
_FIELDS: Mapping[str, object] = {"feat_stride": None, "scales": tuple(range(1, 64))}
_PROPOSAL: Mapping[str, Mapping[str, object]] = {
    "TEST": {"min_size": 8, "pre_nms_topn": 6000, "post_nms_topn": 300, "nms_thresh": 0.7},
    "TRAIN": {"min_size": 8, "pre_nms_topn": 12000, "post_nms_topn": 2000, "nms_thresh": 0.7},
}


def are_windows(inputs: Sequence[Shape]) -> bool:
    """Whether the bottoms of a layer are R-C3D's."""
    return bool(inputs) and (len(inputs[0]) == 5 or (len(inputs[0]) == 2 and inputs[0][1] == 3))


def _boxes(windows: AnyArray) -> AnyArray:
    """Windows (n, 2) as boxes (n, 4) one pixel high."""
    zeros = np.zeros(len(windows), windows.dtype)
    return np.stack([windows[:, 0], zeros, windows[:, 1], zeros], axis=1)


def _anchors(given: ParamFields, steps: int) -> AnyArray:
    """Windows at every step, (steps * anchors, 2)."""
    half = (_BASE * np.array(given["scales"], np.float64) - 1) / 2
    centre = (_BASE - 1) / 2
    own = np.stack([centre - half, centre + half], axis=1)
    start = np.arange(steps)[:, None, None] * int(given["feat_stride"])
    return (start + own).reshape(-1, 2).astype(np.float32)


def _steps(scores: Shape, given: ParamFields) -> tuple[int, int]:
    """Numbers of anchors and of steps.

    Raises:
        ShapeError: the scores are not two for each anchor of one video, or have places.
    """
    anchors = len(given["scales"])
    if len(scores) != 5 or scores[:2] != (1, 2 * anchors) or scores[3:] != (1, 1):
        raise ShapeError(
            f"{anchors} anchors of one video need {2 * anchors} channels of scores at each step, "
            f"the first bottom is {show(scores)}"
        )
    return anchors, scores[2]


def _rows_first(maps: AnyArray) -> AnyArray:
    """Maps (1, 2 * anchors, steps, 1, 1) as (steps * anchors, 2)."""
    pairs = np.asarray(maps)[0].reshape(-1, 2, maps.shape[2])
    found: AnyArray = pairs.transpose(2, 0, 1).reshape(-1, 2)
    return found


# ProposalLayer


def _proposal_fields(param_str: str, phase: str) -> ParamFields:
    return parse_param_str(param_str, "ProposalLayer", {**_FIELDS, **_PROPOSAL[phase]})


def proposal_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, Shape]:
    """Rows of 0, first and last frame, and their scores."""
    given = _proposal_fields(param_str, context.phase)
    anchors, steps = _steps(inputs[0], given)
    if len(inputs) != 2 or inputs[1] != (1, 2 * anchors, steps, 1, 1):
        raise ShapeError(
            f"the changes of {anchors} windows at {steps} steps are needed, the bottoms are "
            f"{', '.join(map(show, inputs))}"
        )
    rows = max(1, int(given["post_nms_topn"]))
    return (rows, 3), (rows, 1)


@quietly
def propose(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    """Windows within the video, the best first."""
    given = _proposal_fields(param_str, context.phase)
    steps = inputs[0].shape[2]
    changes = _boxes(_rows_first(inputs[1]))  # no change of the rows
    moved = moved_rows(_boxes(_anchors(given, steps)), changes)[:, ::2]
    windows = np.maximum(np.minimum(moved, steps * int(given["feat_stride"]) - 1), 0)
    scores = np.asarray(inputs[0])[0, len(given["scales"]) :, :, 0, 0].T.reshape(-1)
    left = np.flatnonzero(windows[:, 1] - windows[:, 0] + 1 >= given["min_size"])
    order = left[np.argsort(-scores[left], kind="stable")[: int(given["pre_nms_topn"])]]
    kept = nms_keep(
        _boxes(windows[order]), given["nms_thresh"], border=1, limit=int(given["post_nms_topn"])
    )
    best = order[kept]
    rows = np.concatenate([np.zeros((len(best), 1)), windows[best]], axis=1)
    return rows, scores[best, None]


# AnchorTargetLayer


def _anchor_fields(param_str: str) -> ParamFields:
    return parse_param_str(param_str, "AnchorTargetLayer", {**_FIELDS, "allowed_border": 0})


def anchor_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    """Labels, window changes and their two weights."""
    anchors, steps = _steps(inputs[0], _anchor_fields(param_str))
    if len(inputs) != 3 or count(inputs[1], 1) != 3 or len(inputs[2]) != 5:
        raise ShapeError(
            "R-C3D's `AnchorTargetLayer` takes scores, true windows as rows of 3, and the video; "
            f"the bottoms are {', '.join(map(show, inputs))}"
        )
    return ((1, 1, anchors * steps, 1, 1), *((1, 2 * anchors, steps, 1, 1),) * 3)


@quietly
def anchor_targets(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    """What anchors are to learn; 64 of them train."""
    given = _anchor_fields(param_str)
    steps, frames = inputs[0].shape[2], inputs[2].shape[2]
    border, truth = int(given["allowed_border"]), np.asarray(inputs[1]).reshape(-1, 3)
    anchors = _boxes(_anchors(given, steps))
    inside = np.flatnonzero((anchors[:, 0] >= -border) & (anchors[:, 2] < frames + border))
    labels, targets = np.full(len(anchors), -1, np.float32), np.zeros((len(anchors), 2), np.float32)
    if len(inside):
        boxes = _boxes(truth[:, :2])
        labels[inside], best = label_anchors(_RULES, anchors[inside], boxes, None, context)
        if len(truth):
            targets[inside] = box_changes(anchors[inside], boxes[best])[:, ::2]
    own = np.repeat(labels[:, None] == 1, 2, axis=1).astype(np.float32)
    used = np.repeat(labels[:, None] >= 0, 2, axis=1).astype(np.float32)
    share = used / max(1, int((labels >= 0).sum()))
    maps = (array.reshape(steps, -1).T[None, :, :, None, None] for array in (targets, own, share))
    return (labels.reshape(steps, -1).T.reshape(1, 1, -1, 1, 1), *maps)


_RULES = Overlaps(batch=64, positives=32)


def anchor_contents(param_str: str, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule: true windows in the video."""
    return None, Windows(1, inputs[2][2], below=2), None


# ProposalTargetLayer

_BATCH, _POSITIVES, _NEAR = 128, 32, 0.5
_DEVIATIONS = (0.1, 0.2)


def _sampling(param_str: str) -> tuple[int, bool]:
    """How many classes there are, and whether all windows train, in their order."""
    given = parse_param_str(
        param_str, "ProposalTargetLayer", {"num_classes": None, "sample": "Random"}
    )
    if given["sample"] not in ("Random", "All"):
        raise ShapeError(
            f"`sample` {given['sample']!r:.20} is neither Random nor All: R-C3D's code of Hard has "
            "no losses to go by",
            "python_param.param_str",
            code="python-layer",
        )
    return int(given["num_classes"]), given["sample"] == "All"


def target_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    """Windows to train on, labels, changes and their two weights."""
    classes, all_windows = _sampling(param_str)
    if len(inputs) != 2 or count(inputs[0], 1) != 3 or count(inputs[1], 1) != 3:
        raise ShapeError(
            "R-C3D's `ProposalTargetLayer` takes windows and true windows, rows of 3; the bottoms "
            f"are {', '.join(map(show, inputs))}"
        )
    rows = inputs[0][0] + inputs[1][0] if all_windows else _BATCH
    return ((rows, 3), (rows,), *((rows, 2 * classes),) * 3)


@quietly
def targets(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    """Windows to train on; those that overlap a true one by less than a half are negative."""
    classes, all_windows = _sampling(param_str)
    truth = np.asarray(inputs[1]).reshape(-1, 3)
    own = np.concatenate([np.zeros((len(truth), 1)), truth[:, :2]], axis=1)
    rows = np.concatenate([np.asarray(inputs[0]).reshape(-1, 3), own]).astype(np.float32)
    best, most = nearest(_boxes(rows[:, 1:]), _boxes(truth[:, :2]))
    labels = truth[best, 2] if len(truth) else np.zeros(len(rows))
    kept = np.arange(len(rows))
    if not all_windows:
        near = most >= np.float32(_NEAR)
        positive = drawn(np.flatnonzero(near), _POSITIVES, rows, context, 0)
        negative = drawn(np.flatnonzero(~near), _BATCH - len(positive), rows, context, 1)
        kept = np.concatenate([positive, negative])
        labels = np.where(near, labels, 0)
    changes = _changes(rows[kept, 1:], truth[best[kept], :2]) if len(truth) else rows[kept, 1:]
    made, inside = _in_columns(labels[kept], changes, classes)
    return rows[kept], labels[kept], made, inside, (inside > 0).astype(np.float32)


def _changes(windows: AnyArray, truth: AnyArray) -> AnyArray:
    changes = box_changes(_boxes(windows), _boxes(truth))[:, ::2]
    return changes / np.array(_DEVIATIONS, np.float32)


def _in_columns(labels: AnyArray, changes: AnyArray, classes: int) -> tuple[AnyArray, AnyArray]:
    """Changes in the columns of each positive's class, and which count."""
    made = np.zeros((len(labels), classes, 2), np.float32)
    inside = np.zeros_like(made)
    label = labels.astype(np.int64)
    at = np.flatnonzero((label > 0) & (label < classes))
    made[at, label[at]], inside[at, label[at]] = changes[at], 1
    return made.reshape(len(labels), -1), inside.reshape(len(labels), -1)


def target_contents(param_str: str, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule: windows and true windows of one video."""
    return Windows(1, _FRAMES), Windows(1, _FRAMES, below=_sampling(param_str)[0])


_FRAMES = 512.0  # of a video, where nothing tells it
