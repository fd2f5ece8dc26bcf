"""Products in fewer bits: an input is rounded once to words, unless it lies in words already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from netc.backends.cpu.emit.elementwise import chain_sweeps
from netc.backends.cpu.emit.emission import EmitContext, Sweeps, scratch_of
from netc.backends.cpu.emit.epilogues import Matched, match_epilogue
from netc.backends.cpu.emit.pooling import window_of_pooling
from netc.backends.cpu.emit.products import geometry_of, image_edge, is_depthwise, weights_of
from netc.backends.cpu.lowering import Sweep, sweep_of
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.conv import conv_product
from netc.backends.cpu.steps.deconv_codes import CodesDeconvolution, deconv_codes_steps
from netc.backends.cpu.steps.depthwise_codes import (
    depthwise_codes_deconv_steps,
    depthwise_codes_step,
)
from netc.backends.cpu.steps.moving import copy_step
from netc.backends.cpu.steps.pooling import max_codes_step
from netc.backends.cpu.steps.product import product_step
from netc.backends.cpu.steps.reduced import (
    in_words,
    kept_words,
    reduce_step,
    reduced,
    reduced_depthwise,
)
from netc.backends.shared.derived import elements
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import View, moved
from netc.diagnostics import InternalError
from netc.ir.graph import Array, Node
from netc.ops.convolution_params import ConvolutionParams
from netc.ops.fused import BoundStage, bind_stages
from netc.ops.pooling import PoolingParams
from netc.ops.reduced import REDUCED_DECONVOLUTION, Int8, Number, ReducedParams, by_outputs
from netc.passes.epilogue import chain_of


class _Product(NamedTuple):
    """A product as a convolution of pixels."""

    x: View
    y: View
    weights: Array
    geometry: Geometry
    matched: Matched
    transposed: bool


def emit_reduced(context: EmitContext, node: Node) -> Sweeps:
    """A product in fewer bits, alone or with the stages that follow it."""
    first, *stages = bind_stages(chain_of(node), node.inputs, node.parameters)
    stored = context.kept.get(node.outputs[0])
    if stored is not None:
        stages.pop()  # the rounding, which the store does
    added = _added(context, stages)
    edge, words, one = _words(context, node, first, stages)
    number = first.stage.params_as(ReducedParams).number
    sweep = _sweep(context, node.name, words, one, number, added, stored)
    if stored is not None and one.matched.rest:
        raise InternalError(f"layer `{node.name}`: its kernel cannot finish what it keeps")
    rest = chain_sweeps(context, node, context.view(node.outputs[0]), one.matched.rest)
    return [*edge, sweep, *rest]


def _added(context: EmitContext, stages: Sequence[BoundStage]) -> Number | None:
    """What a residual is kept as, None for float32."""
    return context.kept.get(stages[0].inputs[0]) if stages and stages[0].inputs else None


def _words(
    context: EmitContext, node: Node, first: BoundStage, stages: Sequence[BoundStage]
) -> tuple[Sweeps, View, _Product]:
    """What makes the words of a product's input, where they are, and the product."""
    params = first.stage.params_as(ReducedParams)
    one = _product(context, node, first, stages)
    if first.inputs[0] in context.kept:
        return [], kept_words(one.x, params.number), one
    before: Sweeps = []
    if node.name in context.images:
        before, x = image_edge(context, node, one.x, params.params_as(ConvolutionParams))
        one = one._replace(x=x, geometry=replace(one.geometry, pad=(0, 0)))
    place = moved(scratch_of(node), one.x.span if before else 0)
    words = in_words(replace(one.x, place=place), params.number)
    name, x, number = node.name, one.x, params.number
    end = place.offset + words.span
    rounding = sweep_of(lambda: [reduce_step(name, x, words, number)], [x], [words], scratch=end)
    return [*before, rounding], words, one


def _product(
    context: EmitContext, node: Node, first: BoundStage, stages: Sequence[BoundStage]
) -> _Product:
    params = first.stage.params_as(ReducedParams)
    x, y = context.view(first.inputs[0]), context.view(node.outputs[0])
    weight, bias = weights_of(context, first)
    kernels = elements(weight)
    own = params.product
    transposed = first.stage.op == REDUCED_DECONVOLUTION
    if isinstance(own, ConvolutionParams):
        geometry = geometry_of(own, context.graph.shape(first.inputs[0]))
        kernels = by_outputs(kernels, own.group) if transposed else kernels
    else:  # a window as large as the input
        kernels = (kernels.T if own.transpose else kernels).reshape(-1, x.c, x.h, x.w)
        geometry = Geometry((x.h, x.w))
    matched = match_epilogue(context, bias, stages, params.num_output)
    return _Product(x, y, kernels, geometry, matched, transposed)


def _sweep(
    context: EmitContext,
    name: str,
    words: View,
    one: _Product,
    number: Number,
    added: Number | None,
    stored: Number | None,
) -> Sweep:
    def steps() -> Sequence[Step]:
        if isinstance(number, Int8) and (one.transposed or _is_depthwise(one)):
            return _by_channels_or_back(context.target, name, words, one, number, added, stored)
        arithmetic = reduced(one.weights, number, added, stored)
        product = conv_product(words, arithmetic.weights, one.geometry)
        target, epilogue = context.target, one.matched.epilogue
        return [product_step(name, words, [one.y], product, target, epilogue, reduced=arithmetic)]

    return sweep_of(steps, [words], [one.y], pointwise=[one.matched.epilogue.residual])


def _by_channels_or_back(
    target: Machine,
    name: str,
    words: View,
    one: _Product,
    number: Int8,
    added: Number | None,
    stored: Number | None,
) -> list[Step]:
    """A depthwise convolution, or any deconvolution."""
    epilogue = one.matched.epilogue
    if not _is_depthwise(one):
        back = CodesDeconvolution(one.weights, one.geometry, number, added, stored)
        return deconv_codes_steps(name, words, one.y, back, target, epilogue)
    own = reduced_depthwise(one.weights, number, added, stored)
    if one.transposed:
        return depthwise_codes_deconv_steps(name, words, one.y, own, one.geometry, target, epilogue)
    return [depthwise_codes_step(name, words, one.y, own, one.geometry, target, epilogue)]


def _is_depthwise(one: _Product) -> bool:
    return is_depthwise(one.geometry, one.x, one.y)


def kept_concat(context: EmitContext, node: Node, number: Number) -> Sweeps:
    """Copies of the kept parts that were not produced in their place."""
    whole = kept_words(context.view(node.outputs[0]), number)
    sweeps: Sweeps = []
    first = 0
    for value in node.inputs:
        x = kept_words(context.view(value), number)
        y = whole.channels(first, first + x.c)
        first += x.c
        if x.place != y.place:
            sweeps.append(_copy(node.name, x, y))
    return sweeps


def _copy(name: str, x: View, y: View) -> Sweep:
    return sweep_of(lambda: [copy_step(name, x, y)], [x], [y])


def kept_max_pool(context: EmitContext, node: Node, number: Number) -> Sweeps:
    """The largest codes of windows."""
    window = window_of_pooling(node.params_as(PoolingParams), context.graph.shape(node.inputs[0]))
    x, y = (kept_words(context.view(v), number) for v in (node.inputs[0], node.outputs[0]))
    return [sweep_of(lambda: [max_codes_step(node.name, x, y, window)], [x], [y])]
