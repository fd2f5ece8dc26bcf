"""RNN and LSTM: one product for all steps' inputs, then a kernel for each step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netc.backends.cuda.chain import FusedOutput
from netc.backends.cuda.emission import CudaEmitContext
from netc.backends.cuda.emit.inner_product import flat_rows, stored_order
from netc.backends.cuda.products.launches import product_steps
from netc.backends.cuda.products.product import Product
from netc.backends.cuda.products.tiles import MAX_PARTS
from netc.backends.cuda.program import Argument, Int64, Launch, Steps
from netc.backends.shared.derived import Weights
from netc.backends.shared.views import View, Workspace, dense, moved
from netc.ir.graph import Node
from netc.ir.types import count
from netc.ops.fused import BoundStage, Stage
from netc.ops.recurrent import RecurrentParams

MAX_STEPS = 1024  # kernels in a row; each more makes all take longer to put in order
_ROWS = 4  # streams for which a warp reads a weight once
_HERE = np.zeros((1, 2), np.int32)  # the only tap
_NOWHERE = Int64(0)
_TANH = BoundStage(Stage("TanH", None), [], [])


@dataclass(frozen=True)
class _Memory:
    """A layer's workspace: offsets of what it computes on the way.

    Args:
        driven: (steps * streams, units), what the inputs add to each step's units.
        fixed: (streams, units), what the static input adds to all steps' units.
        cell: (streams, hidden), in float32.
        states: (steps * streams, hidden), the states of a plain layer.
        end: elements of all of it.
    """

    driven: View
    fixed: View
    cell: View
    states: View
    end: int


def emit_recurrent(emission: CudaEmitContext, node: Node) -> Steps | None:
    """An RNN or LSTM; None where its inputs are scattered in memory."""
    graph, params = emission.graph, node.params_as(RecurrentParams)
    shapes = [graph.shape(value) for value in node.inputs]
    (steps, streams), hidden = shapes[0][:2], params.num_output
    rows = flat_rows(emission.view(node.inputs[0]), shapes[0], 2)
    fits = 0 < steps <= MAX_STEPS and streams <= MAX_PARTS
    if rows is None or not fits or not count(shapes[0]) * hidden:
        return None
    weight, bias, *others = emission.arrays(node)
    memory = _memory(emission, steps, streams, hidden, params.gates)
    matrix = stored_order(weight, shapes[0], 2)
    found = _product(
        emission, node, rows, FusedOutput(memory.driven, (), (), bias), matrix, memory.end
    )
    if params.static:
        view, matrix = emission.view(node.inputs[2]), others.pop(0)
        seen = flat_rows(view, shapes[2], 1)
        if seen is None or not seen.c:
            return None
        matrix = stored_order(matrix, shapes[2], 1)
        found += _product(emission, node, seen, FusedOutput(memory.fixed, ()), matrix, memory.end)
    found += _steps(emission, node, memory, others[0])
    if params.gates == 1:
        y = dense(emission.place(node.outputs[0]), steps * streams, 1, 1, hidden)
        target = FusedOutput(y, (), (_TANH,), others[2])
        found += _product(emission, node, memory.states, target, others[1], memory.end)
    return found


def _memory(
    emission: CudaEmitContext, steps: int, streams: int, hidden: int, gates: int
) -> _Memory:
    wide = 4 // emission.precision.item  # elements of a float32
    sizes = (
        (steps * streams, gates * hidden),
        (streams, gates * hidden),
        (streams, hidden * wide),
        (steps * streams, hidden),
    )
    views, end = [], 0
    for rows, columns in sizes:
        views.append(dense(Workspace(end), rows, 1, 1, columns))
        end += -(-rows * columns // 128) * 128
    driven, fixed, cell, states = views
    return _Memory(driven, fixed, cell, states, end)


def _product(
    emission: CudaEmitContext, node: Node, x: View, target: FusedOutput, matrix: Weights, taken: int
) -> Steps:
    """A product of rows, of which the first ``taken`` elements of workspace are not its own."""
    shape = (target.view.pixels, target.view.c)
    whole = FusedOutput(target.view, shape, target.stages, target.bias)
    return product_steps(Product(node.name, x, (whole,), lambda: matrix, _HERE), taken)


def _steps(emission: CudaEmitContext, node: Node, memory: _Memory, recurrent: Weights) -> Steps:
    """A launch for each step; it reads the state that the one before it has left."""
    params, weights = node.params_as(RecurrentParams), emission.stored(recurrent)
    steps, streams = emission.graph.shape(node.inputs[0])[:2]
    cont, hidden = emission.view(node.inputs[1]), params.num_output
    rows = min(_ROWS, streams)
    kernel = emission.kernel("recurrent", {"GATES": params.gates, "ROWS": rows})
    grid = (math.ceil(hidden / 4), math.ceil(streams / rows), 1)
    first = _states(emission, node.inputs[2 + params.static :], params.states)
    last = _states(emission, node.outputs[1:], params.states)
    states = memory.states if params.gates == 1 else emission.view(node.outputs[0])
    fixed = memory.fixed if params.static else None
    found, before = Steps(), first[0]
    for step in range(steps):
        driven = _part(memory.driven, step * streams, streams, params.gates * hidden)
        carried = _part(cont, step, 1, streams)
        state = _part(states, step * streams, streams, hidden)
        ends = last if step == steps - 1 else (None, None)
        cells = first[1] if step == 0 else None
        reads = (driven, fixed, carried, before, cells, memory.cell)
        writes = (memory.cell, state, *ends)
        places = (driven, fixed, weights, carried, before, cells, *writes)
        arguments = (*map(_place, places), streams, hidden)
        seen = tuple(view for view in reads if view is not None)
        made = tuple(view for view in writes if view is not None)
        size = emission.precision.item * memory.end
        found.append(Launch(node.name, kernel, grid, 128, arguments, seen, made, size))
        before = state
    return found


def _states(
    emission: CudaEmitContext, values: Sequence[str], states: int
) -> tuple[View | None, View | None]:
    """Where the hidden state and the cell lie that a net gives or is given."""
    views = [emission.view(value) for value in values[:states]]
    return (views[0] if views else None, views[1] if len(views) > 1 else None)


def _part(view: View, row: int, rows: int, columns: int) -> View:
    """Some rows of a matrix; its rows are as far apart as the view has it, if it has rows."""
    apart = view.ld if view.pixels > 1 else columns
    return dense(moved(view.place, row * apart), rows, 1, 1, columns)


def _place(view: View | Weights | None) -> Argument:
    if view is None:
        return _NOWHERE
    return view.place if isinstance(view, View) else view
