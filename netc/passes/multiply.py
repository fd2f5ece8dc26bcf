"""Linear products in a row multiplied into one, where that takes fewer multiply-adds.

Before::

    a = Convolution 1x1(x; v, d); y = Convolution kxk(a; w, b)

After::

    y = Convolution kxk(x; u, c)    with  u[o, i, k] = sum over m of w[o, m, k] * v[m, i],
                                          c[o] = b[o] + sum over m, k of w[o, m, k] * d[m]

Either may be the one of 1x1; two InnerProducts are multiplied in the same way. A bottleneck's
reduction is worth its own layer, so the numbers decide: multiplied or apart, whichever is fewer.
Where the second one pads, the first one's bias would be missing in the padding: without a bias
only. Groups that differ become as many groups as divide both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

import numpy as np

from netc.ir.draft import Draft
from netc.ir.graph import Array, Graph, Node
from netc.ir.params import HasParams
from netc.ir.types import Shape, canonical_axis, count
from netc.memory import check_memory
from netc.ops.catalog import CATALOG, has_role
from netc.ops.convolution_params import ConvolutionParams, convolution_axes
from netc.ops.linear import InnerProductParams
from netc.ops.role import Role
from netc.ops.window import Axis, Window
from netc.passes.base import Log, Pass
from netc.passes.linear import (
    ProductLayer,
    Wide,
    channels_are_axis_one,
    is_product,
    product_of,
    reaches_beyond,
    with_product,
)

_BLOCK = 2**20  # weights of a vector's second product that are multiplied at a time
_WIDE = 8  # bytes of a float64
# Multiply-adds that multiplying a net's weights may take, about a second.
_MAX_MULTIPLY_ADDS = 2**34


@dataclass(frozen=True, slots=True)
class _Joint(HasParams):
    """Two products as one: its parameters, and the multiply-adds of making its weights."""

    params: ConvolutionParams | InnerProductParams
    weights_macs: int


def multiply_products(graph: Graph, log: Log) -> Graph:
    """Each product takes the one before it, if no other layer reads that and it pays."""
    draft, spent = Draft(graph), 0
    for node in draft:
        after = draft.only_reader(node.outputs[0]) if is_product(node) else None
        if after is None or after.op != node.op or not is_product(after):
            continue
        joint = _joint(draft, node, after)
        if joint is not None and draft.is_variable(*node.parameters, *after.parameters):
            joint = "their weights are variables"
        if isinstance(joint, str):
            log.missed(joint, node.name, after.name)
        elif joint is not None:
            spent += _decide(draft, node, after, joint, _MAX_MULTIPLY_ADDS - spent, log)
    return draft.result()


def _joint(draft: Draft, first: Node, then: Node) -> _Joint | str | None:
    """Both as one; why they cannot be; or None where nobody would expect it."""
    if has_role(first.op, Role.INNER_PRODUCT):
        return _joint_vectors(draft, first, then)
    if has_role(first.op, Role.CONVOLUTION):
        return _joint_windows(draft, first, then)
    return None


def _joint_vectors(draft: Draft, first: Node, then: Node) -> _Joint | None:
    x, between = draft.shape(first.inputs[0]), draft.shape(then.inputs[0])
    one, two = (node.params_as(InnerProductParams) for node in (first, then))
    axis = canonical_axis(one.axis, len(x))
    if canonical_axis(two.axis, len(between)) != axis:
        return None
    params = replace(two, axis=axis, transpose=False, bias=one.bias or two.bias)
    return _Joint(params, two.num_output * one.num_output * count(x, axis))


def _joint_windows(draft: Draft, first: Node, then: Node) -> _Joint | str | None:
    shapes = [draft.shape(node.inputs[0]) for node in (first, then)]
    nodes = (first, then)
    if not all(channels_are_axis_one(n.params, s) for n, s in zip(nodes, shapes, strict=True)):
        return None
    one, two = (node.params_as(ConvolutionParams) for node in nodes)
    axes = [convolution_axes(params, s) for params, s in zip((one, two), shapes, strict=True)]
    window = _joint_window(*axes)
    if window is None or any(_overhangs(axis) for both in axes for axis in both):
        return None
    if one.bias and reaches_beyond(draft, then):
        if np.any(product_of(draft, first).bias):
            return f"the padding of `{then.name}` is zero after the bias, not before it"
    group = gcd(one.group, two.group)
    params = replace(two, window=window, group=group, axis=1, bias=one.bias or two.bias)
    outputs, inner, inputs = two.num_output, one.num_output, shapes[0][1]
    taps = count(window.kernel)
    return _Joint(params, outputs * inner * inputs * taps // group**2)


def _joint_window(first: tuple[Axis, ...], then: tuple[Axis, ...]) -> Window | None:
    """The window of both, one of them being of one element without padding."""
    if not first:
        return None
    if all(a.kernel == 1 and a.pad == 0 for a in then):
        pads, dilations = [a.pad for a in first], [a.dilation for a in first]
    elif all(a.kernel == 1 and a.pad == 0 for a in first):
        pads = [b.pad * a.stride for a, b in zip(first, then, strict=True)]
        dilations = [b.dilation * a.stride for a, b in zip(first, then, strict=True)]
    else:
        return None
    kernels = [a.kernel * b.kernel for a, b in zip(first, then, strict=True)]
    strides = [a.stride * b.stride for a, b in zip(first, then, strict=True)]
    return Window(tuple(kernels), tuple(strides), tuple(pads), tuple(dilations))


def _overhangs(axis: Axis) -> bool:
    return axis.extent > axis.size + 2 * axis.pad


def _decide(draft: Draft, first: Node, then: Node, joint: _Joint, limit: int, log: Log) -> int:
    """Multiply if it pays; the multiply-adds that took, at most ``limit``."""
    x, between, y = (draft.shape(v) for v in (first.inputs[0], first.outputs[0], then.outputs[0]))
    separate = _macs(first.op, first.params, x, between) + _macs(then.op, then.params, between, y)
    together = _macs(then.op, joint.params, x, y)
    if together >= separate:
        log.missed(
            f"they take {separate:,} multiply-adds, and {together:,} multiplied into one",
            first.name,
            then.name,
        )
    elif joint.weights_macs > limit:
        log.missed(
            f"multiplying their weights takes {joint.weights_macs:,} multiply-adds",
            first.name,
            then.name,
        )
    else:
        _multiply(draft, first, then, joint)
        log.applied(
            f"{then.op}s multiplied into one: {separate:,} multiply-adds are {together:,}",
            first.name,
            then.name,
            saved=separate - together,
        )
        return joint.weights_macs
    return 0


def _macs(op: str, params: object, x: Shape, y: Shape) -> int:
    return CATALOG[op].cost(params, [x], [y]).macs


def _multiply(draft: Draft, first: Node, then: Node, joint: _Joint) -> None:
    products = product_of(draft, first), product_of(draft, then)
    what = f"the weights of layers `{first.name}` and `{then.name}`, multiplied into one,"
    check_memory(_bytes(*products, joint.weights_macs), what, then.span)
    if has_role(then.op, Role.INNER_PRODUCT):
        made = _multiplied_vectors(*products, joint.params_as(InnerProductParams))
    else:
        made = _multiplied_windows(*products, joint.params_as(ConvolutionParams))
    merged = replace(then, inputs=first.inputs, spans=first.spans + then.spans)
    draft.put(then.name, with_product(draft, merged, made))
    draft.remove(first.name)


def _bytes(first: ProductLayer, then: ProductLayer, macs: int) -> int:
    """What multiplying takes: the factors in float64, of a vector's second one a block."""
    if isinstance(then.params, ConvolutionParams):
        groups = [p.params_as(ConvolutionParams).group for p in (first, then)]
        group = gcd(*groups)
        sizes = [p.weight.size * of // group for p, of in zip((first, then), groups, strict=True)]
        middle = len(first.weight) // group
    else:
        sizes = [first.weight.size, min(then.weight.size, max(_BLOCK, max(then.weight.shape)))]
        middle = first.params.num_output
    return _WIDE * (sum(sizes) + 2 * macs // max(1, middle))


def _multiplied_vectors(
    first: ProductLayer, then: ProductLayer, params: InnerProductParams
) -> ProductLayer:
    inner, outer = (
        p.weight.T if p.params_as(InnerProductParams).transpose else p.weight for p in (first, then)
    )
    wide = inner.astype(np.float64)
    weight = np.empty((len(outer), inner.shape[1]), np.float32)
    added = None if first.bias is None else first.bias.astype(np.float64)
    bias = None if added is None else np.empty(len(outer))
    rows = max(1, _BLOCK // max(1, outer.shape[1]))
    for start in range(0, len(outer), rows):  # a copy of all in float64 would take twice as much
        block = outer[start : start + rows].astype(np.float64)
        weight[start : start + rows] = block @ wide
        if bias is not None and added is not None:
            bias[start : start + rows] = block @ added
    return _product(params, weight, bias, then)


def _multiplied_windows(
    first: ProductLayer, then: ProductLayer, params: ConvolutionParams
) -> ProductLayer:
    """Group by group: then[o, m, k] * first[m, i, l] summed over m, one of k and l being 1."""
    group = params.group
    outer = _regrouped(then.weight, then.params_as(ConvolutionParams).group, group)
    inner = _regrouped(first.weight, first.params_as(ConvolutionParams).group, group)
    outputs, middle, taps = outer.shape[1:]
    inputs = inner.shape[2]
    if taps == 1:
        weight = outer[..., 0] @ inner.reshape(group, middle, -1)
        weight = weight.reshape(group, outputs, inputs, -1)
    else:
        rows = outer.transpose(0, 1, 3, 2).reshape(group, outputs * taps, middle)
        weight = (rows @ inner[..., 0]).reshape(group, outputs, taps, inputs)
        weight = weight.transpose(0, 1, 3, 2)
    bias = None
    if first.bias is not None:
        bias = (outer.sum(axis=3) @ first.bias.reshape(group, middle, 1)).reshape(-1)
    return _product(params, weight.reshape(-1, inputs, *params.window.kernel), bias, then)


def _regrouped(weight: Array, groups: int, wanted: int) -> Wide:
    """Weights of ``groups`` as those of fewer, zeros between: wanted x outputs x inputs x taps."""
    outputs, inputs = weight.shape[:2]
    each = groups // wanted
    blocks = weight.reshape(wanted, each, outputs // groups, inputs, -1)
    dense = np.zeros((wanted, each, outputs // groups, each, inputs, blocks.shape[-1]))
    for index in range(each):
        dense[:, index, :, index] = blocks[:, index]
    return dense.reshape(wanted, outputs // wanted, each * inputs, -1)


def _product(
    params: ConvolutionParams | InnerProductParams,
    weight: Wide | Array,
    bias: Wide | None,
    then: ProductLayer,
) -> ProductLayer:
    """The product with the second one's bias added, rounded to float32."""
    rounded = weight.astype(np.float32, copy=False)
    if bias is None:
        return ProductLayer(params, rounded, then.bias)
    total = bias if then.bias is None else bias + then.bias
    return ProductLayer(params, rounded, total.astype(np.float32))


MULTIPLY_PRODUCTS = Pass("multiply-products", multiply_products)
