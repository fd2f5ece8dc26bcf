"""Per-channel linear maps folded into all the products that read them.

Before::

    n = Scale(x; s, t); a = Convolution(n; v); b = InnerProduct(n; w, b)

After::

    a = Convolution(x; v * s, sum of v * t); b = InnerProduct(x; w * s, b + sum of w * t)

A convolution's padding is zero after the map and would have to be so before it: with a shift that
cannot be, and such a map stays. It stays too where any reader is no product.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netc.ir.draft import Draft
from netc.ir.graph import Graph, Node
from netc.ops.catalog import has_role
from netc.ops.convolution_params import ConvolutionParams
from netc.ops.define import Affine
from netc.ops.role import Role
from netc.passes.base import Log, Pass
from netc.passes.linear import (
    channels_are_axis_one,
    is_product,
    is_tame,
    preceded_by,
    product_of,
    reaches_beyond,
    with_product,
)
from netc.passes.maps import affine_of, elements, is_map


def fold_into_next(graph: Graph, log: Log) -> Graph:
    """Products take the maps that stand before them."""
    draft = Draft(graph)
    for node in draft:
        affine = affine_of(draft, node)
        if affine is not None:
            _fold(draft, node, affine, log)
        elif _is_before_product(draft, node):
            log.missed(f"the factors of {node.op} are variables", node.name)
    return draft.result()


def _is_before_product(draft: Draft, node: Node) -> bool:
    """True if products alone read a map of variables."""
    if not is_map(node) or len(node.outputs) != 1 or not draft.is_variable(*node.parameters):
        return False
    readers = draft.readers(node.outputs[0])
    return bool(readers) and all(has_role(reader.op, Role.PRODUCT) for reader in readers)


def _fold(draft: Draft, node: Node, affine: Affine, log: Log) -> None:
    value = node.outputs[0]
    readers = draft.readers(value)
    if not any(has_role(reader.op, Role.PRODUCT) for reader in readers):
        return
    why = _obstacle(draft, value, readers, affine)
    if why is not None:
        log.missed(why, node.name)
        return
    saved = elements(draft, node)
    for reader in readers:
        product = preceded_by(reader.op, product_of(draft, reader), affine)
        folded = replace(reader, inputs=node.inputs, spans=node.spans + reader.spans)
        draft.put(reader.name, with_product(draft, folded, product))
    draft.remove(node.name)
    what = readers[0].op if len(readers) == 1 else f"{len(readers)} products"
    names = [reader.name for reader in readers]
    log.applied(f"{node.op} folded into the {what} after it", node.name, *names, saved=saved)


def _obstacle(draft: Draft, value: str, readers: list[Node], affine: Affine) -> str | None:
    """Why the readers of a map cannot all take it, None where they can."""
    if value in draft.outputs:
        return "its output is asked for"
    for reader in readers:
        if not has_role(reader.op, Role.PRODUCT):
            return f"{reader.op} `{reader.name}` reads it too"
        if not is_product(reader):
            return f"`{reader.name}` multiplies several values by the same weights"
        if not channels_are_axis_one(reader.params, draft.shape(value)):
            return f"the channels of `{reader.name}` are not axis 1"
        if draft.is_variable(*reader.parameters):
            return f"the weights of `{reader.name}` are variables"
        if np.any(affine.shift != 0) and (why := _no_place_for_shift(draft, reader)):
            return why
    return None if is_tame(affine) else "its factors are too large for weights"


def _no_place_for_shift(draft: Draft, reader: Node) -> str | None:
    """Why a shift would not reach every output of a product through all of its weights."""
    if has_role(reader.op, Role.CONVOLUTION) and reaches_beyond(draft, reader):
        return f"the padding of `{reader.name}` is zero after the shift, not before it"
    if has_role(reader.op, Role.DECONVOLUTION):
        axes = reader.params_as(ConvolutionParams).window.axes(draft.shape(reader.inputs[0])[2:])
        if any((axis.kernel, axis.stride, axis.pad) != (1, 1, 0) for axis in axes):
            return f"outputs of `{reader.name}` are sums over different weights"
    return None


FOLD_INTO_NEXT = Pass("fold-into-product-after", fold_into_next)
