"""What a training step has besides layers, gradients and updates: variables as values, clipping."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netc.backends.cuda.emission import THREADS, CudaEmitContext, blocks
from netc.backends.cuda.emit.moves import copy_kernel, merged
from netc.backends.cuda.emit.norms import DOUBLE, doubles, norm_constants, squares_launch, whole
from netc.backends.cuda.program import Int64, Launch, Steps
from netc.backends.cuda.together import KernelPart
from netc.backends.shared.derived import derived
from netc.backends.shared.layout import c_strides, stored_strides
from netc.backends.shared.views import Workspace
from netc.ir.graph import Node
from netc.ir.types import count
from netc.ops.array import contiguous
from netc.ops.update import ClipScaleParams


def emit_parameter(emission: CudaEmitContext, node: Node) -> Steps | None:
    """A trained array, or a history, as a value."""
    (name,) = node.parameters
    if node.outputs[0] in emission.in_place:
        return []
    shape, view = emission.graph.shape(node.outputs[0]), emission.view(node.outputs[0])
    if count(shape) == 0:
        return []
    sizes, (source, target) = merged(shape, c_strides(shape), stored_strides(shape, view))
    array = derived(contiguous, emission.array(name), np.float32)
    arguments = (array, view.place, count(shape), *sizes[1:], *map(Int64, (*source, *target)))
    kernel = copy_kernel("float", emission.precision.text)
    return [Launch(node.name, kernel, blocks(count(shape)), THREADS, arguments, (), (view,))]


def emit_clip_scale(emission: CudaEmitContext, node: Node) -> Steps | None:
    """The norm of all gradients, and the factor that clips them."""
    params = node.params_as(ClipScaleParams)
    views = [emission.view(value) for value in node.inputs]
    if any(view.ld != view.c for view in views):
        return None
    views = [view for view in views if view.count]
    found, runs = [], 0
    for at in range(0, len(views), KernelPart.MAX_PARTS):
        some = [whole(view) for view in views[at : at + KernelPart.MAX_PARTS]]
        found.append(squares_launch(emission, node.name, some, runs))
        runs += found[-1].grid[0]
    scale, norm = (emission.view(value) for value in node.outputs)
    arguments = (
        *(Workspace(), runs, 0, Workspace(), float(params.limit), 0.0),
        *(Workspace(), scale.place, norm.place),
    )
    reads = (doubles(emission, 0, runs),)
    kernel = emission.kernel("norm", norm_constants(None))
    last = Launch(node.name, kernel, (1, 1, 1), THREADS, arguments, reads, (scale, norm))
    return [replace(launch, workspace=max(DOUBLE, DOUBLE * runs)) for launch in (*found, last)]
