"""Which ways there are of computing a product, and which should be fastest."""

from __future__ import annotations

from collections.abc import Iterator

from netc.backends.cuda.emission import Emission
from netc.backends.cuda.products.product import Product
from netc.backends.cuda.products.rows import fits_rows
from netc.backends.cuda.products.tiles import Size, Way, cost, guess, ways
from netc.backends.cuda.products.winograd import WINOGRAD, fits_winograd, middle_size

_BYTES = 11  # of device memory that a processor's share of it moves in a cycle
_LAUNCH = 3000  # cycles from one kernel's end to the next one's start


def candidates(emission: Emission, product: Product) -> Iterator[Way]:
    """All ways that compute a product, those of Winograd's algorithm left out."""
    size = product.size(emission.precision.item)
    return ways(size, emission.facts, emission.precision.matrix > 0)


def guessed(emission: Emission, product: Product) -> Way:
    """The way that should be fastest, where nothing was measured."""
    item, matrix = emission.precision.item, emission.precision.matrix > 0
    size = product.size(item)
    best = guess(size, emission.facts, matrix)
    if fits_rows(emission, product):
        return best._replace(rows=True)
    if not fits_winograd(emission, product):
        return best
    least = cost(size, best, emission.facts, matrix)
    for outputs in WINOGRAD:
        inner = middle_size(product, outputs)
        way = guess(inner, emission.facts, matrix)
        cycles = cost(inner, way, emission.facts, matrix) + _moving(emission, product, inner)
        if cycles < least:
            best, least = way._replace(winograd=outputs), cycles
    return best


def _moving(emission: Emission, product: Product, inner: Size) -> float:
    """Cycles of transforming inputs and outputs."""
    planes = inner.pixels * inner.parts * (product.x.c + product.out.c)
    moved = 4 * (product.x.count + 2 * planes + product.out.count)
    return moved / (_BYTES * emission.facts.processors) + 2 * _LAUNCH
