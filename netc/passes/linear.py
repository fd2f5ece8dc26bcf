"""Layers that are matrix products over channels, and how their weights take a factor.

A product's output channel ``o`` is ``sum(W[o] * x) + b[o]``; so ``s[o] * output + t[o]`` is the
product with weights ``s[o] * W[o]`` and bias ``s[o] * b[o] + t[o]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netc.ir.graph import Array
from netc.ops.convolution import ConvolutionParams
from netc.ops.define import Affine
from netc.ops.linear import InnerProductParams

Wide = NDArray[np.float64]


class Product(NamedTuple):
    """A product layer's parameters and arrays; ``bias`` is None where it has none."""

    params: Any
    weight: Array
    bias: Array | None

    @property
    def arrays(self) -> tuple[Array, ...]:
        """The arrays as the layer takes them."""
        return (self.weight,) if self.bias is None else (self.weight, self.bias)


ScaleOutputs = Callable[[Product, Wide], Wide]


def _convolution(product: Product, scale: Wide) -> Wide:
    """Weights O x I/group x kernel: one factor an output channel."""
    shape = (-1,) + (1,) * (product.weight.ndim - 1)
    return product.weight * scale.reshape(shape)


def _deconvolution(product: Product, scale: Wide) -> Wide:
    """Weights I x O/group x kernel: the outputs of a group stand in the second axis."""
    weight, group = product.weight, product.params.group
    inputs, outputs = weight.shape[:2]
    grouped = weight.reshape(group, inputs // group, outputs, -1)
    return (grouped * scale.reshape(group, 1, outputs, 1)).reshape(weight.shape)


def _inner_product(product: Product, scale: Wide) -> Wide:
    """Weights O x K, or K x O where transposed."""
    factor = scale if product.params.transpose else scale[:, None]
    return product.weight * factor


LINEAR: Mapping[str, ScaleOutputs] = {
    "Convolution": _convolution,
    "Deconvolution": _deconvolution,
    "InnerProduct": _inner_product,
}


def channels_are_axis_one(params: Any) -> bool:
    """Whether a product's output channels are axis 1, as per-channel maps need them to be."""
    return isinstance(params, ConvolutionParams | InnerProductParams) and params.axis == 1


def followed_by(op: str, product: Product, affine: Affine) -> Product:
    """The product that gives ``affine`` of what this one gives."""
    weight = LINEAR[op](product, affine.scale)
    bias = affine.shift if product.bias is None else product.bias * affine.scale + affine.shift
    return Product(
        replace(product.params, bias=True), weight.astype(np.float32), bias.astype(np.float32)
    )


def preceded_by(product: Product, affine: Affine) -> Product:
    """The convolution that gives of ``x`` what this one gives of ``affine(x)``, unpadded."""
    weight, group = product.weight, product.params.group
    outputs, share = weight.shape[:2]
    grouped = weight.reshape(group, outputs // group, share, -1)
    scale = affine.scale.reshape(group, 1, share, 1)
    shift = affine.shift.reshape(group, 1, share, 1)
    bias = (grouped * shift).sum(axis=(2, 3)).reshape(outputs)
    if product.bias is not None:
        bias = bias + product.bias
    return Product(
        replace(product.params, bias=True),
        (grouped * scale).reshape(weight.shape).astype(np.float32),
        bias.astype(np.float32),
    )
