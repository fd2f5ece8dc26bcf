"""Inner products: convolutions of one place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netc.backends.cuda.chain import FusedOutput
from netc.backends.cuda.emission import CudaEmitContext
from netc.backends.cuda.emit.convolution import product_arrays
from netc.backends.cuda.emit.elementwise import run_chain, split_stages
from netc.backends.cuda.products.launches import product_steps
from netc.backends.cuda.products.product import Product
from netc.backends.cuda.program import Steps
from netc.backends.shared.derived import Weights, derivable
from netc.backends.shared.layout import has_channels
from netc.backends.shared.views import View, dense
from netc.ir.graph import Node
from netc.ir.types import Shape, canonical_axis, count
from netc.ops.array import AnyArray, contiguous
from netc.ops.fused import BoundStage, bind_stages
from netc.ops.linear import InnerProductParams
from netc.passes.epilogue import chain_of

_HERE = np.zeros((1, 2), np.int32)  # the only tap


def emit_inner_product(emission: CudaEmitContext, node: Node) -> Steps | None:
    """An inner product with what follows it; None where its vectors are scattered in memory."""
    first, *stages = bind_stages(chain_of(node), node.inputs, node.parameters)
    params, value = first.stage.params_as(InnerProductParams), first.inputs[0]
    shape = emission.graph.shape(value)
    axis = canonical_axis(params.axis, len(shape))
    x = flat_rows(emission.view(value), shape, axis)
    if x is None:
        return None
    weight, bias = product_arrays(emission, first)
    matrix = weight.T if params.transpose else weight
    mine, rest = split_stages(emission, node, stages)
    output = node.outputs[0]
    target = _target(emission, output, mine, bias, x.n)
    product = Product(node.name, x, (target,), lambda: stored_order(matrix, shape, axis), _HERE)
    return product_steps(product) + run_chain(emission, node, output, rest)


def flat_rows(view: View, shape: Shape, axis: int) -> View | None:
    """The vectors as pixels of many channels, where each lies in one piece."""
    rows, length = count(shape, 0, axis), count(shape, axis)
    if len(shape) == 2 and axis == 1:
        return view
    if len(shape) == 4 and axis == 1 and shape[2:] == (1, 1):
        return view
    if (has_channels(shape) and axis > 1) or (has_channels(shape) and view.ld != view.c):
        return None
    return dense(view.place, rows, 1, 1, length)


@derivable
def stored_order(matrix: AnyArray, shape: Shape, axis: int) -> AnyArray:
    """The matrix with its columns in the order in which the vectors' elements are stored."""
    if len(shape) != 4:
        return contiguous(matrix)
    axes = list(range(1, 1 + len(shape) - axis))
    channels = axes.pop(1 - axis)
    split = matrix.reshape(len(matrix), *shape[axis:])
    return contiguous(split.transpose(0, *axes, channels)).reshape(matrix.shape)


def _target(
    emission: CudaEmitContext,
    output: str,
    stages: Sequence[BoundStage],
    bias: Weights | None,
    rows: int,
) -> FusedOutput:
    """The output as pixels of its channels, whatever its axes."""
    whole = emission.target(output, stages, bias)
    if has_channels(whole.shape):
        return whole
    pixels = dense(whole.view.place, rows, 1, 1, whole.view.c // max(1, rows))
    return FusedOutput(pixels, whole.shape, whole.stages, bias)
