"""ROIPooling and PSROIPooling: definitions find the bins, kernels pool over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from netc.backends import reference
from netc.backends.cpu import jit
from netc.backends.cpu.emit.emission import Emission, Steps
from netc.backends.cpu.layout import logical
from netc.backends.cpu.program import Context, PythonStep
from netc.backends.cpu.steps.regions import greatest_kernel, means_kernel, region_step
from netc.backends.shared.views import dense
from netc.diagnostics import NetcError
from netc.ir.graph import Node
from netc.ir.types import Shape
from netc.ops.regions import Bins, psroi_bins, roi_bins

Find = Callable[[Any, Shape, Any], Bins]


def emit_roi_pooling(emission: Emission, node: Node) -> Steps | None:
    """The greatest elements of bins."""
    return _pool(emission, node, roi_bins, greatest_kernel())


def emit_psroi_pooling(emission: Emission, node: Node) -> Steps | None:
    """Means of bins, each of channels of its own."""
    return _pool(emission, node, psroi_bins, means_kernel())


def _pool(emission: Emission, node: Node, find: Find, kernel: jit.KernelSpec) -> Steps | None:
    place = emission.scratch(node)
    if place is None:
        return None
    graph, (data, rows) = emission.graph, node.inputs
    x, y = emission.view(data), emission.view(node.outputs[0])
    see, source = logical(graph.shape(rows)), emission.view(rows)
    table = dense(place, y.n, 1, 1, 1 + 2 * y.h + 2 * y.w)

    def run(context: Context) -> None:
        regions = np.ascontiguousarray(see(context, source))
        try:
            bins = find(node.params, graph.shape(data), regions)
        except NetcError as error:
            raise reference.at_layer(error, node) from None
        columns = [bins.images[:, None], *bins.rows, *bins.columns]
        context.array(table)[:, :, 0, 0] = np.concatenate(columns, axis=1)

    find_bins = PythonStep(f"bins of {node.name}", run)
    return [find_bins, region_step(node.name, x, place, y, kernel)]
