"""Convolutions and deconvolutions: alone, with epilogues, and several of one input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from netc.backends.cpu.emit.elementwise import chain_sweeps
from netc.backends.cpu.emit.emission import EmitContext, Sweeps, scratch_of
from netc.backends.cpu.emit.epilogues import Matched, match_epilogue
from netc.backends.cpu.emit.tiled import Convolution, ConvolutionPair, Pooled, banded_steps
from netc.backends.cpu.lowering import Sweep, sweep_of
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.choice import convolution_steps
from netc.backends.cpu.steps.deconv import by_outputs, deconv_steps
from netc.backends.cpu.steps.depthwise import depthwise_deconv_steps
from netc.backends.cpu.steps.epilogue import PLAIN, Activation, Epilogue
from netc.backends.cpu.steps.moving import image_step
from netc.backends.cpu.windows import second_window, shape_between, value_between
from netc.backends.shared.derived import Weights, joined
from netc.backends.shared.geometry import Geometry, pixel_window
from netc.backends.shared.views import View, dense, moved
from netc.ir.graph import Node
from netc.ir.types import Shape
from netc.ops.catalog import has_role
from netc.ops.convolution_params import ConvolutionParams
from netc.ops.fused import NAME as FUSED
from netc.ops.fused import BoundStage, bind_stages
from netc.ops.pooling import PoolingParams
from netc.ops.role import Role
from netc.ops.siblings import SiblingsParams, branch_parameters
from netc.passes.epilogue import chain_of
from netc.passes.tile_bottlenecks import window_of

_MAX_PHASES = 4096
"""Steps that a deconvolution may become: one for each remainder of a place by the stride."""


def geometry_of(params: ConvolutionParams, shape: Shape) -> Geometry:
    """A two-dimensional window in the kernels' terms; also of a deconvolution."""
    return pixel_window(params.window.axes(shape[2:]), params.group)


def emit_convolution(context: EmitContext, node: Node) -> Sweeps | None:
    """A convolution over pixels, alone or with the stages that follow it."""
    shape = context.graph.shape(node.inputs[0])
    first, *stages = bind_stages(chain_of(node), node.inputs, node.parameters)
    if not _over_pixels(first, shape):
        return None
    x, y = context.view(first.inputs[0]), context.view(node.outputs[0])
    at = second_window(node)
    if at is not None:
        return _emit_tiled(context, node, [first, *stages], at)
    edge, x = _edge(context, node, x)
    one, rest = _convolution(context, x, y, first, stages)
    if edge:
        one = one._replace(geometry=replace(one.geometry, pad=(0, 0)))
    sweep = convolution_sweep(context, node.name, one)
    return [*edge, sweep, *chain_sweeps(context, node, y, rest)]


def convolution_sweep(context: EmitContext, name: str, one: Convolution) -> Sweep:
    """A convolution by the algorithm that should be fastest; each reads a residual in order."""
    return sweep_of(
        lambda: convolution_steps(
            name, one.x, [one.y], one.weights, one.geometry, context.target, one.epilogue,
            context.exact,
        ),
        [one.x],
        [one.y],
        pointwise=[one.epilogue.residual],
    )  # fmt: skip


def _edge(context: EmitContext, node: Node, x: View) -> tuple[Sweeps, View]:
    """The conversion of an input that this convolution alone reads, padded already."""
    if node.name not in context.images:
        return [], x
    first = next(bind_stages(chain_of(node), node.inputs, node.parameters)).stage
    return image_edge(context, node, x, first.params_as(ConvolutionParams))


def image_edge(
    context: EmitContext, node: Node, x: View, params: ConvolutionParams
) -> tuple[Sweeps, View]:
    """The caller's array as pixels with the padding of a convolution around them."""
    image = dense(scratch_of(node), *context.images[node.name])
    given = context.graph.shape(node.inputs[0])
    top, left = geometry_of(params, given).pad
    name = f"input {node.inputs[0]}"
    step = image_step(name, x.place, (x.n, x.c, x.h, x.w), image, top, left)
    return [sweep_of(lambda: [step], [x], [image], scratch=image.span)], image


