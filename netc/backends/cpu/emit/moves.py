"""Layers that only move data: what is not already in its place is copied or turned around."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from netc.backends.cpu.emit.emission import EmitContext, Sweeps, scratch_of
from netc.backends.cpu.lowering import Sweep, sweep_of
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.arrange import arrange_steps, logical_strides, part
from netc.backends.cpu.steps.moving import Strided
from netc.backends.cpu.steps.transpose import from_planes, to_planes
from netc.backends.shared.layout import c_strides, is_in_c_order, view_of
from netc.backends.shared.views import View, dense
from netc.ir.graph import Node
from netc.ir.types import Shape, count
from netc.ops.axes import axis_in
from netc.ops.catalog import CATALOG
from netc.ops.cropping import CropCenterParams, CropParams, crop_offsets
from netc.ops.forks.permutation import PermuteParams, ShuffleChannelParams, permutation
from netc.ops.joining import ConcatParams, SliceParams
from netc.ops.reshaping import TileParams


def emit_concat(context: EmitContext, node: Node) -> Sweeps | None:
    """Copies of the parts that were not produced in their place."""
    shapes = [context.graph.shape(v) for v in node.inputs]
    whole = _axes(context, node.outputs[0])
    return _copies(
        node,
        shapes,
        [_axes(context, v) for v in node.inputs],
        [part(whole, start) for start in _starts(node, shapes)],
    )


def emit_slice(context: EmitContext, node: Node) -> Sweeps | None:
    """Copies of the parts that do not lie inside the input."""
    shapes = [context.graph.shape(v) for v in node.outputs]
    whole = _axes(context, node.inputs[0])
    return _copies(
        node,
        shapes,
        [part(whole, start) for start in _starts(node, shapes)],
        [_axes(context, v) for v in node.outputs],
    )


def _starts(node: Node, shapes: Sequence[Shape]) -> list[tuple[int, ...]]:
    """The index at which each part begins in the whole, along the node's axis."""
    params = node.params_as(ConcatParams, SliceParams)
    axis = axis_in(shapes[0], params.axis, params.field)
    places = accumulate((shape[axis] for shape in shapes[:-1]), initial=0)
    rest = (0,) * (len(shapes[0]) - axis - 1)
    return [(*(0,) * axis, start, *rest) for start in places]


def emit_crop(context: EmitContext, node: Node) -> Sweeps | None:
    """A copy of the part."""
    shape = context.graph.shape(node.outputs[0])
    params = node.params_as(CropParams, CropCenterParams)
    starts = crop_offsets(params, context.graph.shape(node.inputs[0]))
    source = part(_axes(context, node.inputs[0]), starts)
    return _copies(node, [shape], [source], [_axes(context, node.outputs[0])])


def emit_permute(context: EmitContext, node: Node) -> Sweeps | None:
    """A copy with the axes in another order."""
    shape = context.graph.shape(node.outputs[0])
    order = permutation(node.params_as(PermuteParams), len(shape))
    source = _axes(context, node.inputs[0])
    seen = Strided(source.place, tuple(source.strides[axis] for axis in order))
    return _copies(node, [shape], [seen], [_axes(context, node.outputs[0])])


