"""Convolutions and deconvolutions: alone, with epilogues, and several of one input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from netc.backends.cpu.emit.elementwise import chain_steps
from netc.backends.cpu.emit.emission import Emission, Steps
from netc.backends.cpu.emit.epilogues import Matched, match_epilogue
from netc.backends.cpu.emit.tiled import Convolution, Pair, Pooled, banded_steps
from netc.backends.cpu.program import Step
from netc.backends.cpu.rules import padded_image, second_window, shape_between, value_between
from netc.backends.cpu.steps.choice import convolution_steps
from netc.backends.cpu.steps.conv import Geometry
from netc.backends.cpu.steps.deconv import by_outputs, deconv_steps
from netc.backends.cpu.steps.depthwise import depthwise_deconv_steps
from netc.backends.cpu.steps.epilogue import PLAIN, Activation, Epilogue
from netc.backends.cpu.steps.moving import image_step
from netc.backends.shared.derived import Weights, derived
from netc.backends.shared.views import View, dense, moved
from netc.ir.graph import Node
from netc.ir.types import Shape
from netc.ops.convolution import ConvolutionParams
from netc.ops.fused import Bound, bind_stages
from netc.ops.siblings import branch_parameters
from netc.passes.epilogue import chain_of
from netc.passes.tile_bottlenecks import window_of


def geometry_of(params: ConvolutionParams, shape: Shape) -> Geometry:
    """A two-dimensional window in the kernels' terms; also of a deconvolution."""
    y, x = params.window.axes(shape[2:])
    return Geometry(
        (y.kernel, x.kernel),
        (y.stride, x.stride),
        (y.pad, x.pad),
        (y.dilation, x.dilation),
        params.group,
    )


def emit_convolution(emission: Emission, node: Node) -> Steps | None:
    """A convolution over pixels, alone or with the stages that follow it."""
    shape = emission.graph.shape(node.inputs[0])
    first, *stages = bind_stages(chain_of(node), node.inputs, node.parameters)
    if not _over_pixels(first, shape):
        return None
    x, y = emission.view(first.inputs[0]), emission.view(node.outputs[0])
    at = second_window(node)
    if at is not None:
        return _emit_tiled(emission, node, [first, *stages], at)
    edge, x = _edge(emission, node, x)
    one, rest = _convolution(emission, x, y, first, stages)
    if edge:
        one = one._replace(geometry=replace(one.geometry, pad=(0, 0)))
    steps = convolution_steps(
        node.name, x, [y], one.weights, one.geometry, emission.target, one.epilogue, emission.exact
    )
    return [*edge, *steps, *chain_steps(emission, node, y, rest)]


def _edge(emission: Emission, node: Node, x: View) -> tuple[list[Step], View]:
    """The conversion of an input that this convolution alone reads, padded already."""
    shape, place = padded_image(emission.graph, node), emission.scratch(node)
    if shape is None or place is None:
        return [], x
    image = dense(place, *shape)
    first = next(bind_stages(chain_of(node), node.inputs, node.parameters)).stage
    given = emission.graph.shape(node.inputs[0])
    top, left = geometry_of(first.params, given).pad
    name = f"input {node.inputs[0]}"
    return [image_step(name, x.place, (x.n, x.c, x.h, x.w), image, top, left)], image


def _emit_tiled(emission: Emission, node: Node, chain: Sequence[Bound], at: int) -> Steps | None:
    """A convolution and the window that reads it, at ``at`` of the chain."""
    x, y = emission.view(node.inputs[0]), emission.view(node.outputs[0])
    kept, place = value_between(emission.graph, node), emission.scratch(node)
    if place is None or kept is None:
        return None
    edge, x = _edge(emission, node, x)
    middle = dense(moved(place, x.n * x.h * x.w * x.c if edge else 0), *kept)
    first, left = _convolution(emission, x, middle, chain[0], chain[1:at])
    if left:
        return None
    shape = shape_between(emission.graph, node)
    if edge:
        first = first._replace(geometry=replace(first.geometry, pad=(0, 0)))
    bound, window = chain[at], window_of(chain[at].stage, shape)
    if window is None:
        return None
    if bound.stage.op == "Pooling":
        pair = Pair(first, Pooled(y, bound.stage.params), shape, window)
        return [*edge, *banded_steps(emission, node.name, pair)]
    whole = replace(middle, n=shape[0], h=shape[2])
    then, rest = _convolution(emission, whole, y, bound, chain[at + 1 :])
    steps = banded_steps(emission, node.name, Pair(first, then, shape, window))
    return [*edge, *steps, *chain_steps(emission, node, y, rest)]


