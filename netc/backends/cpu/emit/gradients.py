"""Gradients that have kernels. One without an entry here runs by its definition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from netc.backends.cpu.emit.channel_gradients import (
    channel_sums,
    emit_batch_norm_back,
    emit_batch_norm_own,
    emit_bn_back,
    emit_bn_own,
    emit_operand,
)
from netc.backends.cpu.emit.drawn import emit_drawn_back
from netc.backends.cpu.emit.emission import EmitContext, Sweeps
from netc.backends.cpu.emit.linear import as_rows
from netc.backends.cpu.emit.losses import emit_pair_slope, emit_softmax_slope
from netc.backends.cpu.emit.map_gradients import MAP_GRADIENTS, Emit
from netc.backends.cpu.emit.pooling import window_of_pooling
from netc.backends.cpu.emit.products import (
    geometry_of,
    has_many_phases,
    is_depthwise,
    transposed_steps,
)
from netc.backends.cpu.lowering import Sweep, sweep_of
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.channel_sums import SumTarget, tap_sum_steps
from netc.backends.cpu.steps.normalization import Response, lrn_back_step
from netc.backends.cpu.steps.outer import (
    OuterTarget,
    Side,
    TapShift,
    joined_rows,
    outer_steps,
    side_of,
    window_taps,
)
from netc.backends.cpu.steps.pooling import average_pool_back_step, max_pool_back_step
from netc.backends.cpu.steps.winograd_weights import pays, winograd_weight_steps
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import View, moved
from netc.ir.graph import Node
from netc.ops.array import AnyArray
from netc.ops.axes import axis_in
from netc.ops.convolution_params import ConvolutionParams
from netc.ops.gradient import GradientParams, rule_of
from netc.ops.linear import InnerProductParams
from netc.ops.lrn import LRNParams, is_positive
from netc.ops.pooling import PoolingParams, pooling_axes
from netc.ops.pooling_values import areas

_MAX_GROUPS = 64  # each has steps of its own
_DRAWN = ("Dropout", "DropPath")  # which are given the generator's key beside their bottoms


def emit_gradient(context: EmitContext, node: Node) -> Sweeps | None:
    """A gradient's steps; None where it has no kernel."""
    params = node.params_as(GradientParams)
    if params.op in _DRAWN:
        return emit_drawn_back(context, node)
    emitter = _EMITTERS.get((params.op, params.kind))
    return None if emitter is None else emitter(context, _of_what_it_reads(node))


def _of_what_it_reads(node: Node) -> Node:
    """The node without the bottoms that it is given for their sizes alone.

    Behind a layer whose output's size only a run tells a gradient is given them all.
    """
    params = node.params_as(GradientParams)
    rule = rule_of(params.op)
    if rule is None:
        return node
    wanted = rule.read(params.kind, params.params, params.index, len(params.shapes)).inputs
    places = [place for place, at in enumerate(params.inputs) if at in wanted]
    kept = (*(node.inputs[i] for i in places), *node.inputs[len(params.inputs) :])
    numbers = tuple(params.inputs[i] for i in places)
    return replace(node, inputs=kept, params=replace(params, inputs=numbers))


