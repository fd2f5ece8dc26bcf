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
from netc.ops.batch_norm import uses_batch_statistics
from netc.ops.catalog import has_role
from netc.ops.define import Affine
from netc.ops.joining import ConcatParams
from netc.ops.pooling import PoolingParams
from netc.ops.role import Role
from netc.passes.base import Log, Pass
from netc.passes.linear import (
    channels_are_axis_one,
    followed_by,
    is_product,
    is_tame,
    product_of,
    with_product,
)
from netc.passes.maps import affine_of, composed, elements, is_map
from netc.passes.windows import averages_inside

_PASSING = Role.PRODUCT | Role.CONCAT | Role.POOLING  # take a map, or pass it on


class _Share(NamedTuple):
    """A value, the channel of a map that its first one is, and the node that reads it."""

    value: str
    start: int
    reader: Node


class _DeclinedError(Exception):
    """Why a map cannot be folded; ``reported`` where a product stands there that nearly could."""

    def __init__(self, reason: str, reported: bool = True) -> None:
        super().__init__(reason)
        self.reported = reported


def fold_into_previous(graph: Graph, log: Log) -> Graph:
    """Products take the maps that follow them; each product's weights are multiplied once."""
    draft = Draft(graph)
    pending: dict[str, Affine] = {}
    for node in draft:
        if not is_map(node) or len(node.outputs) != 1:
            continue
        affine = affine_of(draft, node)
        if affine is not None:
            _fold(draft, node, affine, pending, log)
        elif has_role(node.op, Role.CHANNEL_MAP) and _is_behind_product(draft, node):
            log.missed(_why_no_map(draft, node), node.name)
    for name, affine in pending.items():
        node = draft.node(name)
        product = followed_by(node.op, product_of(draft, node), affine)
        draft.put(name, with_product(draft, node, product))
    return draft.result()


def _is_behind_product(draft: Draft, node: Node) -> bool:
    before = draft.producer(node.inputs[0])
    return before is not None and has_role(before.op, Role.PRODUCT)


def _why_no_map(draft: Draft, node: Node) -> str:
    if draft.is_variable(*node.parameters):
        return f"the factors of {node.op} are variables"
    if len(node.inputs) > 1:
        return f"{node.op} takes its factors from another layer"
    if uses_batch_statistics(node.params):
        return "BatchNorm normalises by the batch's own statistics"
    return f"{node.op} is not one factor and one summand a channel"


def _fold(draft: Draft, node: Node, affine: Affine, pending: dict[str, Affine], log: Log) -> None:
    value = node.inputs[0]
    try:
        whole = {
            name: composed(pending[name], own) if name in pending else own
            for name, own in _shares(draft, node, affine)
        }
        if not all(map(is_tame, whole.values())):
            raise _DeclinedError("its factors are too large for weights")
    except _DeclinedError as why:
        if why.reported:
            log.missed(str(why), node.name)
        return
    pending |= whole
    for name in whole:
        product = draft.node(name)
        draft.put(name, replace(product, spans=product.spans + node.spans))
    what = draft.node(next(iter(whole))).op if len(whole) == 1 else f"{len(whole)} products"
    saved = elements(draft, node)
    draft.remove(node.name)
    draft.rename(value, node.outputs[0])
    log.applied(f"{node.op} folded into the {what} before it", node.name, *whole, saved=saved)


def _shares(draft: Draft, node: Node, affine: Affine) -> Iterator[tuple[str, Affine]]:
    """The products that make the channels of a map's input, each with its part of the map.

    Raises:
        _DeclinedError: some channel is made by something that cannot take the map, or is read by
            others than the map.
    """
    waiting = [_Share(node.inputs[0], 0, node)]
    while waiting:
        share = waiting.pop()
        maker = _maker(draft, share)
        stop = share.start + draft.shape(share.value)[1]
        own = Affine(affine.scale[share.start : stop], affine.shift[share.start : stop])
        if has_role(maker.op, Role.POOLING):
            _check_pooling(draft, maker, own)
            waiting.append(_Share(maker.inputs[0], share.start, maker))
        elif has_role(maker.op, Role.CONCAT):
            waiting += reversed(list(_parts(draft, maker, share.start)))
        else:
            _check_product(draft, maker)
            yield maker.name, own


def _maker(draft: Draft, share: _Share) -> Node:
    """The node that makes a share's value.

    Raises:
        _DeclinedError: no map can be folded into it, or through it.
    """
    node = draft.producer(share.value)
    if node is None or not has_role(node.op, _PASSING):
        what = "an input of the net" if node is None else f"{node.op} `{node.name}`"
        joined = has_role(share.reader.op, Role.CONCAT)
        raise _DeclinedError(f"{what} makes a part of the Concat", reported=joined)
    if draft.only_reader(share.value) is None:
        reported = has_role(node.op, Role.PRODUCT)
        raise _DeclinedError(f"what `{node.name}` gives is needed elsewhere too", reported)
    return node


def _check_product(draft: Draft, node: Node) -> None:
    if not is_product(node):
        raise _DeclinedError(f"`{node.name}` multiplies several values by the same weights")
    if draft.is_variable(*node.parameters):
        raise _DeclinedError(f"the weights of `{node.name}` are variables")
    if not channels_are_axis_one(node.params, draft.shape(node.inputs[0])):
        raise _DeclinedError(f"the channels of `{node.name}` are not axis 1")


def _check_pooling(draft: Draft, node: Node, affine: Affine) -> None:
    params = node.params_as(PoolingParams)
    if params.method != "AVE":
        raise _DeclinedError(f"`{node.name}` takes no average", reported=False)
    inside = averages_inside(params, draft.shape(node.inputs[0]))
    if np.any(affine.shift != 0) and not inside:
        raise _DeclinedError(f"`{node.name}` has windows beyond its input, where there is no shift")


def _parts(draft: Draft, node: Node, start: int) -> Iterator[_Share]:
    axes = len(draft.shape(node.outputs[0]))
    if node.params_as(ConcatParams).axis not in (1, 1 - axes):
        raise _DeclinedError(f"`{node.name}` does not join channels", reported=False)
    for value in node.inputs:
        yield _Share(value, start, node)
        start += draft.shape(value)[1]


FOLD_INTO_PREVIOUS = Pass("fold-into-product-before", fold_into_previous)
