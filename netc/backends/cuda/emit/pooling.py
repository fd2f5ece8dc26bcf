"""Pooling."""

from __future__ import annotations

from netc.backends.cuda.emission import CudaEmitContext, element_launch, side
from netc.backends.cuda.products.tiles import MAX_PARTS
from netc.backends.cuda.program import Launch, Steps
from netc.backends.cuda.source import Constant
from netc.backends.shared.views import View
from netc.ir.graph import Node
from netc.ops.pooling import PoolingParams, pooling_axes
from netc.ops.window import Axis

METHODS = {"MAX": 0, "AVE": 2, "STOCHASTIC": 3}
_PLANE = 16  # pixels from which a plane is worth a block's rows


def emit_pooling(emission: CudaEmitContext, node: Node) -> Steps | None:
    """All methods but stochastic pooling, which only training needs."""
    params = node.params_as(PoolingParams)
    if params.method == "STOCHASTIC" and params.train:
        return None
    axes = pooling_axes(params, emission.graph.shape(node.inputs[0]))
    x, outputs = emission.view(node.inputs[0]), [emission.view(v) for v in node.outputs]
    plain = params.method != "STOCHASTIC" and len(outputs) == 1
    if plain and _whole(axes) and x.n <= MAX_PARTS:
        return _plane(emission, node.name, x, outputs[0], params.method == "AVE")
    return _windows(emission, node.name, params, axes, x, outputs)


def _whole(axes: tuple[Axis, Axis]) -> bool:
    """True if the one window is all of the plane."""
    fits = all(a.out == 1 and a.kernel == a.size and a.pad == 0 for a in axes)
    return fits and axes[0].size * axes[1].size >= _PLANE


def _windows(
    emission: CudaEmitContext,
    name: str,
    params: PoolingParams,
    axes: tuple[Axis, Axis],
    x: View,
    outputs: list[View],
) -> Steps:
    y, mask = outputs[0], outputs[-1]
    constants = window_constants(axes) | {"METHOD": 1 if params.mask else METHODS[params.method]}
    each = side(emission, y.count, (x, *outputs))
    constants["VEC"] = each
    count = y.count // each
    arguments = (
        *(x.place, y.place, mask.place, x.ld, y.ld, mask.ld),
        *(y.c, x.h, x.w, y.h, y.w, count),
    )
    return element_launch(emission, name, "pool", constants, arguments, count, [x], outputs)


def window_constants(axes: tuple[Axis, Axis]) -> dict[str, Constant]:
    """A pooling's window as constants of a kernel."""
    found: dict[str, Constant] = {}
    for axis, letter in zip(axes, "YX", strict=True):
        # A kernel longer than what it can meet behaves as one that just reaches over it.
        reach = min(axis.kernel, axis.size + 2 * axis.pad + axis.stride * axis.out)
        found |= {
            f"KERNEL_{letter}": reach,
            f"STRIDE_{letter}": axis.stride,
            f"PAD_{letter}": axis.pad,
        }
    return found


def _plane(emission: CudaEmitContext, name: str, x: View, y: View, average: bool) -> Steps:
    if y.n * y.c == 0:
        return []
    kernel = emission.kernel("pool_plane", {"AVERAGE": average})
    arguments = (x.place, y.place, x.ld, y.ld, y.c, x.h * x.w)
    grid = (-(-y.c // 32), 1, 1)
    return [Launch(name, kernel, (grid[0], y.n, 1), 256, arguments, (x,), (y,))]
