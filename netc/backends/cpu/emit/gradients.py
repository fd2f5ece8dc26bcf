"""Gradients that have kernels. One without an entry here runs by its definition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from netc.backends.cpu.emit.emission import Emission, Steps
from netc.backends.cpu.emit.linear import as_rows
from netc.backends.cpu.emit.pooling import window_of_pooling
from netc.backends.cpu.emit.products import geometry_of, transposed_steps
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.elementwise import chain_step, rectified_by
from netc.backends.cpu.steps.outer import (
    Side,
    Tap,
    Target,
    outer_steps,
    side_of,
    window_taps,
)
from netc.backends.cpu.steps.pooling import average_pool_back_step, max_pool_back_step
from netc.backends.shared.layout import is_in_c_order
from netc.backends.shared.views import View, moved
from netc.ir.graph import Node
from netc.ops.axes import axis_in
from netc.ops.gradient import GradientParams
from netc.ops.pooling import areas, pooling_axes

_MOST_GROUPS = 8  # more have too few channels each to fill vectors


def emit_gradient(emission: Emission, node: Node) -> Steps | None:
    """A gradient's steps; None where it has no kernel."""
    params: GradientParams = node.params
    emitter = _EMITTERS.get((params.op, params.kind))
    return None if emitter is None else emitter(emission, node)


def _convolution(emission: Emission, node: Node) -> Steps | None:
    """Of a convolution's weights or bias, over pixels."""
    params: GradientParams = node.params
    if len(params.shapes) != 1 or len(params.shapes[0]) != 4 or params.params.axis not in (1, -3):
        return None
    if params.index == 1:
        return [_sums(emission, node)]
    x, y = (emission.view(value) for value in node.inputs)
    out, geometry = emission.view(node.outputs[0]), geometry_of(params.params, params.shapes[0])
    if geometry.groups > _MOST_GROUPS:
        return None
    taps = window_taps(x, (y.h, y.w), geometry)
    steps: list[Step] = []
    for group in range(geometry.groups):
        mine, theirs = (_share(view, group, geometry.groups) for view in (x, y))
        first = group * theirs.c * out.h * out.w * out.ld
        target = Target(moved(out.place, first), out.h * out.w * out.ld, out.ld, 1)
        sides = side_of(mine, geometry.stride), side_of(theirs)
        steps += outer_steps(node.name, *sides, (x.n, y.h), taps, target, emission.target)
    return [*steps]


def _convolution_back(emission: Emission, node: Node) -> Steps | None:
    """Of a convolution's bottom: a deconvolution to the bottom's own size.

    What no window saw, at the far edge, gets nothing.
    """
    params: GradientParams = node.params
    if len(params.shapes[0]) != 4 or params.params.axis not in (1, -3):
        return None
    y, x = emission.view(node.inputs[0]), emission.view(node.outputs[0])
    geometry = geometry_of(params.params, params.shapes[0])
    weight = emission.array(node.parameters[0])
    return [*transposed_steps(emission, node.name, y, x, weight, geometry)]


def _share(view: View, group: int, groups: int) -> View:
    size = view.c // groups
    return view.channels(group * size, (group + 1) * size)


def _inner_product(emission: Emission, node: Node) -> Steps | None:
    """Of an inner product's weights or bias."""
    params: GradientParams = node.params
    if params.index == 1:
        shape = emission.graph.shape(node.inputs[-1])
        return [_sums(emission, node)] if len(shape) == 2 else None
    if params.params.transpose:
        return None
    value, top = node.inputs
    shape, view = emission.graph.shape(value), emission.view(value)
    if axis_in(shape, params.params.axis, "inner_product_param.axis") != 1:
        return None
    y = as_rows(emission.view(top), emission.graph.shape(top), shape[0], params.params.num_output)
    out = emission.view(node.outputs[0])
    if y is None:
        return None
    sides = _rows_of(view), _rows_of(y)
    taps = [Tap(place * view.ld, range(1), range(view.n)) for place in range(view.h * view.w)]
    if is_in_c_order(shape) and view.h * view.w == 1:
        target = Target(out.place, out.ld, 0, 1)
    else:  # a map's pixels lie one after the other; their weights, channel after channel
        target = Target(out.place, out.ld, 1, view.h * view.w)
    return [*outer_steps(node.name, *sides, (1, 1), taps, target, emission.target)]


def _rows_of(view: View) -> Side:
    """The images of a value as the columns of a grid, one pixel of each."""
    return Side(view.place, view.c, 0, 0, view.h * view.w * view.ld)


def _sums(emission: Emission, node: Node) -> Step:
    """The sum of each channel over all pixels: a bias's gradient.

    It is an outer product with a number that is 1 everywhere.
    """
    y, out = emission.view(node.inputs[-1]), emission.view(node.outputs[0])
    ones = Side(np.ones(1, np.float32), 1, 0, 0, 0)
    tap = Tap(0, range(y.h), range(y.w))
    target = Target(out.place, 1, 0, 0)
    (step,) = outer_steps(node.name, ones, side_of(y), (y.n, y.h), [tap], target, emission.target)
    return step


def _pooling(emission: Emission, node: Node) -> Steps | None:
    """Of the bottom of a MAX or AVE pooling."""
    params: GradientParams = node.params
    shape, pooling = params.shapes[0], params.params
    window = window_of_pooling(pooling, shape)
    *read, top = (emission.view(value) for value in node.inputs)
    out = emission.view(node.outputs[0])
    if pooling.method == "MAX":
        return [max_pool_back_step(node.name, top, read[0], out, window)]
    if pooling.method != "AVE":
        return None
    shares = 1 / areas(pooling_axes(pooling, shape), np.ones(1, np.float32))
    return [average_pool_back_step(node.name, top, shares, out, window)]


def _relu(emission: Emission, node: Node) -> Steps | None:
    """Of ReLU's bottom, by the sign of what it reads."""
    params: GradientParams = node.params
    seen, top = (emission.view(value) for value in node.inputs)
    operation = rectified_by(seen, params.params.negative_slope)
    return [chain_step(node.name, top, emission.view(node.outputs[0]), [operation])]


Emit = Callable[[Emission, Node], Steps | None]

_EMITTERS: Mapping[tuple[str, str], Emit] = MappingProxyType(
    {
        ("Convolution", "bottom"): _convolution_back,
        ("Convolution", "weight"): _convolution,
        ("InnerProduct", "weight"): _inner_product,
        ("Pooling", "bottom"): _pooling,
        ("ReLU", "bottom"): _relu,
    }
)