def emit_shuffle(context: EmitContext, node: Node) -> Sweeps | None:
    """A copy with the groups of channels interleaved."""
    n, channels, *space = context.graph.shape(node.inputs[0])
    group = node.params_as(ShuffleChannelParams).group
    source = _axes(context, node.inputs[0])
    target = _axes(context, node.outputs[0])
    shape = (n, group, channels // group, *space)
    first, channel, *rest = source.strides
    dealt = (first, channel * (channels // group), channel, *rest)
    first, channel, *rest = target.strides
    taken = (first, channel, channel * group, *rest)
    steps = arrange_steps(
        node.name, shape, Strided(source.place, dealt), Strided(target.place, taken)
    )
    return None if steps is None else [_moving(steps, source, target)]


def emit_tile(context: EmitContext, node: Node) -> Sweeps | None:
    """Copies one after another along an axis."""
    params = node.params_as(TileParams)
    shape = context.graph.shape(node.inputs[0])
    axis = axis_in(shape, params.axis, "tile_param.axis")
    source, target = _axes(context, node.inputs[0]), _axes(context, node.outputs[0])
    along = target.strides[axis] * shape[axis]
    steps = arrange_steps(
        node.name,
        (*shape[:axis], params.tiles, *shape[axis:]),
        Strided(source.place, (*source.strides[:axis], 0, *source.strides[axis:])),
        Strided(target.place, (*target.strides[:axis], along, *target.strides[axis:])),
    )
    return None if steps is None else [_moving(steps, source, target)]


def emit_identity(context: EmitContext, node: Node) -> Sweeps | None:
    """A copy where a layer does nothing with these parameters."""
    same = CATALOG[node.op].identity
    shapes = [context.graph.shape(v) for v in node.inputs]
    return emit_copy(context, node) if same and same(node.params, shapes) else None


def emit_nothing(context: EmitContext, node: Node) -> Sweeps | None:
    """No step."""
    return []


def emit_copy(context: EmitContext, node: Node) -> Sweeps | None:
    """Copies of the input that do not lie where it lies."""
    shape = context.graph.shape(node.inputs[0])
    sources = [_axes(context, node.inputs[0])] * len(node.outputs)
    targets = [_axes(context, v) for v in node.outputs]
    return _copies(node, [shape] * len(targets), sources, targets)


def emit_reshape(context: EmitContext, node: Node) -> Sweeps | None:
    """Another shape: nothing to do, or through Caffe's order, in which both are the same."""
    (source,), (target,) = node.inputs, node.outputs
    before, after = context.graph.shape(source), context.graph.shape(target)
    x, y = context.view(source), context.view(target)
    if x.place == y.place:
        return []
    given, wanted = _reshaped(x, before, after), _reshaped(y, after, before)
    if given is not None:
        return _copies(node, [after], [given], [_axes(context, target)])
    if wanted is not None:
        return _copies(node, [before], [_axes(context, source)], [wanted])
    if is_in_c_order(before) or is_in_c_order(after):
        return None
    between = dense(scratch_of(node), 1, 1, 1, count(before))
    return [
        sweep_of(
            lambda: [to_planes(node.name, x, between.place)], [x], [between], scratch=between.span
        ),
        sweep_of(lambda: [from_planes(node.name, between.place, y)], [between], [y]),
    ]


def _reshaped(view: View, shape: Shape, other: Shape) -> Strided | None:
    """A stored value with the axes of another shape; None where its order is not Caffe's."""
    strides = c_strides(other)
    if is_in_c_order(shape) and view == view_of(shape, view.place):
        return Strided(view.place, strides)
    if view.c == 1:
        return Strided(view.place, tuple(view.ld * stride for stride in strides))
    if view.h * view.w == 1 and shape[0] == other[0]:
        return Strided(view.place, (view.ld, *strides[1:]))
    return None


def _axes(context: EmitContext, value: str) -> Strided:
    return logical_strides(context.view(value), context.graph.shape(value))


def _copies(
    node: Node, shapes: Sequence[Shape], sources: Sequence[Strided], targets: Sequence[Strided]
) -> Sweeps | None:
    """A copy for each pair of arrangements that differ; None where one is beyond the kernels."""
    sweeps: Sweeps = []
    for shape, source, target in zip(shapes, sources, targets, strict=True):
        if source == target:
            continue
        found = arrange_steps(node.name, shape, source, target)
        if found is None:
            return None
        sweeps.append(_moving(found, source, target))
    return sweeps


def _moving(steps: Sequence[Step], source: Strided, target: Strided) -> Sweep:
    """Steps that copy from one arrangement to another."""
    return sweep_of(lambda: steps, [source], [target])
