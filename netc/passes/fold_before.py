"""Per-channel linear maps (BatchNorm, Scale, Bias, linear Power) folded into the products before.

Before::

    c = Convolution(x; w, b); n = BatchNorm(c; mean, variance, factor); y = Scale(n; gamma, beta)

After::

    y = Convolution(x; w * s, b * s + t)         where y = s * c + t for each channel

The product may be a Convolution, a Deconvolution or an InnerProduct. A map behind a Concat along
channels is folded where every part of it can take its share; a map behind an average pooling of
unpadded windows passes through it, since the average of a map is the map of the average.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from netc.ir.draft import Draft
from netc.ir.graph import Graph, Node
from netc.ops.define import Affine
from netc.passes.base import Log, Pass
from netc.passes.linear import (
    PRODUCTS,
    channels_are_axis_one,
    followed_by,
    is_product,
    is_tame,
    product_of,
    with_product,
)
from netc.passes.maps import MAPS, affine_of, composed, elements
from netc.passes.windows import averages_inside


class _Share(NamedTuple):
    """A product, and the channels of a map that are its own."""

    name: str
    start: int
    stop: int


class _DeclinedError(Exception):
    """Why a map cannot be folded; ``told`` where a product stands there that nearly could."""

    def __init__(self, reason: str, told: bool = True) -> None:
        super().__init__(reason)
        self.told = told


def fold_before(graph: Graph, log: Log) -> Graph:
    """Products take the maps that follow them; each product's weights are multiplied once."""
    draft = Draft(graph)
    pending: dict[str, Affine] = {}
    for node in draft:
        if node.op not in MAPS or len(node.outputs) != 1:
            continue
        affine = affine_of(draft, node)
        if affine is not None:
            _fold(draft, node, affine, pending, log)
        elif _is_behind_product(draft, node):
            log.declined(_why_no_map(node), node.name)
    for name, affine in pending.items():
        node = draft.node(name)
        product = followed_by(node.op, product_of(draft, node), affine)
        draft.put(name, with_product(draft, node, product))
    return draft.result()


def _is_behind_product(draft: Draft, node: Node) -> bool:
    before = draft.producer(node.inputs[0])
    return before is not None and before.op in PRODUCTS


def _why_no_map(node: Node) -> str:
    if len(node.inputs) > 1:
        return f"{node.op} takes its factors from another layer"
    if node.op == "BatchNorm" and not node.params.use_global_stats:
        return "BatchNorm normalises by the batch's own statistics"
    return f"{node.op} is not one factor and one summand a channel"


def _fold(draft: Draft, node: Node, affine: Affine, pending: dict[str, Affine], log: Log) -> None:
    value = node.inputs[0]
    try:
        if not is_tame(affine):
            raise _DeclinedError("its factors are too large for weights")
        shares = list(_shares(draft, value, affine, 0, node))
    except _DeclinedError as why:
        if why.told:
            log.declined(str(why), node.name)
        return
    for share in shares:
        own = Affine(*(part[share.start : share.stop] for part in affine))
        pending[share.name] = composed(pending[share.name], own) if share.name in pending else own
        product = draft.node(share.name)
        draft.put(share.name, replace(product, spans=product.spans + node.spans))
    names = [share.name for share in shares]
    what = draft.node(names[0]).op if len(names) == 1 else f"{len(names)} products"
    saved = elements(draft, node)
    draft.remove(node.name)
    draft.rename(value, node.outputs[0])
    log.did(f"{node.op} folded into the {what} before it", node.name, *names, saved=saved)


def _shares(draft: Draft, value: str, affine: Affine, start: int, reader: Node) -> Iterator[_Share]:
    """The products that make a value's channels, from ``start`` on of the map's.

    Raises:
        _DeclinedError: some channel is made by something that cannot take the map, or is read by
            others than ``reader``.
    """
    node = draft.producer(value)
    if node is None or node.op not in (*PRODUCTS, "Concat", "Pooling"):
        what = "an input of the net" if node is None else f"{node.op} `{node.name}`"
        raise _DeclinedError(f"{what} makes a part of the Concat", reader.op == "Concat")
    if draft.only_reader(value) is None:
        told = node.op in PRODUCTS
        raise _DeclinedError(f"what `{node.name}` gives is needed elsewhere too", told)
    if node.op in PRODUCTS:
        yield _product_share(draft, node, start)
    elif node.op == "Pooling":
        _check_pooling(draft, node, affine, start)
        yield from _shares(draft, node.inputs[0], affine, start, node)
    else:
        yield from _part_shares(draft, node, affine, start)


def _product_share(draft: Draft, node: Node, start: int) -> _Share:
    if not is_product(node):
        raise _DeclinedError(f"`{node.name}` multiplies several values by the same weights")
    if not channels_are_axis_one(node.params, draft.shape(node.inputs[0])):
        raise _DeclinedError(f"the channels of `{node.name}` are not axis 1")
    return _Share(node.name, start, start + node.params.num_output)


def _check_pooling(draft: Draft, node: Node, affine: Affine, start: int) -> None:
    if node.params.method != "AVE":
        raise _DeclinedError(f"`{node.name}` takes no average", told=False)
    channels = draft.shape(node.inputs[0])[1]
    shift = affine.shift[start : start + channels]
    if np.any(shift != 0) and not averages_inside(node.params, draft.shape(node.inputs[0])):
        raise _DeclinedError(f"`{node.name}` has windows beyond its input, where there is no shift")


def _part_shares(draft: Draft, node: Node, affine: Affine, start: int) -> Iterator[_Share]:
    axes = len(draft.shape(node.outputs[0]))
    if node.params.axis not in (1, 1 - axes):
        raise _DeclinedError(f"`{node.name}` does not join channels", told=False)
    for value in node.inputs:
        yield from _shares(draft, value, affine, start, node)
        start += draft.shape(value)[1]


FOLD_BEFORE = Pass("fold-into-product-before", fold_before)
