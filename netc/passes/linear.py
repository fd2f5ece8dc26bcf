"""Layers that are matrix products over channels, and how their weights take a factor.

A product's output channel ``o`` is ``sum(W[o] * x) + b[o]``; so ``s[o] * output + t[o]`` is the
product with weights ``s[o] * W[o]`` and bias ``s[o] * b[o] + t[o]``. Weights are multiplied in
float64 and rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from netc.ir.draft import Draft
from netc.ir.graph import Array, Node
from netc.ir.params import HasParams
from netc.ir.types import Shape
from netc.ops.catalog import has_role
from netc.ops.convolution_params import ConvolutionParams, convolution_axes
from netc.ops.define import Affine
from netc.ops.linear import InnerProductParams
from netc.ops.role import Role

Wide = NDArray[np.float64]

_BLOCK = 2**16  # weights that are multiplied at a time, to stay in the cache
_LARGEST = 1e18  # factor: no float32 that a net holds overflows by it


@dataclass(frozen=True, slots=True)
class ProductLayer(HasParams):
    """A product layer's parameters and arrays; ``bias`` is None where it has none."""

    params: ConvolutionParams | InnerProductParams
    weight: Array
    bias: Array | None

    @property
    def arrays(self) -> tuple[Array, ...]:
        """The arrays as the layer takes them."""
        return (self.weight,) if self.bias is None else (self.weight, self.bias)


def product_of(draft: Draft, node: Node) -> ProductLayer:
    """A product node with its arrays."""
    arrays = [draft.array(name) for name in node.parameters]
    params = node.params_as(ConvolutionParams, InnerProductParams)
    return ProductLayer(params, arrays[0], arrays[1] if len(arrays) > 1 else None)


def with_product(draft: Draft, node: Node, product: ProductLayer) -> Node:
    """The node made to be ``product``, with arrays of its own in the draft."""
    return with_arrays(draft, replace(node, params=product.params), product.arrays)


def with_arrays(draft: Draft, node: Node, arrays: Sequence[Array]) -> Node:
    """The node with these arrays as its parameters, which the draft has for it alone."""
    names = tuple(
        draft.fresh_parameter(f"{node.name}/{index}~folded", np.ascontiguousarray(array))
        for index, array in enumerate(arrays)
    )
    return replace(node, parameters=names, param_specs=())


def is_product(node: Node) -> bool:
    """True if a node is one product of one value."""
    return has_role(node.op, Role.PRODUCT) and len(node.inputs) == 1 and len(node.outputs) == 1


def channels_are_axis_one(params: object, shape: Shape) -> bool:
    """True if a product of a value of this shape takes its channels, or vector, from axis 1 on."""
    if not isinstance(params, ConvolutionParams | InnerProductParams):
        return False
    return params.axis in (1, 1 - len(shape))


def is_tame(affine: Affine) -> bool:
    """True if a map can be folded into weights without overflow of float32."""
    return bool(np.all(np.abs(affine.scale) < _LARGEST) and np.all(np.abs(affine.shift) < _LARGEST))


def followed_by(op: str, product: ProductLayer, affine: Affine) -> ProductLayer:
    """The product that gives ``affine`` of what this one gives."""
    weight, group = product.weight, getattr(product.params, "group", 1)
    if has_role(
        op, Role.DECONVOLUTION
    ):  # I x O/group x kernel: a group's outputs are the second axis
        inputs, outputs = weight.shape[:2]
        scaled = _scaled(
            weight.reshape(group, inputs // group, outputs, -1),
            affine.scale.reshape(group, 1, outputs, 1),
        )
    elif has_role(op, Role.INNER_PRODUCT) and product.params_as(InnerProductParams).transpose:
        scaled = _scaled(weight, affine.scale[None, :])
    else:
        scaled = _scaled(weight.reshape(len(weight), -1), affine.scale[:, None])
    bias = affine.shift if product.bias is None else product.bias * affine.scale + affine.shift
    return ProductLayer(
        replace(product.params, bias=True), scaled.reshape(weight.shape), bias.astype(np.float32)
    )


def _scaled(weight: Array, factor: Wide) -> Array:
    """weight * factor, worked out in float64 and rounded once, a block of rows at a time."""
    factors = np.broadcast_to(factor, (weight.shape[0], *factor.shape[1:]))
    result = np.empty(weight.shape, np.float32)
    rows = max(1, _BLOCK * len(weight) // max(1, weight.size))
    buffer = np.empty((min(rows, len(weight)), *weight.shape[1:]))
    for start in range(0, len(weight), rows):
        block = weight[start : start + rows]
        wide = buffer[: len(block)]
        wide[...] = block
        wide *= factors[start : start + rows]
        result[start : start + rows] = wide
    return result


def preceded_by(op: str, product: ProductLayer, affine: Affine) -> ProductLayer:
    """The product that gives of ``x`` what this one gives of ``affine(x)``, without padding."""
    if has_role(op, Role.INNER_PRODUCT):
        return _vector_preceded_by(product, affine)
    if has_role(op, Role.DECONVOLUTION):
        return _deconvolution_preceded_by(product, affine)
    weight, group = product.weight, product.params_as(ConvolutionParams).group
    outputs, share = weight.shape[:2]
    grouped = weight.reshape(group, outputs // group, share, -1)
    scaled = _scaled(grouped, affine.scale.reshape(group, 1, share, 1))
    added = grouped.sum(axis=3, dtype=np.float64) @ affine.shift.reshape(group, share, 1)
    return _with(product, scaled, added.reshape(outputs))


def _deconvolution_preceded_by(product: ProductLayer, affine: Affine) -> ProductLayer:
    """A shift is right for a kernel of one element alone."""
    weight, group = product.weight, product.params_as(ConvolutionParams).group
    share = len(weight) // group
    scaled = _scaled(weight.reshape(len(weight), -1), affine.scale[:, None])
    taps = weight.reshape(group, share, weight.shape[1], -1).sum(axis=3, dtype=np.float64)
    added = affine.shift.reshape(group, 1, share) @ taps
    return _with(product, scaled, added.reshape(-1))


def _vector_preceded_by(product: ProductLayer, affine: Affine) -> ProductLayer:
    """The vector is the channels' elements, one channel after another."""
    transposed = product.params_as(InnerProductParams).transpose
    matrix = product.weight.T if transposed else product.weight
    outputs, channels = len(matrix), len(affine.scale)
    grouped = matrix.reshape(outputs, channels, -1)
    scaled = _scaled(grouped, affine.scale[None, :, None]).reshape(outputs, -1)
    added = grouped.sum(axis=2, dtype=np.float64) @ affine.shift
    return _with(product, scaled.T if transposed else scaled, added)


def _with(product: ProductLayer, weight: Array, added: Wide) -> ProductLayer:
    """The product with other weights and something added to its bias."""
    bias = added if product.bias is None else product.bias + added
    return ProductLayer(
        replace(product.params, bias=True),
        weight.reshape(product.weight.shape),
        bias.astype(np.float32),
    )


def reaches_beyond(draft: Draft, node: Node) -> bool:
    """True if any window of a convolution reaches beyond its input, where zeros are read."""
    axes = convolution_axes(node.params_as(ConvolutionParams), draft.shape(node.inputs[0]))
    return any(
        axis.pad > 0 or (axis.out - 1) * axis.stride + axis.extent > axis.size for axis in axes
    )
