"""Dense 3x3 convolutions by Winograd's algorithm around products of another configuration."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from netc.backends.cuda.chain import FusedOutput
from netc.backends.cuda.emission import (
    THREADS,
    CudaEmitContext,
    EpilogueCode,
    blocks,
    epilogue_code,
    side,
)
from netc.backends.cuda.products.product import Product
from netc.backends.cuda.products.tiles import Size
from netc.backends.cuda.program import Launch
from netc.backends.shared.cook_toom import matrices
from netc.backends.shared.derived import Weights, derivable
from netc.backends.shared.views import Workspace, dense
from netc.ir.types import MAX_COUNT
from netc.ops.array import AnyArray, contiguous, namespace

WINOGRAD = (2, 4)  # outputs of a tile, along each axis
_HERE = np.zeros((1, 2), np.int32)  # the only tap


def fits_winograd(emission: CudaEmitContext, product: Product) -> bool:
    """True if Winograd's algorithm computes the product: a dense 3x3 convolution in float32."""
    window = product.window
    plain = emission.precision.matrix == 0 and not emission.exact
    dense_3x3 = window is not None and window.kernel == (3, 3) and window.dilation == (1, 1)
    alone = product.groups == 1 and len(product.targets) == 1 and product.stride == (1, 1)
    return plain and dense_3x3 and alone and product.channels % 4 == 0 and _countable(product)


def _countable(product: Product) -> bool:
    """True if 32-bit indices reach all elements of the transformed tiles."""
    widest = max(product.x.c, product.out.c)
    counts = ((o + 2) ** 2 * _places(product, o)[2] * widest for o in WINOGRAD)
    return max(counts) <= MAX_COUNT


def _places(product: Product, outputs: int) -> tuple[int, int, int]:
    """Tiles down and across an image, and of all images."""
    y = product.out
    down, across = math.ceil(y.h / outputs), math.ceil(y.w / outputs)
    return down, across, y.n * down * across


def middle(emission: CudaEmitContext, product: Product, outputs: int) -> Product:
    """The products of Winograd's algorithm: one a value of a transformed tile, side by side."""
    side = outputs + 2
    values, tiles = side * side, _places(product, outputs)[2]
    # A pixel of the product is a tile, its channels are [plane][channel]; a group is a plane:
    #
    #   x  [tile][plane][input channel]     at the workspace's start
    #   y  [tile][plane][output channel]    behind it, from a multiple of 64 elements on
    sources, results = values * product.channels, values * product.out.c
    first = -(-tiles * sources // 64) * 64
    x = dense(Workspace(0), tiles, 1, 1, sources)
    y = dense(Workspace(first), tiles, 1, 1, results)
    target = FusedOutput(y, (tiles, results))

    def weights() -> Weights:
        found: Weights = transformed(product.weights(), product.channels, outputs)
        return found

    return Product(product.name, x, (target,), weights, _HERE, groups=values)


def middle_size(product: Product, outputs: int) -> Size:
    """The size of the products of Winograd's algorithm."""
    tiles = _places(product, outputs)[2]
    return Size(tiles, (product.out.c,), product.channels, (outputs + 2) ** 2)


@derivable
def transformed(weights: AnyArray, channels: int, outputs: int) -> AnyArray:
    """(O, 9 * channels) as taps first -> (values * O, channels): G g GT of each filter."""
    # G g GT of all filters at once: kron(G, G) applied to the 9 taps, one after another. A device's
    # library may have no matrix product.
    g = np.array(matrices(outputs, 3).filter)
    taps = weights.reshape(len(weights), 9, channels).transpose(1, 0, 2).astype(np.float64)
    factors = namespace(weights).asarray(np.kron(g, g))[..., None]
    taps = taps.reshape(9, 1, -1)
    moved = factors[:, 0] * taps[0]
    for tap in range(1, 9):
        moved += factors[:, tap] * taps[tap]
    return contiguous(moved.reshape(-1, channels), np.float32)


def winograd_launches(
    emission: CudaEmitContext,
    product: Product,
    outputs: int,
    multiply: Callable[[Product, int], list[Launch]],
) -> list[Launch]:
    """Inputs transformed, multiplied, and transformed back.

    Args:
        emission: the graph's.
        product: a convolution that :func:`fits_winograd`.
        outputs: of a tile, along each axis.
        multiply: gives the launches of the product in the middle, of whose workspace so many
            elements are taken.
    """
    inner = middle(emission, product, outputs)
    found = matrices(outputs, 3)
    sizes = {"OUTPUTS": outputs, "SIDE": outputs + 2}
    (down, across, tiles), x, y = _places(product, outputs), product.x, product.out
    assert product.window is not None
    pad = product.window.pad
    v, m = inner.x, inner.out
    taken = -(-(m.place.offset + m.count) // 64) * 64
    # Four channels of the larger tiles would not fit into the registers.
    limit = 4 if outputs == 2 else 2
    each = side(emission, tiles * x.c, (x,), limit)
    plain = emission.kernel("winograd_in", {**sizes, "VEC": each})
    before = replace(plain, tables=(("BT", found.input),))
    epilogue, made = _epilogue_code(emission, product, tiles * y.c, limit)
    plain = emission.kernel("winograd_out", {**sizes, "VEC": made}, epilogue.code)
    after = replace(plain, tables=(("AT", found.output),))
    count_in, count_out = tiles * x.c // each, tiles * y.c // made
    memory = emission.precision.item * taken
    first = (x.place, v.place, x.ld, x.c, x.h, x.w, *pad, down, across, count_in)
    last = (m.place, y.c, y.h, y.w, down, across, count_out, *epilogue.arguments)
    name = product.name
    reads = (m, *epilogue.reads)
    return [
        Launch(name, before, blocks(count_in), THREADS, first, (x,), (v,), memory),
        *multiply(inner, taken),
        Launch(name, after, blocks(count_out), THREADS, last, reads, epilogue.writes, memory),
    ]


def _epilogue_code(
    emission: CudaEmitContext, product: Product, count: int, limit: int
) -> tuple[EpilogueCode, int]:
    """The epilogue, and how many channels it makes at once."""
    epilogue = epilogue_code(emission, product.targets)
    each = side(emission, count, (product.out, *epilogue.reads, *epilogue.writes), limit)
    return epilogue_code(emission, product.targets, each), each
