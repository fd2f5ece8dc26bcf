"""Convolutions whose kernels reach beyond all that there is to see, cut to what they see.

Before::

    y = Convolution 31x31 pad 15 (x; w, b)                                      x is N x C x 4 x 4

After::

    y = Convolution 7x7 pad 3 (x; w[:, :, 12:19, 12:19], b)

The elements that are cut off meet padding at every place, so that they add zeros; yet a kernel
packs them, and walks over them at each place. As many are cut off at one end of an axis as at the
other, with as much padding, so that the places stay where they are. Weights that are no finite
numbers stay, since zero times those is no zero.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netc.ir.draft import Draft
from netc.ir.graph import Graph, Node
from netc.ir.types import show
from netc.ops.catalog import has_role
from netc.ops.convolution_params import ConvolutionParams, convolution_axes
from netc.ops.role import Role
from netc.ops.window import Axis, Window
from netc.passes.base import Log, Pass
from netc.passes.linear import channels_are_axis_one, is_product, product_of, with_product


def cut_kernels(graph: Graph, log: Log) -> Graph:
    """Every convolution with a kernel as large as is of use."""
    draft = Draft(graph)
    for node in draft:
        shape = draft.shape(node.inputs[0]) if has_role(node.op, Role.CONVOLUTION) else ()
        if not is_product(node) or not shape or not channels_are_axis_one(node.params, shape):
            continue
        axes = convolution_axes(node.params_as(ConvolutionParams), shape)
        cuts = [_useless(axis) for axis in axes]
        if any(cuts):
            _cut(draft, node, axes, cuts, log)
    return draft.result()


def _useless(axis: Axis) -> int:
    """How many elements at each end of the kernel meet no input at any place."""
    if axis.pad < axis.dilation or axis.kernel < 3:
        return 0
    first = next((k for k in range(axis.kernel) if _meets(axis, k)), None)
    if first is None:
        return 0
    last = next(k for k in reversed(range(axis.kernel)) if _meets(axis, k))
    return min(first, axis.kernel - 1 - last, axis.pad // axis.dilation)


def _meets(axis: Axis, element: int) -> bool:
    """True if an element of the kernel meets an input at any place, as :meth:`Axis.taps` has it."""
    at = element * axis.dilation - axis.pad
    first = max(0, -(at // axis.stride))
    return first <= min(axis.out - 1, (axis.size - 1 - at) // axis.stride)


def _cut(draft: Draft, node: Node, axes: tuple[Axis, ...], cuts: list[int], log: Log) -> None:
    if draft.is_variable(*node.parameters):
        log.missed("its weights are variables", node.name)
        return
    product = product_of(draft, node)
    inside = tuple(slice(cut, axis.kernel - cut) for axis, cut in zip(axes, cuts, strict=True))
    weight = product.weight[(slice(None), slice(None), *inside)]
    if not np.isfinite(product.weight).all():
        log.missed("its weights are not all finite, and zero times those is no zero", node.name)
        return
    pairs = list(zip(axes, cuts, strict=True))
    window = Window(
        kernel=tuple(axis.kernel - 2 * cut for axis, cut in pairs),
        stride=tuple(axis.stride for axis in axes),
        pad=tuple(axis.pad - cut * axis.dilation for axis, cut in pairs),
        dilation=tuple(axis.dilation for axis in axes),
    )
    params = replace(product.params_as(ConvolutionParams), window=window)
    cut_one = replace(product, params=params, weight=weight)
    draft.put(node.name, with_product(draft, node, cut_one))
    sizes = [show(kernel) for kernel in ([a.kernel for a in axes], window.kernel)]
    log.applied(f"a kernel of {sizes[0]} sees no more than one of {sizes[1]} does", node.name)


CUT_KERNELS = Pass("cut-kernels", cut_kernels)
