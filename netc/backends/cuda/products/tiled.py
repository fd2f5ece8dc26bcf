"""Products as an implicit matrix product in tiles."""

from __future__ import annotations

import math
from dataclasses import replace

from netc.backends.cuda.emission import CudaEmitContext, EpilogueCode
from netc.backends.cuda.products.product import Product, padded, tap_table, vector
from netc.backends.cuda.products.tiles import BlockTile, ProductConfig, block_count, n_tiles
from netc.backends.cuda.program import Argument, Launch, SplitKCounters
from netc.backends.cuda.source import Kernel
from netc.backends.shared.derived import Weights
from netc.backends.shared.views import Workspace, dense


def weights_as_read(emission: CudaEmitContext, product: Product) -> Weights:
    """A product's weights as tiles read them; those that are so already as they are."""
    weights = product.weights()
    whole = weights if product.phases else padded(weights, emission.precision.item)
    return emission.factors(whole)


def tiled_launch(
    emission: CudaEmitContext,
    product: Product,
    epilogue: EpilogueCode,
    config: ProductConfig,
    taken: int = 0,
) -> Launch:
    """A product as an implicit matrix product in tiles; ``taken`` elements of workspace are not
    its own.
    """
    item, tile = emission.precision.item, config.tile
    size = product.size(item)
    # One counter a tile: the last split to come adds up the others' sums in order.
    counters = block_count(size, tile) if config.splits > 1 else 0
    # The grid: tiles of pixels x channels; groups or phases; splits of K.
    grid = (math.ceil(size.pixels / tile.m) * n_tiles(size, tile), size.parts, config.splits)
    # Workspace of split-K, in elements: float32 sums of each split for each tile.
    parts = 4 * counters * config.splits * tile.m * tile.n // item
    own = (dense(Workspace(taken), 1, 1, 1, parts),) if parts else ()
    return Launch(
        product.name,
        _kernel(emission, product, epilogue, config),
        grid,
        tile.threads,
        _arguments(emission, product, epilogue, tile, taken),
        (product.x, *epilogue.reads),
        (*epilogue.writes, *own),
        item * (taken + parts),
        counters,
    )


def _kernel(
    emission: CudaEmitContext, product: Product, epilogue: EpilogueCode, config: ProductConfig
) -> Kernel:
    """The kernel with its constants: tiles of blocks (B) and warps (W), in elements."""
    item, tile, phases = emission.precision.item, config.tile, product.phases
    plain = emission.kernel(
        "conv",
        {
            "BM": tile.m,
            "BN": tile.n,
            "BK": tile.k // item,
            "WM": tile.wm,
            "WN": tile.wn,
            "STAGES": tile.stages,
            "VEC": vector(product, item),
            "EVEN": _even(product),
            "MMA": emission.precision.matrix,
            "POINTWISE": product.pointwise,
            "SPLIT": config.splits > 1,
            "PHASED": phases is not None,
            "PHASE_COUNT": phases.count if phases else 1,
        },
        epilogue.code,
    )
    return replace(plain, shared=tile.asked)


def _arguments(
    emission: CudaEmitContext, product: Product, epilogue: EpilogueCode, tile: BlockTile, taken: int
) -> tuple[Argument, ...]:
    """The arguments of ``conv`` in the order of its parameters (kernels/conv.cuh)."""
    item, x, y, phases = emission.precision.item, product.x, product.out, product.phases
    stored = weights_as_read(emission, product)
    return (
        *(x.place, stored, tap_table(product, by_element=vector(product, item) == 1)),
        *(phases.table.reshape(-1) if phases else Workspace(), Workspace(taken), SplitKCounters()),
        *(x.h, x.w, x.ld, product.channels, *divmod(tile.k // item, max(1, product.channels))),
        *(len(product.taps), stored.shape[-1]),
        *(*product.stride, y.h, y.w, y.pixels, y.c // product.groups),
        *epilogue.arguments,
    )


def _even(product: Product) -> bool:
    """True if two neighbouring channels of an output can always be stored at once."""
    views = [target.view for target in product.targets]
    numbers = [n for v in views for n in (v.place.offset, v.ld, v.c // product.groups)]
    return not any(n % 2 for n in numbers)
