"""The configurations that can compute a product, and which of them should be fastest."""

from __future__ import annotations

from collections.abc import Iterator

from netc.backends.cuda.emission import CudaEmitContext
from netc.backends.cuda.products.product import Product
from netc.backends.cuda.products.rows import fits_rows
from netc.backends.cuda.products.tiles import ProductConfig, Size, candidate_configs, cost, guess
from netc.backends.cuda.products.winograd import WINOGRAD, fits_winograd, middle_size

_DRAM_BYTES_PER_CYCLE = 11  # of device memory that a processor's share of it moves in a cycle
_LAUNCH_CYCLES = 3000  # cycles from one kernel's end to the next one's start


def candidates(emission: CudaEmitContext, product: Product) -> Iterator[ProductConfig]:
    """All tiled configurations of a product, without Winograd's algorithm.

    Where sums must be exact, no blocks share one: how many would, is the device's.
    """
    size = product.size(emission.precision.item)
    found = candidate_configs(size, emission.facts, emission.precision.matrix > 0)
    return (c for c in found if c.splits == 1) if emission.exact else found


def guessed(emission: CudaEmitContext, product: Product) -> ProductConfig:
    """The configuration that should be fastest, by the cost model alone."""
    item, matrix = emission.precision.item, emission.precision.matrix > 0
    size = product.size(item)
    best = min(candidates(emission, product), key=lambda c: cost(size, c, emission.facts, matrix))
    if fits_rows(emission, product):
        return best._replace(rows=True)
    if not fits_winograd(emission, product):
        return best
    cheapest = cost(size, best, emission.facts, matrix)
    for outputs in WINOGRAD:
        inner = middle_size(product, outputs)
        config = guess(inner, emission.facts, matrix)
        cycles = cost(inner, config, emission.facts, matrix) + _moving(emission, product, inner)
        if cycles < cheapest:
            best, cheapest = config._replace(winograd=outputs), cycles
    return best


def _moving(emission: CudaEmitContext, product: Product, inner: Size) -> float:
    """Cycles of transforming inputs and outputs."""
    planes = inner.pixels * inner.parts * (product.x.c + product.out.c)
    moved = 4 * (product.x.count + 2 * planes + product.out.count)
    return moved / (_DRAM_BYTES_PER_CYCLE * emission.facts.processors) + 2 * _LAUNCH_CYCLES