def _emit_tiled(
    context: EmitContext, node: Node, chain: Sequence[BoundStage], at: int
) -> Sweeps | None:
    """A convolution and the window that reads it, at ``at`` of the chain."""
    x, y = context.view(node.inputs[0]), context.view(node.outputs[0])
    kept = value_between(context.graph, node)
    if kept is None:
        return None
    edge, x = _edge(context, node, x)
    middle = dense(moved(scratch_of(node), x.span if edge else 0), *kept)
    first, left = _convolution(context, x, middle, chain[0], chain[1:at])
    shape = shape_between(context.graph, node)
    bound, window = chain[at], window_of(chain[at].stage, shape)
    if left or window is None:
        return None
    if edge:
        first = first._replace(geometry=replace(first.geometry, pad=(0, 0)))
    if has_role(bound.stage.op, Role.POOLING):
        pooled = Pooled(y, bound.stage.params_as(PoolingParams))
        pair = ConvolutionPair(first, pooled, shape, window)
        return [*edge, _banded(context, node, pair)]
    whole = replace(middle, n=shape[0], h=shape[2])
    then, rest = _convolution(context, whole, y, bound, chain[at + 1 :])
    banded = _banded(context, node, ConvolutionPair(first, then, shape, window))
    return [*edge, banded, *chain_sweeps(context, node, y, rest)]


def _banded(context: EmitContext, node: Node, pair: ConvolutionPair) -> Sweep:
    """A convolution and the window that reads it; each band writes its own rows."""
    first, then = pair.first, pair.then
    residual = then.epilogue.residual if isinstance(then, Convolution) else None
    end = first.y.place.offset + first.y.span
    return sweep_of(
        lambda: banded_steps(context, node.name, pair),
        [first.x, first.epilogue.residual],
        [first.y, then.y],
        pointwise=[residual],
        scratch=end,
    )


def _convolution(
    context: EmitContext, x: View, y: View, bound: BoundStage, stages: Sequence[BoundStage]
) -> tuple[Convolution, Sequence[BoundStage]]:
    """A convolution with what its epilogue does of the stages after it, and the rest of them."""
    params = bound.stage.params_as(ConvolutionParams)
    weight, bias = weights_of(context, bound)
    matched = match_epilogue(context, bias, stages, params.num_output)
    geometry = geometry_of(params, (x.n, x.c, x.h, x.w))
    return Convolution(x, y, weight, geometry, matched.epilogue), matched.rest


def is_depthwise(geometry: Geometry, x: View, y: View) -> bool:
    """True if each channel has a group of its own."""
    return geometry.groups == x.c == y.c > 1


def emit_deconvolution(context: EmitContext, node: Node) -> Sweeps | None:
    """A deconvolution over pixels, alone or with the stages that follow it."""
    shape = context.graph.shape(node.inputs[0])
    first, *stages = bind_stages(chain_of(node), node.inputs, node.parameters)
    params = first.stage.params_as(ConvolutionParams)
    if not _over_pixels(first, shape):
        return None
    weight, bias = weights_of(context, first)
    matched = match_epilogue(context, bias, stages, params.num_output)
    x, y = context.view(first.inputs[0]), context.view(node.outputs[0])
    geometry, epilogue = geometry_of(params, shape), matched.epilogue
    if has_many_phases(geometry, y):
        return None
    sweep = sweep_of(
        lambda: transposed_steps(context, node.name, x, y, weight, geometry, epilogue),
        [x],
        [y],
        pointwise=[epilogue.residual],
    )
    return [sweep, *chain_sweeps(context, node, y, matched.rest)]


def has_many_phases(geometry: Geometry, y: View) -> bool:
    """Whether a deconvolution to y would be too many steps: its definition is the better way."""
    return min(geometry.stride[0], y.h) * min(geometry.stride[1], y.w) > _MAX_PHASES


def transposed_steps(
    context: EmitContext,
    name: str,
    x: View,
    y: View,
    weight: Weights,
    geometry: Geometry,
    epilogue: Epilogue = PLAIN,
) -> list[Step]:
    """A deconvolution from x to y by the algorithm that should be fastest.

    ``weight`` is (channels of x, channels of y / groups, ...); ``geometry`` is the convolution's
    that is turned around.
    """
    same = turned(geometry)
    if is_depthwise(geometry, x, y) and geometry.dilation == (1, 1):
        return depthwise_deconv_steps(name, x, y, weight, geometry, epilogue)
    if same is None:
        return deconv_steps(name, x, y, weight, geometry, context.target, epilogue)
    around = turned_weights(weight, geometry.groups)
    target, exact = context.target, context.exact
    return convolution_steps(name, x, [y], around, same, target, epilogue, exact)


