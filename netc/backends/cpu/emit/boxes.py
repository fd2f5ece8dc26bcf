"""Layers that choose boxes: DetectionOutput, Proposal, and Faster R-CNN's Python layer."""

from __future__ import annotations

from netc.backends.cpu.emit.emission import EmitContext, Sweeps, scratch_of
from netc.backends.cpu.lowering import sweep_of
from netc.backends.cpu.steps.boxes import DetectionSteps, Proposals, RowsTarget
from netc.backends.shared.layout import is_in_c_order
from netc.backends.shared.views import View
from netc.ir.graph import Node
from netc.ir.types import Shape
from netc.ops.detection.detection_output import DetectionOutputParams
from netc.ops.detection.proposal import ProposalParams
from netc.ops.detection.proposal_layers import proposal_of
from netc.ops.python import PythonParams


def emit_detection_output(context: EmitContext, node: Node) -> Sweeps | None:
    """SSD's boxes."""
    graph = context.graph
    location, confidence, priors = node.inputs[:3]
    distances = [_distance(context, value) for value in (location, confidence)]
    y = context.view(node.outputs[0])
    if None in distances or not _is_dense(y) or not _is_dense(context.view(priors)):
        return None
    views = [context.view(value) for value in (location, confidence, priors)]
    sizes = DetectionSteps(
        node.params_as(DetectionOutputParams),
        graph.shape(location)[0],
        graph.shape(priors)[2] // 4,
        (views[0].place, distances[0] or 0),
        (views[1].place, distances[1] or 0),
        views[2].place,
    )
    memory = scratch_of(node)
    rows = rows_target(context, node, graph.shape(node.outputs[0])[2])
    return [
        sweep_of(
            lambda: sizes.steps(node.name, memory, rows, context.target),
            [*views, memory],
            [y, memory],
            scratch=sizes.memory,
        )
    ]


def emit_proposal(context: EmitContext, node: Node) -> Sweeps | None:
    """The layer Proposal."""
    return _propose(context, node, node.params_as(ProposalParams))


def emit_python(context: EmitContext, node: Node) -> Sweeps | None:
    """Faster R-CNN's ProposalLayer; other Python layers run in Python."""
    params = proposal_of(node.params_as(PythonParams))
    return None if params is None else _propose(context, node, params)


def chooses_proposals(node: Node) -> bool:
    """True of a Python layer that is Faster R-CNN's ProposalLayer."""
    return proposal_of(node.params_as(PythonParams)) is not None


def _propose(context: EmitContext, node: Node, params: ProposalParams) -> Sweeps | None:
    scores, deltas, info = (context.view(value) for value in node.inputs[:3])
    tops = [context.view(value) for value in node.outputs]
    if not is_in_c_order(context.graph.shape(node.inputs[2])):
        return None
    sizes, memory = Proposals(params, scores, deltas, info), scratch_of(node)
    rows = rows_target(context, node, context.graph.shape(node.outputs[0])[0])
    return [
        sweep_of(
            lambda: sizes.steps(node.name, memory, rows, tops, context.target),
            [scores, deltas, info, memory],
            [*tops, memory],
            scratch=sizes.memory,
        )
    ]


def rows_target(context: EmitContext, node: Node, limit: int) -> RowsTarget:
    """Where a layer's rows go, of which there are at most so many."""
    read = any(context.graph.readers[value] for value in node.outputs)
    place = context.view(node.outputs[0]).place
    return RowsTarget(place, limit, read, context.status[node.name])


def _distance(context: EmitContext, value: str) -> int | None:
    """Elements from an image to the next, of a value in Caffe's order; None for others."""
    shape: Shape = context.graph.shape(value)
    view = context.view(value)
    if not is_in_c_order(shape):
        return None
    if view.n == shape[0] and view.h == view.w == 1:
        return view.ld
    return view.count // shape[0] if _is_dense(view) else None


def _is_dense(view: View) -> bool:
    return view.ld == view.c
