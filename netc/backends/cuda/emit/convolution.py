"""Convolutions: alone, with what follows them, and several of one input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netc.backends.cuda.chain import FusedOutput
from netc.backends.cuda.emission import (
    RESIDENT,
    CudaEmitContext,
    element_launch,
    epilogue_code,
    side,
)
from netc.backends.cuda.emit.elementwise import run_chain, split_stages
from netc.backends.cuda.products.launches import product_steps
from netc.backends.cuda.products.product import Product, pixel_taps, taps_first
from netc.backends.cuda.products.tiles import MAX_PARTS
from netc.backends.cuda.program import Steps
from netc.backends.shared.derived import Weights, derived
from netc.backends.shared.geometry import pixel_window
from netc.backends.shared.views import View
from netc.ir.graph import Node
from netc.ir.types import Shape
from netc.ops.convolution_params import ConvolutionParams, convolution_axes
from netc.ops.fused import BoundStage, bind_stages
from netc.ops.siblings import SiblingsParams, branch_parameters
from netc.ops.window import Axis
from netc.passes.epilogue import chain_of

_SHORT = 7  # of a kernel's row that a thread keeps at once


def emit_convolution(emission: CudaEmitContext, node: Node) -> Steps | None:
    """A convolution over pixels, of one value or each of several."""
    first, *stages = bind_stages(chain_of(node), node.inputs, node.parameters)
    params = first.stage.params_as(ConvolutionParams)
    shape = emission.graph.shape(first.inputs[0])
    if not over_pixels(params, shape) or params.group > MAX_PARTS:
        return None
    mine, rest = split_stages(emission, node, stages)
    weight, bias = product_arrays(emission, first)
    steps: Steps = []
    for x, y in zip(first.inputs, node.outputs, strict=True):
        target = emission.target(y, mine, bias)
        steps += _convolve(emission, node.name, x, target, params, weight)
    return steps + run_chain(emission, node, node.outputs[0], rest)


def over_pixels(params: ConvolutionParams, shape: Shape) -> bool:
    """True if it is a convolution over height and width."""
    return len(shape) == 4 and params.axis in (1, -3)


def product_arrays(emission: CudaEmitContext, bound: BoundStage) -> tuple[Weights, Weights | None]:
    """A product's weights and bias."""
    weight, *bias = (emission.array(name) for name in bound.parameters)
    return weight, bias[0] if bias else None


def _convolve(
    emission: CudaEmitContext,
    name: str,
    x: str,
    target: FusedOutput,
    params: ConvolutionParams,
    weight: Weights,
) -> Steps:
    y, x_axis = convolution_axes(params, emission.graph.shape(x))
    if weight.shape[1] == 1 and params.group > 1:
        return _depthwise(emission, name, x, target, params, (y, x_axis), weight)
    product = Product(
        name,
        emission.view(x).full,
        (target,),
        lambda: _widened(weight, emission.view(x)),
        _taps(y, x_axis),
        (y.stride, x_axis.stride),
        params.group,
        window=pixel_window((y, x_axis)),
    )
    return product_steps(product)


def _widened(weight: Weights, x: View) -> Weights:
    """(outputs, K) with channels innermost, those that are zero among them."""
    zeros = [(0, 0), (0, x.zeros), (0, 0), (0, 0)]
    found: Weights = taps_first(derived(np.pad, weight, zeros) if x.zeros else weight)
    return found


def _taps(y: Axis, x: Axis) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return pixel_taps((y.kernel, x.kernel), (y.pad, x.pad), (y.dilation, x.dilation))


def axis_constants(axes: Sequence[Axis]) -> dict[str, int | bool]:
    """A window as constants of a kernel."""
    found: dict[str, int | bool] = {}
    for axis, letter in zip(axes, "YX", strict=True):
        found |= {
            f"KERNEL_{letter}": axis.kernel,
            f"STRIDE_{letter}": axis.stride,
            f"PAD_{letter}": axis.pad,
            f"DILATION_{letter}": axis.dilation,
        }
    return found


def _depthwise(
    emission: CudaEmitContext,
    name: str,
    value: str,
    target: FusedOutput,
    params: ConvolutionParams,
    axes: Sequence[Axis],
    weight: Weights,
) -> Steps:
    """Each output channel sees one input channel."""
    x, y = emission.view(value), target.view
    multiplier = params.num_output // params.group
    each = side(emission, y.count, (x, y)) if multiplier == 1 else 1
    columns = _columns(emission, y.count // each, axes[1])
    constants = axis_constants(axes) | {
        "MULTIPLIER": multiplier,
        "COLUMNS": columns,
        "VEC": each,
    }
    stored = emission.stored(weight.reshape(len(weight), -1).T)
    count = y.n * y.h * -(-y.w // columns) * y.c // each
    arguments = (x.place, stored, x.ld, y.c, x.h, x.w, y.h, y.w, count)
    epilogue = epilogue_code(emission, [target])
    return element_launch(
        emission, name, "depthwise", constants, arguments, count, [x], epilogue=epilogue
    )


def _columns(emission: CudaEmitContext, count: int, axis: Axis) -> int:
    """Outputs of a row that a thread makes: more share more, as long as there are many threads."""
    few = axis.kernel * axis.dilation > _SHORT or axis.stride > _SHORT // 2
    enough = RESIDENT * emission.facts.processors
    return next((t for t in (4, 2) if not few and count // t >= enough), 1)


def emit_siblings(emission: CudaEmitContext, node: Node) -> Steps | None:
    """1x1 convolutions of one input as one product, each with an output and epilogue of its own."""
    shape = emission.graph.shape(node.inputs[0])
    targets, weights = [], []
    params: ConvolutionParams | None = None
    branches = branch_parameters(node.params_as(SiblingsParams), node.parameters)
    for value, (chain, names) in zip(node.outputs, branches, strict=True):
        first, *stages = bind_stages(chain, node.inputs, names)
        single = Node(node.name, node.op, None, node.inputs, (value,))
        mine, rest = split_stages(emission, single, stages)
        if rest:
            return None
        params = first.stage.params_as(ConvolutionParams)
        weight, bias = product_arrays(emission, first)
        weights.append(_widened(weight, emission.view(node.inputs[0])))
        targets.append(emission.target(value, mine, bias))
    assert params is not None
    y, x_axis = convolution_axes(params, shape)
    product = Product(
        node.name,
        emission.view(node.inputs[0]).full,
        tuple(targets),
        lambda: derived(lambda *parts: np.concatenate(parts), *weights),
        _taps(y, x_axis),
        (y.stride, x_axis.stride),
    )
    return product_steps(product)
