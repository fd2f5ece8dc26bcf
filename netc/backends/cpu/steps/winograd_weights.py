"""Steps of convolutions' weight gradients by Winograd's algorithm, and when they pay."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from netc.backends.cpu import jit
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.product_args import WinogradArgs
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.outer import OuterProduct, OuterTarget, Side, max_sums, tiles_of
from netc.backends.cpu.steps.tiling import Tiling, can_winograd, tiling
from netc.backends.cpu.steps.winograd import tile_arguments
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import View, Workspace

_SIZE = 4  # outputs of a tile in each direction
_KERNELS = frozenset({(3, 3), (5, 5)})
_WORTH = 1 << 23  # multiply-adds from which on it is tried
_GAIN = 0.85  # it must take at most this share of the time, for it is less accurate
_ROOM = 1 << 26  # bytes that both sides' planes may take
_MAX_NUMBERS = 12  # of a tile
_FEW_CHANNELS = 8
#: Cycles for a vector of a tile of x and of dy, and for a vector of a channel's taps at the end.
_CYCLES = {3: (125.0, 110.0, 220.0), 5: (260.0, 200.0, 520.0)}


def pays(x: View, y: View, geometry: Geometry, machine: Machine) -> bool:
    """True if the algorithm should take less time than plain sums, and not too much memory."""
    if not can_winograd(geometry) or geometry.kernel not in _KERNELS:
        return False
    if min(x.c, y.c) < _FEW_CHANNELS:  # vectors would be mostly empty
        return False
    tiles = tiling(y.n, y.h, y.w, _SIZE, geometry.kernel)
    # Estimates in cycles of vector multiply-adds, two a cycle, as in ``costs``.
    vectors = [math.ceil(view.c / machine.width) for view in (x, y)]
    planes = 4 * tiles.planes * tiles.tiles * machine.width * sum(vectors)
    pairs = vectors[0] * y.c
    plain = y.pixels * math.prod(geometry.kernel) * pairs / 2
    if planes > _ROOM or plain * 2 * machine.width < _WORTH:
        return False
    of_x, of_y, back = _CYCLES[geometry.kernel[0]]
    changes = tiles.tiles * (vectors[0] * of_x + vectors[1] * of_y) + pairs * back
    return changes + tiles.planes * tiles.tiles * pairs / 2 / 0.8 < _GAIN * plain / 0.9


class _Planes(NamedTuple):
    """One side's planes in the workspace: a plane's tiles as a row, and bytes between planes."""

    side: Side
    plane_bytes: int


def winograd_weight_steps(
    name: str, x: View, y: View, geometry: Geometry, target: OuterTarget, machine: Machine
) -> list[Step]:
    """The gradient of a convolution's weights.

    Args:
        name: the node's.
        x: the convolution's input.
        y: the gradient of its output.
        geometry: for which ``pays`` holds.
        target: where the gradient goes.
        machine: for which.
    """
    # Planes of both sides lie in the workspace: [x: plane][tile][channel] [dy: likewise].
    tiles = tiling(y.n, y.h, y.w, _SIZE, geometry.kernel)
    options = {"outputs": tiles.filtering.outputs, "taps": tiles.filtering.taps}
    flat = replace(geometry, pad=(0, 0))
    of_x = tile_arguments(x, y, geometry, tiles)
    of_y = tile_arguments(y, y, flat, tiles)
    size_x = tiles.planes * of_x.plane_bytes
    of_y = of_y._replace(planes=Workspace(size_x // 4))
    total = size_x + tiles.planes * of_y.plane_bytes
    made = [
        Step(name, jit.spec(module, "transform", **options), args, tiles.tiles, scratch, 4, total)
        for module, args, scratch in (
            ("winograd", of_x, 8 * tiles.planes),
            ("winograd_weights", of_y, 8 * _SIZE**2),
        )
    ]
    sides = _side(of_x), _side(of_y)
    return [*made, *_sums(name, sides, tiles, target, machine, total)]


def _side(args: WinogradArgs) -> _Planes:
    assert isinstance(args.planes, Workspace)
    # A plane is a grid of one row, whose columns are the tiles.
    return _Planes(Side(args.planes, args.channels, 0, 0, args.tile_bytes // 4), args.plane_bytes)


def _sums(
    name: str,
    sides: tuple[_Planes, _Planes],
    tiles: Tiling,
    target: OuterTarget,
    machine: Machine,
    workspace: int,
) -> list[Step]:
    """Outer products of one side's vectors (lanes) with the other side's numbers."""
    lanes, numbers = sides
    if _cost(numbers.side, lanes.side, machine) < _cost(lanes.side, numbers.side, machine):
        lanes, numbers, target = numbers, lanes, target.swapped()
    # A row of the table for each plane: where it begins on either side, and all of its tiles.
    table = np.zeros((tiles.planes, 6), np.int64)
    table[:, 0] = np.arange(tiles.planes) * lanes.plane_bytes
    table[:, 1] = np.arange(tiles.planes) * numbers.plane_bytes
    table[:, 3], table[:, 5] = 1, tiles.tiles
    product = OuterProduct(lanes.side, numbers.side, (1, 1), table, target)
    vectors, filtering = _vectors(lanes.side, machine), tiles.filtering
    steps = []
    per_tile = min(_MAX_NUMBERS, max_sums(machine) // vectors)
    for first, count, tile in tiles_of(numbers.side.channels, per_tile):
        kernel = jit.spec(
            "winograd_weights",
            "outer",
            outputs=filtering.outputs,
            taps=filtering.taps,
            tile=tile,
            vectors=vectors,
        )
        rows = math.prod(filtering.taps) + tiles.planes * tile * vectors
        scratch, args = 4 * machine.width * rows, product.arguments(first)
        steps.append(Step(name, kernel, args, count, scratch, workspace=workspace))
    return steps


def _vectors(lanes: Side, machine: Machine) -> int:
    return 2 if lanes.channels > machine.width else 1


def _cost(lanes: Side, numbers: Side, machine: Machine) -> int:
    """Products of whole vectors."""
    return math.ceil(lanes.channels / (_vectors(lanes, machine) * machine.width)) * numbers.channels
