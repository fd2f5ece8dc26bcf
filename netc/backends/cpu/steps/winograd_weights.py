"""Steps of convolutions' weight gradients by Winograd's algorithm, and when they pay."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from netc.backends.cpu import jit
from netc.backends.cpu.kernel_args import OuterArgs
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.product_args import WinogradArgs
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.outer import OuterTarget, max_sums, tiles_of
from netc.backends.cpu.steps.tiling import Tiling, can_winograd, tiling
from netc.backends.cpu.steps.winograd import tile_arguments
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import View, Workspace, moved

_SIZE = 4  # outputs of a tile in each direction
_KERNELS = frozenset({(3, 3), (5, 5)})
_WORTH = 1 << 23  # multiply-adds from which on it is tried
_GAIN = 0.85  # it must take at most this share of the time, for it is less accurate
_ROOM = 1 << 26  # bytes that both sides' planes may take
_MOST_NUMBERS = 12
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
    """One side's planes in the workspace; ``bytes_each`` from one to the next."""

    place: Workspace
    bytes_each: int
    tile_bytes: int
    channels: int


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
    return _Planes(args.planes, args.plane_bytes, args.tile_bytes, args.channels)


def _sums(
    name: str,
    sides: tuple[_Planes, _Planes],
    tiles: Tiling,
    target: OuterTarget,
    machine: Machine,
    workspace: int,
) -> list[Step]:
    """Outer products of one side's vectors (lanes) with the other side's numbers."""
    x, y = sides
    swapped = _cost(y, x, machine) < _cost(x, y, machine)
    lanes, numbers = (y, x) if swapped else (x, y)
    to_number, to_lane = (target.x, target.y) if swapped else (target.y, target.x)
    vectors = _vectors(lanes, machine)
    most = min(_MOST_NUMBERS, max_sums(machine) // vectors)
    table = [
        [plane * lanes.bytes_each, plane * numbers.bytes_each, 0, 1, 0, tiles.tiles]
        for plane in range(tiles.planes)
    ]
    of_all = OuterArgs(
        lanes=lanes.place,
        lanes_image=0,
        lanes_row=0,
        lanes_step=lanes.tile_bytes,
        numbers=numbers.place,
        numbers_image=0,
        numbers_row=0,
        numbers_step=numbers.tile_bytes,
        numbers_gap=4,
        count=lanes.channels,
        images=1,
        rows=1,
        block=1,
        taps=tiles.planes,
        table=np.array(table, np.int64),
        output=target.place,
        output_number=4 * to_number,
        output_tap=4 * target.tap,
        output_lane=4 * to_lane,
    )
    form: dict[str, jit.Option] = {
        "outputs": tiles.filtering.outputs,
        "taps": tiles.filtering.taps,
        "vectors": vectors,
    }
    steps = []
    for first, count, tile in tiles_of(numbers.channels, most):
        args = of_all._replace(
            numbers=moved(numbers.place, first), output=moved(target.place, first * to_number)
        )
        kernel = jit.spec("winograd_weights", "outer", tile=tile, **form)
        rows = math.prod(tiles.filtering.taps) + tiles.planes * tile * vectors
        scratch = 4 * machine.width * rows
        steps.append(Step(name, kernel, args, count, scratch, workspace=workspace))
    return steps


def _vectors(lanes: _Planes, machine: Machine) -> int:
    return 2 if lanes.channels > machine.width else 1


def _cost(lanes: _Planes, numbers: _Planes, machine: Machine) -> int:
    """Products of whole vectors."""
    return math.ceil(lanes.channels / (_vectors(lanes, machine) * machine.width)) * numbers.channels
