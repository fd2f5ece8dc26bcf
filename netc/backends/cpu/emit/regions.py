"""ROIPooling and PSROIPooling: kernels find the bins and pool over them."""

from __future__ import annotations

from netc.backends.cpu import jit
from netc.backends.cpu.emit.emission import EmitContext, Sweeps, scratch_of
from netc.backends.cpu.lowering import sweep_of
from netc.backends.cpu.steps.boxes import bins_step
from netc.backends.cpu.steps.regions import greatest_kernel, means_kernel, region_step
from netc.backends.shared.layout import pixel_shape
from netc.backends.shared.views import View, dense
from netc.ir.graph import Node
from netc.ir.types import Shape
from netc.ops.detection.regions import PSROIPoolingParams, ROIPoolingParams


def emit_roi_pooling(context: EmitContext, node: Node) -> Sweeps | None:
    """The greatest elements of bins."""
    params = node.params_as(ROIPoolingParams)
    scales = params.spatial_scale, params.pad_ratio
    return _pool(context, node, "roi", scales, greatest_kernel())


def emit_psroi_pooling(context: EmitContext, node: Node) -> Sweeps | None:
    """Means of bins, each of channels of its own."""
    scale = node.params_as(PSROIPoolingParams).spatial_scale
    return _pool(context, node, "psroi", (scale, 0.0), means_kernel())


def _pool(
    context: EmitContext,
    node: Node,
    kind: str,
    scales: tuple[float, float],
    kernel: jit.KernelSpec,
) -> Sweeps | None:
    data, rows = node.inputs
    x, y = context.view(data), context.view(node.outputs[0])
    regions = _in_rows(context.view(rows), context.graph.shape(rows))
    if regions is None:
        return None
    table = dense(scratch_of(node), y.n, 1, 1, 1 + 2 * y.h + 2 * y.w)
    status = context.status[node.name]
    find = [sweep_of(
        lambda: [
            bins_step(node.name, kind, regions, x, (y.h, y.w), scales, table.place, status)
        ],
        [regions],
        [table],
        scratch=table.span,
    )]  # fmt: skip
    pool = sweep_of(lambda: [region_step(node.name, x, table.place, y, kernel)], [x, table], [y])
    return [*find, pool]


def _in_rows(view: View, shape: Shape) -> View | None:
    """Regions as a pixel of 5 numbers each; None where they do not lie so."""
    if pixel_shape(shape) == (shape[0], 1, 1, 5):
        return view
    return dense(view.place, shape[0], 1, 1, 5) if view.ld == view.c and view.count else None
