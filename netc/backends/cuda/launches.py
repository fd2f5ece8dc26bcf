"""Products as launches, in one of several ways."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from netc.backends.cpu.cook_toom import matrices
from netc.backends.cuda.borrowed import borrowed_launches, split_ending
from netc.backends.cuda.chains import Target
from netc.backends.cuda.emission import Emission, Ending, blocks, ending
from netc.backends.cuda.pixels import Workspace, dense
from netc.backends.cuda.products import Product, padded, tap_table, vector
from netc.backends.cuda.program import Launch, Steps, Tickets
from netc.backends.cuda.tiles import Size, Way, block_count, cost, guess, n_tiles, ways
from netc.ir.graph import Array
from netc.ir.types import MAX_COUNT

WINOGRAD = (2, 4)  # outputs of a tile, along each axis
GEMV_ROWS = 8  # pixels up to which each weight is better read by one warp alone
THREADS = 256
_HERE = np.zeros((1, 2), np.int32)  # the only tap


def product_steps(emission: Emission, product: Product, taken: int = 0) -> Steps:
    """A product's launches; none where it has no outputs, or no way is chosen yet.

    The first ``taken`` elements of the workspace are not the product's own.
    """
    if product.out.pixels * sum(t.view.c for t in product.targets) == 0:
        return []
    way = emission.choose(emission, product)
    return [*way_launches(emission, product, way, taken)] if way else []


def way_launches(emission: Emission, product: Product, way: Way, taken: int = 0) -> list[Launch]:
    """A product computed in a way."""
    if way.winograd:
        return _winograd(emission, product, way)
    if way.rows:
        return [_gemv(emission, product)]
    if way.plan is not None:
        end = split_ending(emission, product, way.plan.ended)
        return borrowed_launches(emission, product, way.plan, end, taken)
    return [_tiled(emission, product, ending(emission, product.targets), way, taken)]


def fits_gemv(emission: Emission, product: Product) -> bool:
    """Whether there are so few pixels that reading the weights is all there is to do."""
    few = product.out.pixels <= GEMV_ROWS and len(product.targets) == product.groups == 1
    return few and product.pointwise and vector(product, emission.precision.item) >= 4


def _gemv(emission: Emission, product: Product) -> Launch:
    """A product of few pixels, each weight read once."""
    x, y = product.x, product.out
    end = ending(emission, product.targets)
    kernel = emission.kernel("gemv", {"BATCH": y.pixels}, end.code)
    weights = emission.stored(padded(product.weights(), emission.precision.item))
    arguments = (x.place, weights, x.ld, weights.shape[1], x.c, y.c, *end.arguments)
    grid = (math.ceil(y.c / 4), 1, 1)
    return Launch(product.name, kernel, grid, 128, arguments, (x, *end.reads), end.writes)


def _tiled(emission: Emission, product: Product, end: Ending, way: Way, taken: int = 0) -> Launch:
    """A product as an implicit matrix product in tiles; ``taken`` elements of workspace are not
    its own.
    """
    item = emission.precision.item
    tile, size, x, y = way.tile, product.size(item), product.x, product.out
    phases, side = product.phases, vector(product, item)
    kernel = emission.kernel(
        "conv",
        {
            "BM": tile.m,
            "BN": tile.n,
            "BK": tile.k // item,
            "WM": tile.wm,
            "WN": tile.wn,
            "STAGES": tile.stages,
            "VEC": side,
            "EVEN": _even(product),
            "MMA": emission.precision.matrix,
            "POINTWISE": product.pointwise,
            "SPLIT": way.splits > 1,
            "PHASED": phases is not None,
            "PHASE_COUNT": phases.count if phases else 1,
        },
        end.code,
    )
    stored = emission.factors(product.weights() if phases else padded(product.weights(), item))
    tickets = block_count(size, tile) if way.splits > 1 else 0
    arguments = (
        *(x.place, stored, tap_table(product, by_element=side == 1)),
        *(phases.table.reshape(-1) if phases else Workspace(), Workspace(taken), Tickets()),
        *(x.h, x.w, x.ld, product.channels, *divmod(tile.k // item, max(1, product.channels))),
        *(len(product.taps), stored.shape[-1]),
        *(*product.stride, y.h, y.w, y.pixels, y.c // product.groups),
        *end.arguments,
    )
    grid = (math.ceil(size.pixels / tile.m) * n_tiles(size, tile), size.parts, way.splits)
    parts = 4 * tickets * way.splits * tile.m * tile.n // item
    own = (dense(Workspace(taken), 1, 1, 1, parts),) if parts else ()
    return Launch(
        product.name,
        kernel,
        grid,
        tile.threads,
        arguments,
        (x, *end.reads),
        (*end.writes, *own),
        item * (taken + parts),
        tickets,
    )


def _even(product: Product) -> bool:
    """Whether two neighbouring channels of an output can always be stored at once."""
    views = [target.view for target in product.targets]
    numbers = [n for v in views for n in (v.place.offset, v.ld, v.c // product.groups)]
    return not any(n % 2 for n in numbers)


# Winograd's algorithm


def fits_winograd(emission: Emission, product: Product) -> bool:
    """Whether Winograd's algorithm computes the product: a dense 3x3 convolution in float32."""
    window = product.window
    plain = emission.precision.matrix == 0 and not emission.exact
    dense_3x3 = window is not None and window[0] == (3, 3) and window[2] == (1, 1)
    alone = product.groups == 1 and len(product.targets) == 1 and product.stride == (1, 1)
    return plain and dense_3x3 and alone and product.channels % 4 == 0 and _countable(product)