def _convolution(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradient of a convolution's weights or bias: sums over pixels."""
    params = node.params_as(GradientParams)
    layer = params.params_as(ConvolutionParams)
    if len(params.shapes) != 1 or len(params.shapes[0]) != 4 or layer.axis not in (1, -3):
        return None
    if params.index == 1:
        return channel_sums(context, node, context.view(node.inputs[-1]))
    x, y = (context.view(value) for value in node.inputs)
    out, geometry = context.view(node.outputs[0]), geometry_of(layer, params.shapes[0])
    if is_depthwise(geometry, x, y):
        taps = window_taps(x, (y.h, y.w), geometry)
        return [_of_depthwise(context, node, geometry, taps)]
    if geometry.groups > _MAX_GROUPS:
        return None
    alone = replace(geometry, groups=1)

    def steps() -> list[Step]:
        found: list[Step] = []
        for group in range(geometry.groups):
            mine, theirs = (_share(view, group, geometry.groups) for view in (x, y))
            target = _weights_at(out, group * theirs.c, mine.c)
            found += _weight_steps(context, node.name, mine, theirs, alone, target)
        return found

    return [sweep_of(steps, [x, y], [out])]


def _weight_steps(
    context: EmitContext, name: str, x: View, y: View, geometry: Geometry, target: OuterTarget
) -> list[Step]:
    """Of one group's weights, by the algorithm that should be fastest."""
    machine, grid = context.target, (y.h, y.w)
    if not context.exact and pays(x, y, geometry, machine):
        return winograd_weight_steps(name, x, y, geometry, target, machine)
    plain = side_of(x, geometry.stride), window_taps(x, grid, geometry), target
    side, taps, target = joined_rows(x, grid, geometry, target) or plain
    return outer_steps(name, side, side_of(y), (x.n, y.h), taps, target, machine)


def _weights_at(out: View, first: int, channels: int) -> OuterTarget:
    """Where the gradient of a window's weights goes, from output channel ``first`` on."""
    each = out.h * out.w * out.ld
    place = moved(out.place, first * each)
    if out.c == channels:
        return OuterTarget(place, each, out.ld, 1)
    return OuterTarget(place, each, 1, out.c // channels)  # in Caffe's order


def _of_depthwise(
    context: EmitContext, node: Node, geometry: Geometry, taps: Sequence[TapShift]
) -> Sweep:
    """The gradient of a depthwise convolution's weights."""
    x, y = (context.view(value) for value in node.inputs)
    out = context.view(node.outputs[0])
    target = SumTarget(out.place, out.ld, out.h * out.w * out.ld)
    side = side_of(x, geometry.stride)
    return sweep_of(
        lambda: tap_sum_steps(node.name, side, y, taps, target, context.target), [x, y], [out]
    )


def _convolution_back(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradient of a convolution's bottom: a deconvolution to the bottom's size.

    What no window saw, at the far edge, gets nothing.
    """
    params = node.params_as(GradientParams)
    layer = params.params_as(ConvolutionParams)
    if len(params.shapes[0]) != 4 or layer.axis not in (1, -3):
        return None
    y, x = context.view(node.inputs[0]), context.view(node.outputs[0])
    geometry = geometry_of(layer, params.shapes[0])
    if has_many_phases(geometry, x):
        return None
    weight = context.array(node.parameters[0])
    return [
        sweep_of(lambda: transposed_steps(context, node.name, y, x, weight, geometry), [y], [x])
    ]


def _share(view: View, group: int, groups: int) -> View:
    size = view.c // groups
    return view.channels(group * size, (group + 1) * size)


def _inner_product(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradient of an inner product's weights or bias."""
    params = node.params_as(GradientParams)
    if params.index == 1:
        shape = context.graph.shape(node.inputs[-1])
        whole = len(shape) == 2
        return channel_sums(context, node, context.view(node.inputs[-1])) if whole else None
    found = inner_product_sums(context, params, *node.inputs)
    if found is None:
        return None
    out = context.view(node.outputs[0])

    def steps() -> list[Step]:
        return found.steps(node.name, range(found.y.c), out, context.target)

    return [sweep_of(steps, [found.x, found.y], [out])]


@dataclass(frozen=True, slots=True)
class InnerProductSums:
    """The gradient of an inner product's weights: ``y`` has a row for each image, ``x`` a map."""

    x: View
    y: View

    @property
    def columns(self) -> int:
        """Elements of a row of the gradient."""
        return self.x.h * self.x.w * self.x.c

    def steps(self, name: str, rows: range, out: View, machine: Machine) -> list[Step]:
        """Steps that write some rows of it, in Caffe's order, to a value of so many images."""
        x, number = self.x, self.x.h * self.x.w
        taps = [TapShift(place * x.ld, range(1), range(x.n)) for place in range(number)]
        # A map's pixels lie one after the other; their weights, channel after channel.
        target = OuterTarget(out.place, out.ld, 1, number)
        y = _rows_of(self.y.channels(rows.start, rows.stop))
        return outer_steps(name, _rows_of(x), y, (1, 1), taps, target, machine)


def inner_product_sums(
    context: EmitContext, params: GradientParams, value: str, top: str
) -> InnerProductSums | None:
    """The gradient of an inner product's weights; None where there are no kernels for it."""
    layer = params.params_as(InnerProductParams)
    if layer.transpose:
        return None
    shape, view = context.graph.shape(value), context.view(value)
    if axis_in(shape, layer.axis, "inner_product_param.axis") != 1:
        return None
    y = as_rows(context.view(top), context.graph.shape(top), shape[0], layer.num_output)
    return None if y is None else InnerProductSums(view, y)


def _rows_of(view: View) -> Side:
    """The images of a value as the columns of a grid, one pixel of each."""
    return Side(view.place, view.c, 0, 0, view.h * view.w * view.ld)


def _pooling(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradient of the bottom of a MAX or AVE pooling."""
    params = node.params_as(GradientParams)
    shape, pooling = params.shapes[0], params.params_as(PoolingParams)
    window = window_of_pooling(pooling, shape)
    *read, top = (context.view(value) for value in node.inputs)
    out = context.view(node.outputs[0])
    if pooling.method == "MAX":
        step = max_pool_back_step(node.name, top, read[0], out, window)
        return [sweep_of(lambda: [step], [top, *read], [out])]
    if pooling.method != "AVE":
        return None
    shares: AnyArray = 1 / areas(pooling_axes(pooling, shape), np.ones(1, np.float32))
    step = average_pool_back_step(node.name, top, shares, out, window)
    return [sweep_of(lambda: [step], [top, *read], [out])]


def _lrn(context: EmitContext, node: Node) -> Sweeps | None:
    """The gradient of the bottom of an LRN across channels."""
    params = node.params_as(GradientParams)
    layer = params.params_as(LRNParams)
    if not layer.across or not is_positive(layer):
        return None
    x, *left, top = (context.view(value) for value in node.inputs)
    y, out = left[0] if left else None, context.view(node.outputs[0])
    response = Response(layer.local_size, layer.alpha, layer.beta, layer.k)
    step = lrn_back_step(node.name, x, y, top, out, response)
    return [sweep_of(lambda: [step], (), [out], pointwise=[x, y, top])]


_EMITTERS: Mapping[tuple[str, str], Emit] = MappingProxyType(
    {
        **MAP_GRADIENTS,
        ("BN", "bottom"): emit_bn_back,
        ("BN", "weight"): emit_bn_own,
        ("BatchNorm", "bottom"): emit_batch_norm_back,
        ("BatchNorm", "weight"): emit_batch_norm_own,
        ("Bias", "weight"): emit_operand,
        ("Convolution", "bottom"): _convolution_back,
        ("Convolution", "weight"): _convolution,
        ("EuclideanLoss", "bottom"): emit_pair_slope,
        ("InnerProduct", "weight"): _inner_product,
        ("LRN", "bottom"): _lrn,
        ("Pooling", "bottom"): _pooling,
        ("Scale", "weight"): emit_operand,
        ("SigmoidCrossEntropyLoss", "bottom"): emit_pair_slope,
        ("SoftmaxWithLoss", "bottom"): emit_softmax_slope,
    }
)