def _convolution(
    emission: Emission, x: View, y: View, bound: Bound, stages: Sequence[Bound]
) -> tuple[Convolution, Sequence[Bound]]:
    """A convolution with what its epilogue does of the stages after it, and the rest of them."""
    params = bound.stage.params
    weight, bias = weights_of(emission, bound)
    matched = match_epilogue(emission, bias, stages, params.num_output)
    geometry = geometry_of(params, (x.n, x.c, x.h, x.w))
    return Convolution(x, y, weight, geometry, matched.epilogue), matched.rest


def is_depthwise(geometry: Geometry, x: View, y: View) -> bool:
    """Whether each channel has a group of its own."""
    return geometry.groups == x.c == y.c > 1


def emit_deconvolution(emission: Emission, node: Node) -> Steps | None:
    """A deconvolution over pixels, alone or with the stages that follow it."""
    shape = emission.graph.shape(node.inputs[0])
    first, *stages = bind_stages(chain_of(node), node.inputs, node.parameters)
    params = first.stage.params
    if not _over_pixels(first, shape):
        return None
    weight, bias = weights_of(emission, first)
    matched = match_epilogue(emission, bias, stages, params.num_output)
    x, y = emission.view(first.inputs[0]), emission.view(node.outputs[0])
    geometry = geometry_of(params, shape)
    steps = transposed_steps(emission, node.name, x, y, weight, geometry, matched.epilogue)
    return [*steps, *chain_steps(emission, node, y, matched.rest)]


def transposed_steps(
    emission: Emission,
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
        return deconv_steps(name, x, y, weight, geometry, emission.target, epilogue)
    around = turned_weights(weight, geometry.groups)
    target, exact = emission.target, emission.exact
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


def _over_pixels(first: Bound, shape: Shape) -> bool:
    return len(shape) == 4 and first.stage.params.axis in (1, -3) and len(first.inputs) == 1


def weights_of(emission: Emission, bound: Bound) -> tuple[Weights, Weights | None]:
    """A product's weights, and its bias or None."""
    weight, *bias = (emission.array(name) for name in bound.parameters)
    return weight, bias[0] if bias else None


def emit_siblings(emission: Emission, node: Node) -> Steps | None:
    """1x1 convolutions of one input as one product, each with its own output."""
    shape = emission.graph.shape(node.inputs[0])
    branches = []
    for params, names in branch_parameters(node.params, node.parameters):
        first, *stages = bind_stages(params, node.inputs, names)
        weight, bias = weights_of(emission, first)
        channels = first.stage.params.num_output
        matched = match_epilogue(emission, bias, stages, channels)
        if matched.rest:
            return None
        branches.append((first.stage.params, weight, matched))
    activation = _joint_activation(
        [m for _, _, m in branches], [w.shape[0] for _, w, _ in branches]
    )
    if activation is None:
        return None
    weights = joined([weight for _, weight, _ in branches])
    bias = joined([_bias(m.epilogue, len(weight)) for _, weight, m in branches])
    outputs = [emission.view(v) for v in node.outputs]
    x, geometry = emission.view(node.inputs[0]), geometry_of(branches[0][0], shape)
    epilogue = Epilogue(bias, None, activation)
    steps = convolution_steps(
        node.name, x, outputs, weights, geometry, emission.target, epilogue, emission.exact
    )
    return list(steps)


def joined(arrays: Sequence[Weights]) -> Weights:
    """Arrays one after another."""
    return derived(lambda *parts: np.concatenate(parts), *arrays)


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