def _countable(product: Product) -> bool:
    """Whether the kernels' integers reach over all transformed tiles."""
    widest = max(product.x.c, product.out.c)
    counts = ((o + 2) ** 2 * _places(product, o)[2] * widest for o in WINOGRAD)
    return max(counts) <= MAX_COUNT


def _places(product: Product, outputs: int) -> tuple[int, int, int]:
    """Tiles down and across an image, and of all images."""
    y = product.out
    down, across = math.ceil(y.h / outputs), math.ceil(y.w / outputs)
    return down, across, y.n * down * across


def middle(emission: Emission, product: Product, outputs: int) -> Product:
    """The products of Winograd's algorithm: one a value of a transformed tile, side by side."""
    side = outputs + 2
    values, tiles = side * side, _places(product, outputs)[2]
    sources, results = values * product.channels, values * product.out.c
    first = -(-tiles * sources // 64) * 64
    x = dense(Workspace(0), tiles, 1, 1, sources)
    y = dense(Workspace(first), tiles, 1, 1, results)
    target = Target(y, (tiles, results))

    def weights() -> Array:
        return transformed(product.weights(), product.channels, outputs)

    return Product(product.name, x, (target,), weights, _HERE, groups=values)


def transformed(weights: Array, channels: int, outputs: int) -> Array:
    """(O, 9 * channels) as taps first -> (values * O, channels): G g GT of each filter."""
    g = np.array(matrices(outputs, 3).filter)
    taps = weights.reshape(len(weights), 9, channels).transpose(1, 0, 2).astype(np.float64)
    moved = np.kron(g, g) @ taps.reshape(9, -1)
    return np.ascontiguousarray(moved.reshape(-1, channels), np.float32)


def _winograd(emission: Emission, product: Product, way: Way) -> list[Launch]:
    """Inputs transformed, multiplied, and transformed back."""
    outputs = way.winograd
    inner = middle(emission, product, outputs)
    found = matrices(outputs, 3)
    sizes = {"OUTPUTS": outputs, "SIDE": outputs + 2}
    before = replace(emission.kernel("winograd_in", sizes), tables=(("BT", found.input),))
    end = ending(emission, product.targets)
    after = replace(
        emission.kernel("winograd_out", sizes, end.code), tables=(("AT", found.output),)
    )
    (down, across, tiles), x, y = _places(product, outputs), product.x, product.out
    assert product.window is not None
    pad = product.window[1]
    v, m = inner.x, inner.out
    taken = -(-(m.place.offset + m.count) // 64) * 64
    multiply = way_launches(emission, inner, way._replace(winograd=0), taken)
    count_in, count_out = tiles * x.c, tiles * y.c
    memory = emission.precision.item * taken
    first = (x.place, v.place, x.ld, x.c, x.h, x.w, *pad, down, across, count_in)
    last = (m.place, y.c, y.h, y.w, down, across, count_out, *end.arguments)
    name = product.name
    reads = (m, *end.reads)
    return [
        Launch(name, before, blocks(count_in), THREADS, first, (x,), (v,), memory),
        *multiply,
        Launch(name, after, blocks(count_out), THREADS, last, reads, end.writes, memory),
    ]


# Choosing

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
    if fits_gemv(emission, product):
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


def middle_size(product: Product, outputs: int) -> Size:
    """The size of the products of Winograd's algorithm."""
    tiles = _places(product, outputs)[2]
    return Size(tiles, (product.out.c,), product.channels, (outputs + 2) ** 2)


def _moving(emission: Emission, product: Product, inner: Size) -> float:
    """Cycles of transforming inputs and outputs."""
    planes = inner.pixels * inner.parts * (product.x.c + product.out.c)
    moved = 4 * (product.x.count + 2 * planes + product.out.count)
    return moved / (_BYTES * emission.facts.processors) + 2 * _LAUNCH
