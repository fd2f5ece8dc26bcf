"""Gradients of products: sums of outer products over pixels, and convolutions turned around."""

from __future__ import annotations

import math

from netc.backends.cuda.emission import THREADS, CudaEmitContext
from netc.backends.cuda.emit.convolution import over_pixels
from netc.backends.cuda.emit.deconvolution import transposed_steps
from netc.backends.cuda.emit.sums import PLAIN, Floats, channel_sums, shares
from netc.backends.cuda.products.outer import GradientTarget, Outer, window_numbers
from netc.backends.cuda.products.tiles import MAX_PARTS
from netc.backends.cuda.program import Launch, SplitKCounters, Steps, UndecidedGradient
from netc.backends.shared.layout import is_in_c_order
from netc.backends.shared.views import View, dense
from netc.ir.graph import Node
from netc.ir.types import Shape, count
from netc.ops.axes import axis_in
from netc.ops.convolution_params import ConvolutionParams, convolution_axes, deconvolution_axes
from netc.ops.gradient import GradientParams
from netc.ops.linear import InnerProductParams
from netc.ops.window import Axis

_FLOAT = 4  # bytes
_LANES = 32  # channels of a block of tap_sums.cuh


def emit_convolution_weight(emission: CudaEmitContext, node: Node) -> Steps | None:
    """The gradient of a convolution's weights or bias."""
    params = node.params_as(GradientParams)
    layer = params.params_as(ConvolutionParams)
    if not _is_plain(params):
        return None
    top = emission.view(node.inputs[-1])
    if params.index == 1:
        return channel_sums(emission, node, PLAIN, (top,))
    x, axes = emission.view(node.inputs[0]), convolution_axes(layer, params.shapes[0])
    return _windowed(emission, node, Outer(top, x, (axes[0], axes[1]), layer.group))


def emit_deconvolution_weight(emission: CudaEmitContext, node: Node) -> Steps | None:
    """The same of a deconvolution: its bottom is where the window's places are."""
    params = node.params_as(GradientParams)
    layer = params.params_as(ConvolutionParams)
    if not _is_plain(params):
        return None
    top = emission.view(node.inputs[-1])
    if params.index == 1:
        return channel_sums(emission, node, PLAIN, (top,))
    x, axes = emission.view(node.inputs[0]), deconvolution_axes(layer, params.shapes[0])
    return _windowed(emission, node, Outer(x, top, (axes[0], axes[1]), layer.group))


def _is_plain(params: GradientParams) -> bool:
    """True of one bottom, over pixels."""
    read = () if params.index else (0,)
    one = len(params.shapes) == 1 and params.inputs == read and not params.outputs
    return one and over_pixels(params.params_as(ConvolutionParams), params.shapes[0])


def _windowed(emission: CudaEmitContext, node: Node, outer: Outer) -> Steps | None:
    """Weights of (rows, channels of a group, down, across), stored with channels innermost."""
    out = emission.view(node.outputs[0])
    if out.count == 0:
        return []
    if outer.groups > MAX_PARTS or outer.a.pixels == 0:
        return None
    each = out.h * out.w * out.ld  # of a row
    rows = outer.a.c // outer.groups
    if outer.groups > 1 and outer.b.c == outer.groups and outer.taps <= MAX_PARTS:
        return [_tap_sums(emission, node.name, outer, out)]
    target = GradientTarget(out, rows * each, each, out.ld, 1)
    return [UndecidedGradient(node.name, outer, target)]


