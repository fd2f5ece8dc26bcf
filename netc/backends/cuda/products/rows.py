"""Products of few rows: each weight is read once, by one warp for all rows."""

from __future__ import annotations

import math

from netc.backends.cuda.emission import CudaEmitContext, epilogue_code
from netc.backends.cuda.products.product import Product, padded, vector
from netc.backends.cuda.program import Launch

ROWS = 8  # up to which that is better than tiles


def fits_rows(emission: CudaEmitContext, product: Product) -> bool:
    """True if there are so few pixels that the time is that of reading the weights."""
    few = product.out.pixels <= ROWS and len(product.targets) == product.groups == 1
    return few and product.pointwise and vector(product, emission.precision.item) >= 4


def rows_launch(emission: CudaEmitContext, product: Product) -> Launch:
    """A product of few pixels, each weight read once."""
    x, y = product.x, product.out
    epilogue = epilogue_code(emission, product.targets)
    at_once = vector(product, emission.precision.item)
    kernel = emission.kernel("gemv", {"BATCH": y.pixels, "SIDE": at_once}, epilogue.code)
    weights = emission.stored(padded(product.weights(), emission.precision.item))
    arguments = (x.place, weights, x.ld, weights.shape[1], x.c, y.c, *epilogue.arguments)
    grid = (math.ceil(y.c / 4), 1, 1)
    return Launch(product.name, kernel, grid, 128, arguments, (x, *epilogue.reads), epilogue.writes)
