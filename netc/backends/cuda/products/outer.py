"""Sums of outer products over pixels: weight gradients, by netc's kernel or a library's."""

from __future__ import annotations

import math
from dataclasses import dataclass

from netc.backends.cuda.emission import SUMMING, THREADS, CudaEmitContext
from netc.backends.cuda.libraries.operation import LibraryAlgorithm, LibraryKernel, LibraryProduct
from netc.backends.cuda.program import Argument, Launch, SplitKCounters
from netc.backends.shared.views import View, Workspace, dense
from netc.ops.window import Axis

_FLOAT = 4  # bytes
_K = 16  # pixels of a tile
_WAVES = 2  # blocks for each processor, at least
_MAX_SPLITS = 64
_MIN_SHARE = 8  # tiles of pixels of a block, where there are as many


@dataclass(frozen=True)
class GradientTarget:
    """Where the sums go: distances in elements between groups, rows, taps and channels."""

    view: View
    group: int
    row: int
    tap: int
    channel: int


@dataclass(frozen=True)
class Outer:
    """Sums over the pixels of ``a`` of its channels times those of ``b`` that a window sees.

    Args:
        a: pixels of the window's places.
        b: pixels that the window slides over.
        axes: the window along height and width.
        groups: of the channels of both.
    """

    a: View
    b: View
    axes: tuple[Axis, Axis]
    groups: int = 1

    @property
    def taps(self) -> int:
        """Elements of the window."""
        return self.axes[0].kernel * self.axes[1].kernel


def window_numbers(a: View, b: View, down: Axis, across: Axis) -> tuple[int, ...]:
    """What kernels are told of a window: its places at ``a``, sliding over ``b``."""
    return (
        *(across.kernel, a.h, a.w, b.h, b.w, down.stride, across.stride),
        *(down.pad, across.pad, down.dilation, across.dilation),
    )


def outer_launch(
    emission: CudaEmitContext, name: str, outer: Outer, target: GradientTarget
) -> Launch:
    """A sum of outer products, in tiles."""
    a, b, groups = outer.a, outer.b, outer.groups
    rows, channels = a.c // groups, b.c // groups
    columns = outer.taps * channels
    m, n = _tile(rows), _tile(columns)
    tiles = math.ceil(rows / m) * math.ceil(columns / n)
    splits, share = _splits(tiles * groups, a.pixels)
    constants = {
        "BM": m,
        "BN": n,
        "BK": _K,
        "VEC_A": _beside(emission, a, rows),
        "VEC_B": _beside(emission, b, channels),
        "MMA": emission.precision.matrix,
        "SPLIT": splits > 1,
    }
    counters = tiles * groups if splits > 1 else 0
    floats = counters * splits * m * n
    partial = dense(Workspace(0), 1, 1, 1, floats * _FLOAT // emission.precision.item)
    down, across = outer.axes
    arguments: tuple[Argument, ...] = (
        *(a.place, b.place, target.view.place, partial.place, SplitKCounters(), a.ld, b.ld),
        *(rows, channels, outer.taps, *window_numbers(a, b, down, across), a.pixels, share),
        *(target.group, target.row, target.tap, target.channel),
    )
    kernel = emission.kernel("outer", constants)
    writes = (target.view, *([partial] if floats else []))
    grid, memory = (tiles, groups, splits), _FLOAT * floats
    return Launch(name, kernel, grid, THREADS, arguments, (a, b), writes, memory, counters)


def _tile(size: int) -> int:
    """Rows or columns of a block's tile."""
    return 128 if size > 64 else 64


def _splits(blocks: int, pixels: int) -> tuple[int, int]:
    """Blocks that share a sum, and the pixels of each: as many as keep a device busy."""
    wanted = math.ceil(_WAVES * SUMMING / max(1, blocks))
    limit = max(1, pixels // (_K * _MIN_SHARE))
    share = math.ceil(math.ceil(pixels / min(wanted, limit, _MAX_SPLITS)) / _K) * _K
    return math.ceil(pixels / share), share


def _beside(emission: CudaEmitContext, view: View, channels: int) -> int:
    """Channels that can be copied at once: those of 16 bytes, or 1."""
    whole = math.gcd(channels, view.ld, view.place.offset)
    each = 16 // emission.precision.item
    return each if whole % each == 0 else 1


def gradient_operation(
    emission: CudaEmitContext, outer: Outer, target: GradientTarget
) -> LibraryProduct | None:
    """What a library is asked for; None where none of them stores weights so, or sums are exact."""
    a, b, groups = outer.a, outer.b, outer.groups
    if target.row == 1 and outer.taps == groups == 1:  # the weights are transposed
        a, b, row = b, a, target.channel
    else:
        row = target.row
        channels = b.c // groups
        innermost = target.channel == 1 and (outer.taps == 1 or target.tap == channels)
        if not innermost or (groups > 1 and target.group != row * (a.c // groups)):
            return None
    if emission.exact or not all(_fits(axis) for axis in _sized(outer)):
        return None
    down, across = outer.axes
    steps = [b.place.offset, b.ld, a.place.offset, a.ld, target.view.place.offset, row]
    steps += [b.c // groups, a.c // groups] if groups > 1 else []
    item = emission.precision.item
    return LibraryProduct(
        emission.precision.name,
        (b.n, b.h, b.w, b.c // groups),
        b.ld,
        row,
        (a.h, a.w, a.c // groups),
        a.ld,
        (down.kernel, across.kernel),
        (down.pad, across.pad),
        (down.stride, across.stride),
        (down.dilation, across.dilation),
        groups,
        alignment=next(n for n in (16, 8, 4, 2) if all(item * step % n == 0 for step in steps)),
        gradient=True,
    )


def _sized(outer: Outer) -> tuple[tuple[Axis, int, int], ...]:
    """Each axis, the places of its window and what it slides over."""
    a, b, (down, across) = outer.a, outer.b, outer.axes
    return (down, a.h, b.h), (across, a.w, b.w)


def _fits(sized: tuple[Axis, int, int]) -> bool:
    """True if a library knows the window's places as all that there are."""
    axis, places, size = sized
    reach = axis.dilation * (axis.kernel - 1) + 1
    return (size + 2 * axis.pad - reach) // axis.stride + 1 == places


def gradient_launch(
    emission: CudaEmitContext,
    name: str,
    outer: Outer,
    target: GradientTarget,
    algorithm: LibraryAlgorithm | None,
) -> Launch:
    """A weight gradient by netc's kernel, or by a library's algorithm."""
    if algorithm is None:
        return outer_launch(emission, name, outer, target)
    operation = gradient_operation(emission, outer, target)
    assert operation is not None
    swapped = target.row == 1 and outer.taps == outer.groups == 1
    x, y = (outer.a, outer.b) if swapped else (outer.b, outer.a)
    size = algorithm.workspace
    memory = dense(Workspace(), 1, 1, 1, math.ceil(size / emission.precision.item))
    arguments = (x.place, target.view.place, y.place, 0, 0, Workspace())
    writes = (target.view, *([memory] if size else []))
    return Launch(
        name, LibraryKernel(operation, algorithm), (1, 1, 1), 0, arguments, (x, y), writes, size
    )
