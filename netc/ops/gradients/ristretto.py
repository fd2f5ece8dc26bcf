"""Gradients of Ristretto's layers, which take the cutting of numbers for the identity.

A bottom's is by the trained arrays as they were cut, those of the trained arrays by the bottoms as
they were (conv_ristretto_layer.cpp, fc_ristretto_layer.cpp). What chance decided is drawn again.
"""

from __future__ import annotations

from dataclasses import replace

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays
from netc.ops.forks.ristretto import (
    CONVOLUTION_RISTRETTO,
    FC_RISTRETTO,
    RistrettoParams,
    cut_bottom,
    cut_weights,
)
from netc.ops.gradients import convolution, linear
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of
from netc.ops.linear import InnerProductParams

_WEIGHT = Reads(weights=(0,))


def _key(params: RistrettoParams, saved: Saved) -> AnyArray | None:
    return saved.inputs[params.bottoms] if len(saved.inputs) > params.bottoms else None


def _convolution(params: RistrettoParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    cut = cut_weights(params, saved.weights[:1], _key(params, saved))
    rule = convolution.GRADIENTS["Convolution"].bottom
    assert rule is not None
    bottoms = saved.shapes[: params.bottoms]
    return rule(params.inner, saved._replace(weights=cut, shapes=bottoms), tops, index)


def _product(params: RistrettoParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    inner = params.inner
    assert isinstance(inner, InnerProductParams)
    (weight,) = cut_weights(params, saved.weights[:1], _key(params, saved))
    rows = tops[0].reshape(-1, inner.num_output)
    made: AnyArray = rows @ (weight.T if inner.transpose else weight)
    return made.reshape(saved.shapes[0])


def _by_weight(
    op: str, params: RistrettoParams, saved: Saved, tops: Arrays, index: int
) -> AnyArray:
    rule = {**convolution.GRADIENTS, **linear.GRADIENTS}[op].weight
    assert rule is not None
    if index == 0:
        key = _key(params, saved)
        bottoms = saved.inputs[: params.bottoms]
        read = [cut_bottom(params, x, at, key) for at, x in enumerate(bottoms)]
        saved = saved._replace(inputs=read)
    return rule(params.inner, saved, tops, index)


def _convolution_weight(
    params: RistrettoParams, saved: Saved, tops: Arrays, index: int
) -> AnyArray:
    return _by_weight("Convolution", params, saved, tops, index)


def _product_weight(params: RistrettoParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    return _by_weight("InnerProduct", params, saved, tops, index)


def _reads_bottoms(params: RistrettoParams, index: int, bottoms: int) -> Reads:
    return Reads(inputs=() if index else tuple(range(params.bottoms)))


def _inexact(graph: Graph, node: Node) -> str:
    return f"{node.op} takes the cutting of numbers for the identity"


_RULE: Gradient[RistrettoParams] = Gradient(
    _convolution, _WEIGHT, _convolution_weight, _reads_bottoms, paired=True, inexact=_inexact
)

GRADIENTS = gradients(
    of(CONVOLUTION_RISTRETTO, _RULE),
    of(FC_RISTRETTO, replace(_RULE, bottom=_product, weight=_product_weight)),
)
