"""Deconvolutions."""

from __future__ import annotations

import numpy as np

from netc.backends.cuda.emission import Emission, element_launch, ending
from netc.backends.cuda.emit.convolution import axis_constants, over_pixels, product_arrays
from netc.backends.cuda.emit.elementwise import run_chain, split_stages
from netc.backends.cuda.program import Steps
from netc.ir.graph import Node
from netc.ops.convolution import ConvolutionParams, deconvolution_axes
from netc.ops.fused import bind_stages
from netc.passes.epilogue import chain_of


def emit_deconvolution(emission: Emission, node: Node) -> Steps | None:
    """A deconvolution over pixels, of one value or each of several."""
    first, *stages = bind_stages(chain_of(node), node.inputs, node.parameters)
    params: ConvolutionParams = first.stage.params
    shape = emission.graph.shape(first.inputs[0])
    if not over_pixels(params, shape):
        return None
    mine, rest = split_stages(emission, node, stages)
    weight, bias = product_arrays(emission, first)
    axes = deconvolution_axes(params, shape)
    channels, outputs = weight.shape[0] // params.group, weight.shape[1]
    grouped = weight.reshape(params.group, channels, outputs, -1)
    stored = emission.stored(np.moveaxis(grouped, (3, 1), (0, 1)))  # taps, inputs, groups, outputs
    steps: Steps = []
    for value, output in zip(first.inputs, node.outputs, strict=True):
        x, target = emission.view(value), emission.target(output, mine, bias)
        y = target.view
        count = y.pixels * y.c
        sizes = (channels, outputs, y.c, x.h, x.w, y.h, y.w, count)
        steps += element_launch(
            emission,
            node.name,
            "deconv",
            axis_constants(axes),
            (x.place, stored, x.ld, *sizes),
            count,
            [x],
            end=ending(emission, [target]),
        )
    return steps + run_chain(emission, node, node.outputs[0], rest)
