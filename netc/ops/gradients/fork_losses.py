"""Gradients of forks' losses: CenterLoss, CtcLoss, RegionLoss, Yolov3, YoloSeg, detection grids.

They are the forks' own, which are not always the derivative of the loss; ``inexact`` says where.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays
from netc.ops.detection.cascade_loss import DETECTION_LOSS, GROUP_LOSS, choose, place_differences
from netc.ops.detection.cascade_loss_params import GridLossParams
from netc.ops.detection.region_loss import REGION_LOSS, RegionLossParams, region_changes
from netc.ops.detection.yolo_loss import YOLOV3, Yolov3Params, yolov3_slopes
from netc.ops.detection.yolo_segmentation import YOLO_SEG, YoloSegParams, seg_changes
from netc.ops.forks.accuracy import LABEL_SPECIFIC_ADD
from netc.ops.forks.ctc_loss import CTC_LOSS, CtcParams, ctc_path
from netc.ops.forks.lstm import CENTER_LOSS, CenterLossParams
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of, reads_all
from netc.ops.gradients.loss import scaled
from netc.ops.labels import class_labels
from netc.ops.normalization import softmax

_BOTH = Reads(inputs=(0, 1))


def _differences(params: CenterLossParams, saved: Saved) -> tuple[AnyArray, AnyArray]:
    labels, _ = class_labels(saved.inputs[1].reshape(-1), params.num_output)
    return labels, saved.inputs[0].reshape(len(labels), -1) - saved.weights[0][labels]


def _center(params: CenterLossParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    labels, difference = _differences(params, saved)
    data = saved.inputs[0]
    return scaled(difference, tops[0], data.dtype.type(max(1, len(labels))), data)


def _centre(params: CenterLossParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """A class's mean distance, one counted besides; the loss's weight has no part in it."""
    labels, difference = _differences(params, saved)
    centres = saved.weights[0]
    moved = np.zeros_like(centres)
    np.add.at(moved, labels, -difference)
    counts = np.bincount(labels, minlength=params.num_output).astype(centres.dtype)
    result: AnyArray = moved / (counts[:, None] + 1)
    return result


def _center_inexact(graph: Graph, node: Node) -> str:
    return "CenterLoss moves its centres by a mean of its own"


_CENTRES = Reads(inputs=(0, 1), weights=(0,))


def _ctc(params: CtcParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """p less the share of the alignments that say a symbol at a step.

    The loss is the mean over the batch; the gradient is of the sum (ctc_loss_layer.cpp).
    """
    data, label = saved.inputs
    used = data[: params.steps].astype(np.float64)
    used = used.reshape(*used.shape[:2], -1)
    labels = label.reshape(used.shape[1], -1).astype(np.int64)
    logs = used - used.max(axis=2, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=2, keepdims=True))
    slopes = np.zeros((data.shape[0], *used.shape[1:]))
    for at, own in enumerate(labels):
        slopes[: params.steps, at] = ctc_slopes(logs[:, at], own[own != params.blank], params.blank)
    return scaled(slopes, tops[0], data.dtype.type(1), data)


def _ctc_inexact(graph: Graph, node: Node) -> str | None:
    alone = graph.shape(node.inputs[0])[1] == 1
    return None if alone else "CtcLoss tells a mean, and its gradient is of the sum"


def ctc_slopes(logs: AnyArray, label: AnyArray, blank: int) -> AnyArray:
    """By one sequence's scores; 0 where there are too few steps for any alignment."""
    if len(label) + int((label[1:] == label[:-1]).sum()) > len(logs):
        return np.zeros_like(logs)
    path, skips = ctc_path(label, blank)
    forth = _chances(logs[:, path], skips)
    turned, turned_skips = ctc_path(label[::-1], blank)
    back = _chances(logs[::-1][:, turned], turned_skips)[::-1, ::-1]
    both = forth + back - logs[:, path]  # each has the step's own
    total = np.logaddexp.reduce(forth[-1, -2:])
    slopes = np.exp(logs)
    for place, symbol in enumerate(path):
        slopes[:, symbol] -= np.exp(both[:, place] - total)
    return slopes


