"""A 1x1 bottleneck and the window that reads it run band by band of rows.

Before::

    a = Fused[Convolution 1x1, ReLU](x); y = Fused[Convolution 3x3, ReLU](a)

After::

    y = Fused[Convolution 1x1, ReLU, Convolution 3x3, ReLU](x)

A kernel of such a chain makes a few rows of the bottleneck, then the rows of the result that they
complete, and so on: what the second convolution reads was written just before and is still in the
cache (Alwani et al., "Fused-layer CNN accelerators", MICRO 2016). Nothing is computed twice or in
another order.

It pays where the bottleneck is larger than a core's second cache, and where a band is high enough
that reading all weights again for each band costs less than the traffic saved.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from netc.ir.draft import Draft
from netc.ir.graph import Graph, Node
from netc.ir.types import Shape, count
from netc.ops.convolution import ConvolutionParams
from netc.ops.fused import NAME, FusedParams
from netc.passes.base import Log, Pass
from netc.passes.epilogue import stages_of

# Those that every backend's convolution applies before it stores.
ACTIVATIONS = frozenset("ReLU PReLU ELU Sigmoid TanH Clip Swish".split())
CACHE = 512 * 1024  # bytes: the second cache of most cores that netc runs on
_FLOAT = 4


class Bands(NamedTuple):
    """How two convolutions are cut: rows of the result a band, bands, bytes moved less and more."""

    rows: int
    bands: int
    saved: int
    reread: int


def tile_bottlenecks(graph: Graph, log: Log) -> Graph:
    """Pairs of a 1x1 convolution and the only convolution that reads it become one node."""
    draft = Draft(graph)
    for node in draft:
        then = draft.only_reader(node.outputs[0]) if _is_bottleneck(draft, node) else None
        if then is None or not _is_window(draft, node, then):
            continue
        size = _FLOAT * count(draft.shape(node.outputs[0]))
        arrays = [draft.array(name) for name in node.parameters + then.parameters]
        between, output = draft.shape(node.outputs[0]), draft.shape(then.outputs[0])
        bands = cut(between, output, sum(array.nbytes for array in arrays))
        if size <= CACHE:
            log.declined(f"its {size:,} bytes fit a cache of {CACHE:,}", node.name, then.name)
        elif bands.saved <= bands.reread:
            log.declined(
                f"{bands.bands} bands would save {bands.saved:,} bytes of traffic and read "
                f"{bands.reread:,} bytes of weights again",
                node.name,
                then.name,
            )
        else:
            log.did(
                f"{bands.bands} bands of {bands.rows} rows save {bands.saved:,} bytes of traffic",
                node.name,
                then.name,
            )
            draft.remove(node.name)
            draft.put(then.name, _joined(node, then))
    return draft.result()


def cut(between: Shape, output: Shape, weights: int) -> Bands:
    """Bands whose share of bottleneck and result fills half the cache, and what they cost.

    Args:
        between: shape of the bottleneck.
        output: shape of the result.
        weights: bytes of both convolutions' weights.
    """
    row = _FLOAT * (count(between, 1) // between[2] + count(output, 1) // output[2])
    rows = max(1, CACHE // 2 // max(1, row))
    bands = between[0] * -(-output[2] // rows)
    saved = 2 * _FLOAT * count(between)
    return Bands(rows, bands, saved, (bands - between[0]) * weights)


def _convolution(node: Node) -> ConvolutionParams | None:
    stage = stages_of(node)[0]
    return stage.params if stage.op == "Convolution" and stage.params.axis == 1 else None


def _is_bottleneck(draft: Draft, node: Node) -> bool:
    """A 1x1 convolution over pixels, by itself or with one activation."""
    params = _convolution(node)
    if params is None or len(node.inputs) != 1 or params.group != 1:
        return False
    shape = draft.shape(node.inputs[0])
    if len(shape) != 4 or len(stages_of(node)) > 2:
        return False
    if any(stage.op not in ACTIVATIONS for stage in stages_of(node)[1:]):
        return False
    axes = params.window.axes(shape[2:])
    return all(axis.kernel == 1 and axis.stride == 1 and axis.pad == 0 for axis in axes)


def _is_window(draft: Draft, first: Node, then: Node) -> bool:
    """A convolution of the bottleneck with a window of more than one row, of it alone."""
    params = _convolution(then)
    value = first.outputs[0]
    if params is None or then.inputs[0] != value or then.inputs.count(value) != 1:
        return False
    rows, _ = params.window.axes(draft.shape(value)[2:])
    return params.group == 1 and rows.kernel > 1 and len(then.outputs) == 1


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
