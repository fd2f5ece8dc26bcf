"""Detection outputs of YOLOv2 and YOLOv3."""

from __future__ import annotations

from netc.backends.cpu.emit.boxes import rows_target
from netc.backends.cpu.emit.emission import EmitContext, Sweeps, scratch_of
from netc.backends.cpu.lowering import sweep_of
from netc.backends.cpu.steps.yolo import YoloLevel, YoloSteps
from netc.ir.graph import Node
from netc.ops.detection.region_output import RegionParams
from netc.ops.detection.yolo_parts import YoloParams


def emit_yolo(context: EmitContext, node: Node) -> Sweeps | None:
    """Boxes of all maps; see netc.ops.detection.yolo."""
    params = node.params_as(YoloParams)
    levels = []
    for at, value in enumerate(node.inputs):
        x = context.view(value)
        scale = 1 if params.scales is None else params.scales[at]
        anchors = [params.anchors[i] for i in params.levels[at]]
        levels.append(YoloLevel(x, anchors, (x.w * scale, x.h * scale)))
    images = context.view(node.inputs[0]).n
    steps = YoloSteps(
        tuple(levels), params.classes, params.score, params.overlap, params.each, True, True, images
    )
    return _sweeps(context, node, steps)


def emit_region_output(context: EmitContext, node: Node) -> Sweeps | None:
    """Boxes of one map in the order of its cells; see netc.ops.detection.region_output."""
    params = node.params_as(RegionParams)
    side = float(params.side)
    level = YoloLevel(context.view(node.inputs[0]), params.anchors, (side, side))
    steps = YoloSteps((level,), params.classes, params.least, params.limit, False, False, False, 1)
    return _sweeps(context, node, steps)


def _sweeps(context: EmitContext, node: Node, made: YoloSteps) -> Sweeps:
    memory, y = scratch_of(node), context.view(node.outputs[0])
    most = context.graph.shape(node.outputs[0])[2]
    rows = rows_target(context, node, most)
    maps = [level.map for level in made.levels]
    return [
        sweep_of(
            lambda: made.steps(node.name, memory, rows, context.target),
            [*maps, memory],
            [y, memory],
            scratch=made.memory(most),
        )
    ]