def _chances(logs: AnyArray, skips: AnyArray) -> AnyArray:
    """Log chances of having come to each place of the path at each step, (steps, places)."""
    alpha = np.full(logs.shape, -np.inf)
    alpha[0, :2] = logs[0, :2]
    for step in range(1, len(logs)):
        last = alpha[step - 1]
        one = np.concatenate([[-np.inf], last[:-1]])
        two = np.where(skips, np.concatenate([[-np.inf, -np.inf], last])[: len(last)], -np.inf)
        alpha[step] = np.logaddexp(np.logaddexp(last, one), two) + logs[step]
    return alpha


def _yolov3(params: Yolov3Params, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """What is to change, over the batch; the loss is the sum of its squares all the same."""
    x, label = saved.inputs
    return scaled(yolov3_slopes(params, x, label), tops[0], x.dtype.type(len(x)), x)


def _yolov3_inexact(graph: Graph, node: Node) -> str:
    return "Yolov3 tells a sum of squares, and learns by differences"


def _region(params: RegionLossParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """As Yolov3's, of the changes that RegionLoss asks for."""
    x, label = saved.inputs
    return scaled(region_changes(params, x, label), tops[0], x.dtype.type(len(x)), x)


def _region_inexact(graph: Graph, node: Node) -> str:
    return "RegionLoss tells a sum of squares, and learns by differences"


def _yolo_seg(params: YoloSegParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """As Yolov3's, of what each pixel is off by."""
    x = saved.inputs[0]
    return scaled(seg_changes(params, saved.inputs), tops[0], x.dtype.type(len(x)), x)


def _seg_inexact(graph: Graph, node: Node) -> str:
    return "YoloSeg tells a sum of squares, and learns by differences"


def _behind_first(params: object, bottoms: int) -> Sequence[int]:
    return range(1, bottoms)


def _grid(params: GridLossParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """What was chosen counts as given; the weight is that of the first of both numbers."""
    chosen = choose(params, saved.inputs)
    hot = np.arange(chosen.scores.shape[1])[:, None, None] == chosen.targets[:, None]
    weights = np.where(chosen.used, chosen.share, 0) / max(1, int(chosen.used.sum()))
    classes = (softmax(chosen.scores, 1) - hot) * weights[:, None]
    difference = place_differences(params, chosen)
    slope = np.clip(difference, -1, 1) if params.smooth else difference
    places = np.zeros((*chosen.placed.shape, 4))
    places[chosen.placed] = params.weight * slope / max(1, slope.size)
    places = places.transpose(0, 3, 1, 2)
    own = saved.inputs[index]
    made = (classes, places)[index] if params.apart else np.concatenate([classes, places], axis=1)
    result: AnyArray = (made * tops[0].reshape(-1)[0]).astype(own.dtype).reshape(own.shape)
    return result


def _last(params: GridLossParams, bottoms: int) -> Sequence[int]:
    return (bottoms - 1,)


def _grid_inexact(graph: Graph, node: Node) -> str:
    return "both numbers of the top count in the loss, and the first alone in the gradient"


_GRID = Gradient(_grid, reads_all, stops=_last, inexact=_grid_inexact, host=True)

GRADIENTS = gradients(
    of(
        CENTER_LOSS,
        Gradient(
            _center, _CENTRES, _centre, _CENTRES, stops=(1,), inexact=_center_inexact, host=True
        ),
    ),
    of(CTC_LOSS, Gradient(_ctc, _BOTH, stops=(1,), inexact=_ctc_inexact, host=True)),
    of(
        LABEL_SPECIFIC_ADD,
        Gradient(lambda params, saved, tops, index: tops[0], Reads(), stops=(1,)),
    ),
    of(REGION_LOSS, Gradient(_region, _BOTH, stops=(1,), inexact=_region_inexact, host=True)),
    of(
        YOLO_SEG,
        Gradient(_yolo_seg, reads_all, stops=_behind_first, inexact=_seg_inexact, host=True),
    ),
    of(YOLOV3, Gradient(_yolov3, _BOTH, stops=(1,), inexact=_yolov3_inexact, host=True)),
    of(GROUP_LOSS, _GRID),
    of(DETECTION_LOSS, _GRID),
)
