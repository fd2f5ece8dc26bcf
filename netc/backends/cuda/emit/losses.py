"""Losses and their gradients.

A label that is no class is counted by the kernel, which tells the first of them to whoever waits
for the run; nothing is read beyond the scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from netc.backends.cuda.emission import SUMMING, THREADS, CudaEmitContext, blocks
from netc.backends.cuda.emit.normalization import row_walk, team_of
from netc.backends.cuda.emit.sums import Floats, in_order
from netc.backends.cuda.program import Argument, FaultPlace, Launch, SplitKCounters, Steps
from netc.backends.cuda.source import Constant
from netc.backends.reference import at_layer
from netc.backends.shared.derived import Weights
from netc.backends.shared.layout import has_channels, is_in_c_order, stored_strides
from netc.backends.shared.views import View, Workspace, dense
from netc.diagnostics import NetcError
from netc.ir.graph import Node
from netc.ir.types import Shape, count
from netc.ops.axes import axis_in
from netc.ops.cross_entropy import SigmoidLossParams, SoftmaxLossParams
from netc.ops.gradient import GradientParams
from netc.ops.labels import divisor, wrong_label

_COUNTING = 1024  # threads of the block that counts labels
_DOUBLE = 8  # bytes
_SPAN = 4096  # pairs of a block of pair_loss.cuh
_MAX_ROWS = 64  # of a team, one after another
_PARTIAL = 4  # doubles that a block of softmax_loss.cuh leaves


@dataclass(frozen=True)
class ScoreRows:
    """Rows of scores with a label each.

    Args:
        x: the scores.
        label: the labels.
        shape: of the scores.
        axis: of the classes.
        label_step: elements from one row's label to the next one's.
        params: the layer's.
    """

    x: View
    label: View
    shape: Shape
    axis: int
    label_step: int
    params: SoftmaxLossParams

    @property
    def rows(self) -> int:
        """How many there are."""
        return count(self.shape) // max(1, self.classes)

    @property
    def classes(self) -> int:
        """Scores of a row."""
        return self.shape[self.axis]

    def walk(self, view: View) -> tuple[int, int, int, int]:
        """How the rows lie in a value of the scores' shape."""
        return row_walk(self.shape, self.axis, stored_strides(self.shape, view))

    @property
    def divisor(self) -> float | None:
        """What the sum is divided by; None where only the labels tell."""
        params = self.params
        if params.normalization == "VALID" and params.ignore_label is not None:
            return None
        outer = count(self.shape, 0, self.axis)
        inner = count(self.shape, self.axis + 1)
        return float(divisor(params.normalization, outer, inner, np.int64(self.rows)))


def labelled_rows(
    emission: CudaEmitContext, params: SoftmaxLossParams, values: Sequence[str]
) -> ScoreRows | None:
    """The rows of a layer with these bottoms; None where they are not stored so."""
    shape, labels = (emission.graph.shape(value) for value in values[:2])
    x, label = (emission.view(value) for value in values[:2])
    axis = axis_in(shape, params.axis, "softmax_param.axis")
    if params.weights == "frequency" or 0 in shape:
        return None
    if has_channels(shape) and axis != 1:
        return None
    if label.pixels == 1 or (is_in_c_order(labels) and label.ld == label.c):
        step = 1
    elif label.c == 1:
        step = label.ld
    else:
        return None
    return ScoreRows(x, label, shape, axis, step, params)