def turned(geometry: Geometry) -> Geometry | None:
    """The convolution that a deconvolution of stride 1 is; None for other strides."""
    pairs = zip(geometry.kernel, geometry.pad, geometry.dilation, strict=True)
    pad = [dilation * (kernel - 1) - pad for kernel, pad, dilation in pairs]
    if geometry.stride != (1, 1) or min(pad) < 0:
        return None
    return replace(geometry, pad=(pad[0], pad[1]))


def turned_weights(weights: Weights, groups: int) -> Weights:
    """(inputs, outputs / groups, ...) as the weights of a convolution, its taps turned around."""
    around: Weights = by_outputs(weights, groups)[:, :, ::-1, ::-1]
    return around


def _over_pixels(first: BoundStage, shape: Shape) -> bool:
    params = first.stage.params_as(ConvolutionParams)
    return len(shape) == 4 and params.axis in (1, -3) and len(first.inputs) == 1


def weights_of(context: EmitContext, bound: BoundStage) -> tuple[Weights, Weights | None]:
    """A product's weights, and its bias or None."""
    weight, *bias = (context.array(name) for name in bound.parameters)
    return weight, bias[0] if bias else None


def emit_siblings(context: EmitContext, node: Node) -> Sweeps | None:
    """1x1 convolutions of one input as one product, each with its own output."""
    shape = context.graph.shape(node.inputs[0])
    branches = []
    for params, names in branch_parameters(node.params_as(SiblingsParams), node.parameters):
        first, *stages = bind_stages(params, node.inputs, names)
        weight, bias = weights_of(context, first)
        layer = first.stage.params_as(ConvolutionParams)
        matched = match_epilogue(context, bias, stages, layer.num_output)
        if matched.rest:
            return _each_alone(context, node)
        branches.append((layer, weight, matched))
    activation = _joint_activation(
        [m for _, _, m in branches], [w.shape[0] for _, w, _ in branches]
    )
    if activation is None:
        return _each_alone(context, node)
    outputs = [context.view(v) for v in node.outputs]
    x, geometry = context.view(node.inputs[0]), geometry_of(branches[0][0], shape)

    def steps() -> Sequence[Step]:
        weights = joined([weight for _, weight, _ in branches])
        bias = joined([_bias(m.epilogue, len(weight)) for _, weight, m in branches])
        epilogue = Epilogue(bias, None, activation)
        return convolution_steps(
            node.name, x, outputs, weights, geometry, context.target, epilogue, context.exact
        )

    return [sweep_of(steps, [x], outputs)]


def _each_alone(context: EmitContext, node: Node) -> Sweeps | None:
    """Siblings whose chains no joint epilogue can do, one after the other."""
    sweeps: Sweeps = []
    branches = branch_parameters(node.params_as(SiblingsParams), node.parameters)
    for (params, names), output in zip(branches, node.outputs, strict=True):
        one = Node(node.name, FUSED, params, node.inputs, (output,), tuple(names), node.spans)
        own = emit_convolution(context, one)
        if own is None:
            return None
        sweeps += own
    return sweeps


def _bias(epilogue: Epilogue, channels: int) -> Weights:
    return np.zeros(channels, np.float32) if epilogue.bias is None else epilogue.bias


def _joint_activation(branches: Sequence[Matched], channels: Sequence[int]) -> Activation | None:
    """One activation that does what each branch's own does; None where there is no such one.

    Slopes express all of none, ReLU, leaky and PReLU, a slope a channel.
    """
    own = [matched.epilogue.activation for matched in branches]
    if all((a.kind, a.first, a.second) == (own[0].kind, own[0].first, own[0].second) for a in own):
        if own[0].kind != "prelu":
            return own[0]
    slopes = [_slopes(a, number) for a, number in zip(own, channels, strict=True)]
    if any(s is None for s in slopes):
        return None
    return Activation("prelu", slopes=joined([s for s in slopes if s is not None]))


def _slopes(activation: Activation, channels: int) -> Weights | None:
    constant = {"none": 1.0, "relu": 0.0, "leaky": activation.first}
    if activation.kind == "prelu":
        return activation.slopes
    if activation.kind not in constant:
        return None
    return np.full(channels, constant[activation.kind], np.float32)
