"""BatchReindex and Filter: items of the batch by index, or by a selector.

batch_reindex_layer.cpp and filter_layer.cpp of BVLC.
"""

from __future__ import annotations

from collections.abc import Sequence

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import Arrays, namespace
from netc.ops.axes import need_axes
from netc.ops.contents import flag_last, item_second
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    no_params,
)
from netc.schema.message import Message


def _reindex_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, indices = inputs
    need_axes(data, 1, "BatchReindex")
    if len(indices) != 1:
        raise ShapeError(
            f"the indices must have 1 axis, and bottom 1 is {show(indices)}",
            help=("flatten bottom 1 with a Reshape layer: `shape { dim: -1 }`",),
        )
    return ((indices[0], *data[1:]),)


def _reindex(params: None, inputs: Arrays, weights: Arrays) -> Arrays:
    """Item ``indices[i]`` of the batch as item i; fractions are cut off (batch_reindex_layer.cpp).

    Raises:
        NetcError: index-out-of-range.
    """
    data, indices = inputs
    items = data.shape[0]
    wrong = ~((indices >= 0) & (indices < items))
    if wrong.any():
        raise NetcError(
            Diagnostic(
                "index-out-of-range",
                f"index {float(indices[wrong][0]):g} is no item of the batch, the {items} items "
                f"are 0 to {items - 1}",
                help=("each value of bottom 1 must name an item of bottom 0",),
            )
        )
    return (data[indices.astype(np.int64)],)


BATCH_REINDEX = OpDef(
    name="BatchReindex",
    arity=Arity(bottoms=(2, 2), tops=(1, 1)),
    shape=_reindex_shape,
    reference=_reindex,
    params=no_params,
    contents=item_second,
    family="reshaping",
)


def _parse_filter(layer: Message, context: LayerContext) -> None:
    if context.tops != context.bottoms - 1:
        raise layer.error(
            "top" if layer.has("top") else "type",
            "top-count",
            f"Filter makes one top of each bottom but the last, the selector: {context.bottoms} "
            f"bottoms need {context.bottoms - 1} tops, and there are {context.tops}",
        )


def _filter_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """The shapes when every item is selected: how many are is known only from the data."""
    *blobs, selector = inputs
    need_axes(selector, 1, "Filter's selector")
    if count(selector[1:]) != 1:
        raise ShapeError(
            f"the selector's axes after the first must be 1, and the last bottom is "
            f"{show(selector)}"
        )
    for index, shape in enumerate(blobs):
        if shape[:1] != selector[:1]:
            raise ShapeError(
                f"the selector has {selector[0]} items, and bottom {index} is {show(shape)}",
                help=("every bottom needs as many items as the selector",),
            )
    return tuple(blobs)


def _filter(params: None, inputs: Arrays, weights: Arrays) -> Arrays:
    """The items whose selector is not 0, in order; fewer than the shape rule says, maybe none."""
    *blobs, selector = inputs
    chosen = namespace(selector).flatnonzero(selector)
    return tuple(blob[chosen] for blob in blobs)


FILTER = OpDef(
    dynamic=True,
    name="Filter",
    arity=Arity(bottoms=(2, None), tops=(1, None)),
    params=_parse_filter,
    shape=_filter_shape,
    reference=_filter,
    contents=flag_last,
    family="reshaping",
    host=True,
)

OPS = (BATCH_REINDEX, FILTER)
