"""A convolution and the window that alone reads it run band by band of rows.

Before::

    a = Fused[Convolution 1x1, ReLU](x); y = Fused[Convolution 3x3, ReLU](a)

After::

    y = Fused[Convolution 1x1, ReLU, Convolution 3x3, ReLU](x)

A kernel of such a chain makes a few rows of the value between, then the rows of the result that
they complete, and so on: what the window reads was written just before and is still in the cache
(Alwani et al., "Fused-layer CNN accelerators", MICRO 2016). Nothing is computed twice or in another
order. The window is that of a dense convolution or of a pooling.

It pays where the value between is larger than a core's second cache, and where a band is high
enough that reading all weights again for each band costs less than the traffic saved.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from netc.ir.draft import Draft
from netc.ir.graph import Graph, Node
from netc.ir.types import Shape, count
from netc.ops.catalog import has_role
from netc.ops.convolution_params import ConvolutionParams
from netc.ops.fused import NAME, FusedParams, Stage
from netc.ops.pooling import PoolingParams, pooling_axes
from netc.ops.role import Role
from netc.ops.window import Axis
from netc.passes.base import Log, Pass
from netc.passes.epilogue import stages_of

CACHE = 1024 * 1024  # bytes: about the second cache of the cores that netc runs on
_FLOAT = 4


class Bands(NamedTuple):
    """How a convolution and a window are cut.

    Args:
        rows: of the result, in a band.
        bands: of all images.
        height: rows of the value between that a band needs at once.
        saved: bytes that are moved less.
        reread: bytes of weights that are read again.
    """

    rows: int
    bands: int
    height: int
    saved: int
    reread: int


def tile_bottlenecks(graph: Graph, log: Log) -> Graph:
    """A convolution and the only window that reads it become one node."""
    draft = Draft(graph)
    for node in draft:
        then = draft.only_reader(node.outputs[0]) if _is_producer(draft, node) else None
        window = None if then is None else _window(draft, node, then)
        if then is None or window is None:
            continue
        between, output = draft.shape(node.outputs[0]), draft.shape(then.outputs[0])
        size = _FLOAT * count(between)
        shapes = [draft.array(name).shape for name in node.parameters + then.parameters]
        weights = sum(_FLOAT * count(shape) for shape in shapes)
        bands = cut(between, output, weights, window)
        if size <= CACHE:
            log.missed(f"its {size:,} bytes fit a cache of {CACHE:,}", node.name, then.name)
        elif bands.saved <= bands.reread:
            log.missed(
                f"{bands.bands} bands would save {bands.saved:,} bytes of traffic and read "
                f"{bands.reread:,} bytes of weights again",
                node.name,
                then.name,
            )
        else:
            log.applied(
                f"{bands.bands} bands of {bands.rows} rows save {bands.saved:,} bytes of traffic",
                node.name,
                then.name,
            )
            draft.remove(node.name)
            draft.put(then.name, _joined(node, then))
    return draft.result()


def cut(between: Shape, output: Shape, weights: int, window: Axis) -> Bands:
    """Bands whose share of the value between and of the result fills half the cache.

    Args:
        between: shape of the value between.
        output: shape of the result.
        weights: bytes of both layers' weights.
        window: along the rows of the value between.
    """
    made, out = (_FLOAT * count(shape, 1) // shape[2] for shape in (between, output))
    kept = max(0, window.extent - window.stride)  # rows that the next band reads once more
    room = CACHE // 2 - kept * made
    rows = max(1, -(-kept // window.stride), room // (window.stride * made + out))
    rows = min(rows, output[2])
    bands = between[0] * -(-output[2] // rows)
    height = min(between[2], window.extent + (rows - 1) * window.stride)
    saved = 2 * _FLOAT * count(between)
    return Bands(rows, bands, height, saved, (bands - between[0]) * weights)


def may_run_whole(stage: Stage, window: Axis) -> bool:
    """True if a backend may do the second layer by an algorithm that has tiles of its own."""
    if not has_role(stage.op, Role.CONVOLUTION) or window.stride != 1:
        return False
    return stage.params_as(ConvolutionParams).group == 1


def _convolution(node: Node) -> ConvolutionParams | None:
    stage = stages_of(node)[0]
    if not has_role(stage.op, Role.CONVOLUTION):
        return None
    params = stage.params_as(ConvolutionParams)
    return params if params.axis == 1 else None


def _is_producer(draft: Draft, node: Node) -> bool:
    """A dense convolution over pixels, by itself or with one activation.

    One that reads overlapping windows without a stride may run in tiles of its own.
    """
    params = _convolution(node)
    if params is None or len(node.inputs) != 1 or params.group != 1:
        return False
    shape = draft.shape(node.inputs[0])
    if len(shape) != 4 or len(stages_of(node)) > 2:
        return False
    if any(not has_role(stage.op, Role.ACTIVATION) for stage in stages_of(node)[1:]):
        return False
    axes = params.window.axes(shape[2:])
    return all((axis.kernel == 1 and axis.pad == 0) or axis.stride > 1 for axis in axes)


def _window(draft: Draft, first: Node, then: Node) -> Axis | None:
    """The window along rows of a layer that reads this value alone; None where it has no bands."""
    value = first.outputs[0]
    stage, shape = stages_of(then)[0], draft.shape(value)
    if then.inputs[0] != value or then.inputs.count(value) != 1 or len(then.outputs) != 1:
        return None
    window = window_of(stage, shape)
    return window if window is not None and window.kernel > 1 else None


def window_of(stage: Stage, shape: Shape) -> Axis | None:
    """The window along rows of a convolution or pooling that can run in bands; else None."""
    if has_role(stage.op, Role.POOLING):
        pooling = stage.params_as(PoolingParams)
        rows = pooling_axes(pooling, shape)[0]
        # The divisor of an average depends on how far the window reaches into the padding.
        plain = pooling.method == "MAX" or (pooling.method == "AVE" and rows.pad == 0)
        return rows if plain and rows.kernel < rows.size else None
    if not has_role(stage.op, Role.CONVOLUTION):
        return None
    params = stage.params_as(ConvolutionParams)
    if params.axis != 1:
        return None
    return params.window.axes(shape[2:])[0] if params.group == 1 else None


def _joined(first: Node, then: Node) -> Node:
    head, *tail = stages_of(then)
    stages = (*stages_of(first), replace(head, inputs=0, position=0), *tail)
    return replace(
        then,
        op=NAME,
        params=FusedParams(stages),
        inputs=first.inputs + then.inputs[1:],
        parameters=first.parameters + then.parameters,
        spans=first.spans + then.spans,
        param_specs=(),
    )


TILE_BOTTLENECKS = Pass("tile-bottlenecks", tile_bottlenecks, exact=True, for_caches=True)
