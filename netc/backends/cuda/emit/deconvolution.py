"""Deconvolutions.

The outputs of one residue by the stride see the same taps of the kernel, and see them as an
ordinary convolution would: each such phase is a product of its own, and no multiplication is by a
zero that was put between inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product as pairs

import numpy as np

from netc.backends.cuda.chain import FusedOutput
from netc.backends.cuda.emission import CudaEmitContext, element_launch, epilogue_code
from netc.backends.cuda.emit.convolution import (
    axis_constants,
    over_pixels,
    product_arrays,
)
from netc.backends.cuda.emit.elementwise import run_chain, split_stages
from netc.backends.cuda.products.launches import product_steps
from netc.backends.cuda.products.product import Phases, Product
from netc.backends.cuda.products.tiles import MAX_PARTS
from netc.backends.cuda.program import Steps
from netc.backends.shared.derived import Weights, derived
from netc.ir.graph import Node
from netc.ops.array import AnyArray
from netc.ops.convolution_params import ConvolutionParams, deconvolution_axes
from netc.ops.fused import bind_stages
from netc.ops.window import Axis
from netc.passes.epilogue import chain_of

_DENSE = 4  # inputs and outputs of a group from which it is computed as products


def emit_deconvolution(emission: CudaEmitContext, node: Node) -> Steps | None:
    """A deconvolution over pixels, of one value or each of several."""
    first, *stages = bind_stages(chain_of(node), node.inputs, node.parameters)
    params = first.stage.params_as(ConvolutionParams)
    shape = emission.graph.shape(first.inputs[0])
    if not over_pixels(params, shape):
        return None
    mine, rest = split_stages(emission, node, stages)
    weight, bias = product_arrays(emission, first)
    axes = deconvolution_axes(params, shape)
    grouped = weight.reshape(params.group, -1, *weight.shape[1:])  # groups, inputs, outputs, ...
    steps: Steps = []
    for value, output in zip(first.inputs, node.outputs, strict=True):
        target = emission.target(output, mine, bias)
        steps += transposed_steps(emission, node.name, value, target, axes, grouped)
    return steps + run_chain(emission, node, node.outputs[0], rest)


def transposed_steps(
    emission: CudaEmitContext,
    name: str,
    value: str,
    target: FusedOutput,
    axes: Sequence[Axis],
    weight: Weights,
) -> Steps:
    """A convolution turned around: what its windows, at ``value``'s pixels, give to their taps.

    Args:
        emission: the graph's.
        name: the node's.
        value: its pixels are the window's places.
        target: the pixels that the window slides over, and what follows.
        axes: the window along height and width of the target.
        weight: (groups, inputs of a group, outputs of a group, down, across).
    """
    groups, phases = weight.shape[0], axes[0].stride * axes[1].stride
    dense = min(weight.shape[1:3]) >= _DENSE and groups * phases <= MAX_PARTS
    run = _by_phases if dense else _by_outputs
    return run(emission, name, value, target, axes, weight)


def _by_outputs(
    emission: CudaEmitContext,
    name: str,
    value: str,
    target: FusedOutput,
    axes: Sequence[Axis],
    weight: Weights,
) -> Steps:
    """A thread for each output gathers what it is made of: for few channels."""
    x, y = emission.view(value), target.view
    inputs, outputs = weight.shape[1:3]
    flat = weight.reshape(*weight.shape[:3], -1)
    stored = emission.stored(
        derived(np.moveaxis, flat, (3, 1), (0, 1))
    )  # taps, inputs, groups, outputs
    arguments = (x.place, stored, x.ld, inputs, outputs, y.c, x.h, x.w, y.h, y.w, y.count)
    epilogue = epilogue_code(emission, [target])
    return element_launch(
        emission, name, "deconv", axis_constants(axes), arguments, y.count, [x], epilogue=epilogue
    )


def _by_phases(
    emission: CudaEmitContext,
    name: str,
    value: str,
    target: FusedOutput,
    axes: Sequence[Axis],
    weight: Weights,
) -> Steps:
    """Each phase a convolution."""
    side = 16 // emission.precision.item
    down, across = (_residues(axis) for axis in axes)
    chosen = list(pairs(down, across))
    rows: list[tuple[int, ...]] = []
    taps: list[tuple[int, int]] = []
    first_weight = 0
    for one, other in chosen:
        here = [(dy, dx) for (_, dy), (_, dx) in pairs(one.taps, other.taps)]
        length = -(-len(here) * weight.shape[1] // side) * side
        places = (one.first, other.first, one.places, other.places)
        rows.append((len(taps), len(here), first_weight, length, *places))
        taps += here
        first_weight += weight.shape[0] * weight.shape[2] * length

    def weights() -> Weights:
        return derived(_all_phases, weight, chosen, side)

    product = Product(
        name,
        emission.view(value),
        (target,),
        weights,
        np.array(taps, np.int32).reshape(-1, 2),
        (axes[0].stride, axes[1].stride),
        weight.shape[0],
        Phases(np.array(rows, np.int32), first_weight),
    )
    return product_steps(product)


class _Residue:
    """The outputs ``first``, ``first + stride`` ... along an axis.

    ``taps`` are the kernel's elements that they see, each with how far its input lies after the
    output's number among them.
    """

    def __init__(self, axis: Axis, first: int) -> None:
        self.first = first
        self.places = max(0, math.ceil((axis.size - first) / axis.stride))
        far = [(t, first + axis.pad - t * axis.dilation) for t in range(axis.kernel)]
        self.taps = [(t, at // axis.stride) for t, at in far if at % axis.stride == 0]

    @property
    def slice(self) -> slice:
        """The taps among the kernel's; they are equally far apart, as multiples of a number are."""
        if len(self.taps) < 2:
            first = self.taps[0][0] if self.taps else 0
            return slice(first, first + len(self.taps))
        (first, _), (second, _), *_ = self.taps
        return slice(first, self.taps[-1][0] + 1, second - first)


def _residues(axis: Axis) -> list[_Residue]:
    return [_Residue(axis, first) for first in range(axis.stride)]


def _all_phases(
    weight: AnyArray, chosen: Sequence[tuple[_Residue, _Residue]], side: int
) -> AnyArray:
    """The weights of all phases, one after another."""
    parts = [_phase_weights(weight, one, other, side) for one, other in chosen]
    return np.concatenate([part.reshape(-1) for part in parts])


def _phase_weights(weight: AnyArray, one: _Residue, other: _Residue, side: int) -> AnyArray:
    """(all outputs, taps of the phase * inputs), rows filled up with zeros to 16 bytes."""
    seen = weight[..., one.slice, other.slice]  # groups, inputs, outputs, taps down, taps across
    matrix = seen.transpose(0, 2, 3, 4, 1).reshape(weight.shape[0] * weight.shape[2], -1)
    return np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % side)))