def emit_softmax_loss(emission: CudaEmitContext, node: Node) -> Steps | None:
    """SoftmaxWithLoss, and the probabilities where they are wanted."""
    params = node.params_as(SoftmaxLossParams)
    rows = labelled_rows(emission, params, node.inputs)
    if rows is None:
        return None
    loss, *prob = (emission.view(value) for value in node.outputs)
    team, share, grid = _teams(rows)
    memory = dense(Workspace(), 1, 1, 1, _DOUBLE * _PARTIAL * grid // emission.precision.item)
    places: tuple[Argument, ...] = (
        *(Workspace(), Workspace(), loss.place),
        *(prob[0].place if prob else Workspace(), memory.place, FaultPlace(), SplitKCounters()),
    )
    arguments = _arguments(rows, prob[0] if prob else rows.x, places, share)
    constants = _constants(rows, team) | {"BACK": False, "PROB": bool(prob)}
    launch = Launch(
        node.name,
        emission.kernel("softmax_loss", constants),
        (grid, 1, 1),
        THREADS,
        arguments,
        (rows.x, rows.label),
        (loss, *prob, memory),
        _DOUBLE * _PARTIAL * grid,
        1,
        fault=partial(_complaint, node, rows.classes),
    )
    return [launch]


def _complaint(node: Node, classes: int, label: float) -> NetcError:
    return at_layer(wrong_label(label, classes), node)


def _teams(rows: ScoreRows) -> tuple[int, int, int]:
    """Threads of a row, rows of a team, and blocks."""
    team = team_of(rows.rows, rows.classes)
    each = 256 // team
    share = max(1, min(_MAX_ROWS, rows.rows // (each * 4 * SUMMING)))
    return team, share, math.ceil(rows.rows / (each * share))


def _constants(rows: ScoreRows, team: int) -> dict[str, Constant]:
    return {
        "TEAM": team,
        "VALID": rows.divisor is None,
        "IGNORES": rows.params.ignore_label is not None,
        "WEIGHTED": rows.params.weights is not None,
    }


def _arguments(
    rows: ScoreRows, y: View, places: Sequence[Argument], share: int
) -> tuple[Argument, ...]:
    """A kernel's arguments; ``places`` are those after the weights."""
    weights = rows.params.weights
    factors: Weights | Workspace = (
        np.asarray(weights, np.float32) if isinstance(weights, tuple) else Workspace()
    )
    ignored = rows.params.ignore_label
    return (
        *(rows.x.place, rows.label.place, factors, *places, rows.rows, rows.classes),
        *(*rows.walk(rows.x), *rows.walk(y)[1:], rows.label_step, share),
        *(0.0 if ignored is None else float(ignored), rows.divisor or 0.0),
    )


def emit_softmax_slope(emission: CudaEmitContext, node: Node) -> Steps | None:
    """The gradient of SoftmaxWithLoss by the scores; the layer itself checks the labels."""
    params = node.params_as(GradientParams)
    if params.inputs != (0, 1) or params.index != 0:
        return None
    rows = labelled_rows(emission, params.params_as(SoftmaxLossParams), node.inputs)
    if rows is None or not _is_checked(emission, node.inputs[:2]):
        return None
    top, out = emission.view(node.inputs[-1]), emission.view(node.outputs[0])
    kept = Floats(emission).view(0, 1)
    team, share, grid = _teams(rows)
    places = (top.place, kept.place, Workspace(), out.place, Workspace(), Workspace(), Workspace())
    constants = _constants(rows, team) | {"BACK": True, "PROB": False}
    launch = Launch(
        node.name,
        emission.kernel("softmax_loss", constants),
        (grid, 1, 1),
        THREADS,
        _arguments(rows, out, places, share),
        (rows.x, rows.label, top, kept),
        (out,),
    )
    if rows.divisor is not None:
        return [launch]
    ignored = rows.params.ignore_label
    assert ignored is not None
    numbers = rows.rows, rows.label_step, ignored
    return in_order([_counted(emission, node.name, rows.label, numbers, kept), launch])


def _counted(
    emission: CudaEmitContext, name: str, label: View, numbers: tuple[int, int, int], kept: View
) -> Launch:
    """How many of so many labels, so far apart, are not the one that is left out."""
    total, step, ignored = numbers
    arguments = (label.place, kept.place, total, step, float(ignored))
    kernel = emission.kernel("label_count", {})
    return Launch(name, kernel, (1, 1, 1), _COUNTING, arguments, (label,), (kept,), 4)


def _is_checked(emission: CudaEmitContext, values: Sequence[str]) -> bool:
    """True if the layer that has these bottoms is run too, and refuses wrong labels."""
    readers = emission.graph.readers[values[1]]
    return any(r.op == "SoftmaxWithLoss" and r.inputs == tuple(values) for r in readers)


def emit_pair_loss(emission: CudaEmitContext, node: Node) -> Steps | None:
    """EuclideanLoss and SigmoidCrossEntropyLoss."""
    params = None if node.params is None else node.params_as(SigmoidLossParams)
    if not _alike(emission, node.inputs):
        return None
    first, second = (emission.view(value) for value in node.inputs)
    shape, loss = emission.graph.shape(node.inputs[0]), emission.view(node.outputs[0])
    grid = math.ceil(first.count / _SPAN)
    memory = dense(Workspace(), 1, 1, 1, 2 * _DOUBLE * grid // emission.precision.item)
    by = _pair_divisor(params, shape)
    number = 0.0 if by is None else by * (2 if params is None else 1)
    arguments = (
        *(first.place, second.place, loss.place, memory.place, SplitKCounters(), first.count),
        *(_ignored(params), number),
    )
    kernel = emission.kernel("pair_loss", _pair_constants(params, by))
    reads, writes, bytes_ = (first, second), (loss, memory), 2 * _DOUBLE * grid
    launch = Launch(node.name, kernel, (grid, 1, 1), THREADS, arguments, reads, writes, bytes_, 1)
    return [launch]


def _alike(emission: CudaEmitContext, values: Sequence[str]) -> bool:
    """True if two values have elements, and lie without gaps and in one order."""
    shape, other = (emission.graph.shape(value) for value in values[:2])
    first, second = (emission.view(value) for value in values[:2])
    if shape != other and not (is_in_c_order(shape) and is_in_c_order(other)):
        return False
    return 0 < first.count == second.count and first.ld == first.c and second.ld == second.c


def _pair_divisor(params: SigmoidLossParams | None, shape: Shape) -> float | None:
    """What the sum is divided by, without Euclid's half; None where only the targets tell."""
    if params is None:
        return float(shape[0])
    if params.normalization == "VALID" and params.ignore_label is not None:
        return None
    everything = np.int64(count(shape))
    return float(divisor(params.normalization, shape[0], count(shape, 1), everything))


def _ignored(params: SigmoidLossParams | None) -> float:
    return float(params.ignore_label) if params and params.ignore_label is not None else 0.0


def _pair_constants(params: SigmoidLossParams | None, by: float | None) -> dict[str, Constant]:
    ignores = params is not None and params.ignore_label is not None
    return {"SIGMOID": params is not None, "IGNORES": ignores, "VALID": by is None}


def emit_pair_slope(emission: CudaEmitContext, node: Node) -> Steps | None:
    """The gradient of either by one of its bottoms."""
    params = node.params_as(GradientParams)
    layer = None if params.params is None else params.params_as(SigmoidLossParams)
    if params.inputs != (0, 1) or not _alike(emission, node.inputs):
        return None
    first, second, top = (emission.view(value) for value in node.inputs)
    out, by = emission.view(node.outputs[0]), _pair_divisor(layer, params.shapes[0])
    if out.ld != out.c:
        return None
    kept = Floats(emission).view(0, 1)
    arguments = (
        *(first.place, second.place, top.place, kept.place, out.place, _ignored(layer)),
        *(by or 0.0, -1.0 if params.index else 1.0, out.count),
    )
    kernel = emission.kernel("pair_slope", _pair_constants(layer, by))
    reads = (first, second, top, kept)
    last = Launch(node.name, kernel, blocks(out.count), THREADS, arguments, reads, (out,))
    if by is not None:
        return [last]
    numbers = second.count, 1, int(_ignored(layer))
    return in_order([_counted(emission, node.name, second, numbers, kept), last])