def _tap_sums(emission: CudaEmitContext, name: str, outer: Outer, out: View) -> Launch:
    """Each row has one channel."""
    a, b, (down, across) = outer.a, outer.b, outer.axes
    sets = math.ceil(a.c / _LANES)
    number, share = shares(sets * outer.taps, a.pixels)
    floats = sets * outer.taps * number * _LANES
    partial = Floats(emission).view(0, floats)
    arguments = (
        *(a.place, b.place, out.place, partial.place, SplitKCounters(), a.ld, b.ld, a.c),
        *(*window_numbers(a, b, down, across), a.pixels, share, out.h * out.w * out.ld, out.ld),
    )
    kernel = emission.kernel("tap_sums", {"MULTIPLIER": a.c // b.c})
    grid = (sets, outer.taps, number)
    writes, memory = (out, partial), _FLOAT * floats
    return Launch(name, kernel, grid, THREADS, arguments, (a, b), writes, memory, sets * outer.taps)


def emit_convolution_back(emission: CudaEmitContext, node: Node) -> Steps | None:
    """The gradient of a convolution's bottom: a deconvolution to the bottom's size.

    What no window saw, at the far edge, gets nothing.
    """
    params = node.params_as(GradientParams)
    layer = params.params_as(ConvolutionParams)
    shape = params.shapes[params.index]
    if not over_pixels(layer, shape) or params.inputs or params.weights != (0,):
        return None
    weight = emission.array(node.parameters[0])
    grouped = weight.reshape(layer.group, -1, *weight.shape[1:])
    target = emission.target(node.outputs[0])
    axes = convolution_axes(layer, shape)
    return transposed_steps(emission, node.name, node.inputs[0], target, axes, grouped)


def emit_inner_product_weight(emission: CudaEmitContext, node: Node) -> Steps | None:
    """The gradient of an inner product's weights or bias."""
    params = node.params_as(GradientParams)
    layer = params.params_as(InnerProductParams)
    outputs, shape = layer.num_output, params.shapes[0]
    top = emission.view(node.inputs[-1])
    rows = _as_rows(top, emission.graph.shape(node.inputs[-1]), outputs)
    if rows is None:
        return None
    if params.index == 1:
        return channel_sums(emission, node, PLAIN, (rows,))
    axis = axis_in(shape, layer.axis, "inner_product_param.axis")
    x, out = emission.view(node.inputs[0]), emission.view(node.outputs[0])
    if out.count == 0:
        return []
    if params.inputs != (0,) or rows.pixels == 0 or out.ld != out.c:
        return None
    return _of_vectors(emission, node, x, shape, axis, rows, out)


def _as_rows(view: View, shape: Shape, outputs: int) -> View | None:
    """The top's gradient as a pixel for each row."""
    if len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1)):
        return view if view.c == outputs else None
    if len(shape) == 4 or view.ld != view.c:
        return None
    return dense(view.place, count(shape) // max(1, outputs), 1, 1, outputs)


def _of_vectors(
    emission: CudaEmitContext, node: Node, x: View, shape: Shape, axis: int, top: View, out: View
) -> Steps | None:
    """A sum over rows; a map's pixels are taps, whose weights lie channel after channel."""
    transposed = node.params_as(GradientParams).params_as(InnerProductParams).transpose
    if len(shape) == 4 and axis == 1 and x.h * x.w > 1:
        if transposed:
            return None
        taps = x.h * x.w
        axes = (Axis(x.h, x.h), Axis(x.w, x.w))
        target = GradientTarget(out, 0, x.c * taps, 1, taps)
        return [UndecidedGradient(node.name, Outer(_places(top), x, axes), target)]
    flat = _as_rows(x, shape, count(shape, axis)) if axis == 1 else None
    if flat is None:
        if len(shape) in (2, 4) or x.ld != x.c or not is_in_c_order(shape):
            return None
        flat = dense(x.place, count(shape, 0, axis), 1, 1, count(shape, axis))
    if flat.pixels != top.pixels:
        return None
    axes = (Axis(1, 1), Axis(1, 1))
    target = (
        GradientTarget(out, 0, 1, 0, top.c) if transposed else GradientTarget(out, 0, flat.c, 0, 1)
    )
    return [UndecidedGradient(node.name, Outer(_places(top), _places(flat), axes), target)]


def _places(rows: View) -> View:
    """Rows as images of one pixel."""
    return View(rows.place, rows.pixels, 1, 1, rows.c, rows.ld)
