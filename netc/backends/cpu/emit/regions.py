"""ROIPooling and PSROIPooling: definitions find the bins, kernels pool over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from netc.backends import reference
from netc.backends.cpu import jit
from netc.backends.cpu.emit.emission import EmitContext, Sweeps, scratch_of
from netc.backends.cpu.lowering import sweep_of
from netc.backends.cpu.program import PythonStep
from netc.backends.cpu.steps.regions import greatest_kernel, means_kernel, region_step
from netc.backends.shared.views import dense
from netc.diagnostics import NetcError
from netc.ir.graph import Array, Node
from netc.ir.types import Shape
from netc.ops.regions import Bins, psroi_bins, roi_bins

Find = Callable[[Any, Shape, Any], Bins]


def emit_roi_pooling(context: EmitContext, node: Node) -> Sweeps | None:
    """The greatest elements of bins."""
    return _pool(context, node, roi_bins, greatest_kernel())


def emit_psroi_pooling(context: EmitContext, node: Node) -> Sweeps | None:
    """Means of bins, each of channels of its own."""
    return _pool(context, node, psroi_bins, means_kernel())


def _pool(context: EmitContext, node: Node, find: Find, kernel: jit.KernelSpec) -> Sweeps | None:
    graph, (data, rows) = context.graph, node.inputs
    x, y = context.view(data), context.view(node.outputs[0])
    table = dense(scratch_of(node), y.n, 1, 1, 1 + 2 * y.h + 2 * y.w)

    def run(regions: Array, found: Array) -> None:
        try:
            bins = find(node.params, graph.shape(data), np.ascontiguousarray(regions))
        except NetcError as error:
            raise reference.at_layer(error, node) from None
        columns = [bins.images[:, None], *bins.rows, *bins.columns]
        found[:, :, 0, 0] = np.concatenate(columns, axis=1)

    source = context.view(rows)
    find_bins = PythonStep(
        f"bins of {node.name}", run, ((source, graph.shape(rows)), (table, None))
    )
    return [
        sweep_of(lambda: [find_bins], [source], [table], scratch=table.span),
        sweep_of(lambda: [region_step(node.name, x, table.place, y, kernel)], [x, table], [y]),
    ]
