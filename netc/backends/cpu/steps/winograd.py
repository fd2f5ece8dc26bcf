"""Steps of convolutions by Winograd's algorithm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu import jit
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.memory import ALIGNMENT, aligned_zeros, rounded
from netc.backends.cpu.product_args import PanelArgs, WinogradArgs
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.blocking import choose_tile
from netc.backends.cpu.steps.epilogue import PLAIN, Epilogue
from netc.backends.cpu.steps.packing import transformed
from netc.backends.cpu.steps.product import panel_rows
from netc.backends.cpu.steps.tiling import Tiling, tiling
from netc.backends.shared.cook_toom import Filtering
from netc.backends.shared.derived import Derived, Weights, derived
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import View, Workspace

Array = NDArray[np.float32]
_L2_SHARE = 0.6  # of the second cache, for the planes and sums of a block
_MIN_UNITS = 8  # at least so many units, for threads to share


@dataclass(frozen=True, slots=True)
class Cut:
    """How a Winograd convolution is cut into register tiles and units.

    Args:
        rows: tiles of a register tile.
        columns: vectors of output channels of a register tile.
        block: tiles of a unit.
        split: whether all planes are made before any product.
    """

    rows: int
    columns: int
    block: int
    split: bool


def winograd_steps(
    name: str,
    x: View,
    outputs: Sequence[View],
    weights: Weights,
    geometry: Geometry,
    target: Machine,
    epilogue: Epilogue = PLAIN,
    size: int = 4,
    cut: Cut | None = None,
) -> list[Step]:
    """A convolution as one step or two.

    Args:
        name: the layer's.
        x: input.
        outputs: where the output channels go, in order.
        weights: (outputs, inputs, kernel h, kernel w).
        geometry: for which :func:`can_winograd` holds.
        target: the machine.
        epilogue: bias, residual and activation.
        size: outputs of a tile in each direction that has taps; 2 or 4 (or 6 for 3x3, less
            accurate).
        cut: how it is cut; chosen by the second cache where None.
    """
    y = outputs[0]
    tiles = tiling(y.n, y.h, y.w, size, geometry.kernel)
    cut = cut or choose_cut(tiles, x.c, [y.c for y in outputs], target)
    rows = _panels(outputs, weights, tiles, cut.columns * target.width, epilogue)
    args = _arguments(x, outputs[0], geometry, tiles, cut, target, epilogue, len(rows))
    options = {"outputs": tiles.filtering.outputs, "taps": tiles.filtering.taps}
    products = jit.spec(
        "winograd",
        "split" if cut.split else "fused",
        tile=(cut.rows, cut.columns),
        activation=epilogue.activation.kind,
        residual=epilogue.residual is not None,
        **options,
    )
    scratch = args.planes_offset + (0 if cut.split else tiles.planes * args.plane_bytes)
    blocks = math.ceil(tiles.tiles / cut.block)
    table = (*args, *chain.from_iterable(rows))
    # Fused: one step, whose units transform, multiply and transform back a block of tiles.
    if not cut.split:
        return [Step(name, products, table, blocks, scratch, pointwise_reads=epilogue.reads)]
    # Split: a step makes all planes in the workspace, another multiplies them, panel by panel.
    size_of_planes = tiles.planes * args.plane_bytes
    forward = jit.spec("winograd", "transform", **options)
    return [
        Step(name, forward, args, tiles.tiles, 8 * tiles.planes, 4, size_of_planes),
        Step(
            name,
            products,
            table,
            blocks * len(rows),
            scratch,
            workspace=size_of_planes,
            pointwise_reads=epilogue.reads,
        ),
    ]


def _arguments(
    x: View,
    y: View,
    geometry: Geometry,
    tiles: Tiling,
    cut: Cut,
    target: Machine,
    epilogue: Epilogue,
    panels: int,
) -> WinogradArgs:
    # Rows of planes are whole vectors, for the widest machine.
    depth = _whole_vectors(x.c)
    lanes = cut.columns * target.width
    # Split: the planes of all tiles lie in the workspace, which threads share. Fused: those of a
    # block in the thread's own scratch memory, behind the results.
    kept = tiles.tiles if cut.split else cut.block
    results_offset = rounded(8 * (tiles.planes + cut.block))
    # A line more between planes keeps them from falling into the same sets of the caches.
    result_bytes = 4 * cut.block * lanes + ALIGNMENT
    return tile_arguments(x, y, geometry, tiles)._replace(
        block=cut.block,
        planes_offset=results_offset + tiles.planes * result_bytes,
        plane_bytes=4 * kept * depth + ALIGNMENT,
        results_offset=results_offset,
        result_bytes=result_bytes,
        panels=panels,
        first=epilogue.activation.first,
        second=epilogue.activation.second,
    )


def tile_arguments(x: View, y: View, geometry: Geometry, tiles: Tiling) -> WinogradArgs:
    """The arguments of a transform that makes all planes of x, at the start of the workspace."""
    depth = _whole_vectors(x.c)
    return WinogradArgs(
        input=x.place,
        ld=4 * x.ld,
        height=x.h,
        width=x.w,
        channels=x.c,
        pad_y=geometry.pad[0],
        pad_x=geometry.pad[1],
        out_height=y.h,
        out_width=y.w,
        tiles_y=tiles.rows,
        tiles_x=tiles.columns,
        tiles=tiles.tiles,
        zeros=aligned_zeros((depth,)),
        block=0,
        planes=Workspace(),
        planes_offset=0,
        plane_bytes=4 * tiles.tiles * depth + ALIGNMENT,
        tile_bytes=4 * depth,
        results_offset=0,
        result_bytes=0,
        panels=0,
        first=0.0,
        second=0.0,
    )


def _panels(
    outputs: Sequence[View], weights: Weights, tiles: Tiling, lanes: int, epilogue: Epilogue
) -> list[PanelArgs]:
    rows: list[PanelArgs] = []
    first = 0
    for y in outputs:
        packed = pack_transformed(weights[first : first + y.c], tiles.filtering, lanes)
        rows += panel_rows(packed, y, first, 0, lanes, epilogue)
        first += y.c
    return rows


def pack_transformed(weights: Weights, filtering: Filtering, lanes: int) -> Weights:
    """(outputs, inputs, r, s) -> (panels, planes, inputs, lanes) of transformed weights."""
    shape = math.ceil(weights.shape[0] / lanes), filtering.planes, weights.shape[1], lanes

    def by_numpy(weights: Array) -> Array:
        return _transformed(weights, filtering, shape)

    if isinstance(weights, Derived):
        made = transformed(weights, shape, lanes, filtering, by_numpy)
        return derived(by_numpy, weights) if made is None else made
    return by_numpy(weights)


def _transformed(weights: Array, filtering: Filtering, shape: tuple[int, ...]) -> Array:
    inputs, lanes = shape[2:]
    left, right = (np.array(m.filter) for m in filtering.matrices)
    packed = aligned_zeros(shape)
    for k, panel in enumerate(packed):
        part = weights[k * lanes : (k + 1) * lanes].transpose(2, 3, 1, 0)  # r, s, inputs, lanes
        # Down the columns of all filters at once, then along their rows: G g GT, in float64.
        wide = np.ascontiguousarray(part, np.float64).reshape(part.shape[0], -1)
        #   packed[panel][plane = i * sides[1] + j][input][lane] = (G g GT)[i, j] of one filter
        columns = (left @ wide).reshape(len(left), part.shape[1], -1)
        both = np.matmul(right, columns)
        panel[:, :, : part.shape[3]] = both.reshape(filtering.planes, inputs, -1)
    return packed


def choose_cut(tiles: Tiling, inputs: int, outputs: Sequence[int], target: Machine) -> Cut:
    """The cut that moves less memory beyond the second cache."""
    rows, columns = choose_tile(tiles.tiles, outputs, inputs, target)
    lanes = columns * target.width
    panels = sum(math.ceil(o / lanes) for o in outputs)
    # Bytes of one channel of one tile in all planes.
    plane = 4 * tiles.planes
    room = int(_L2_SHARE * target.l2)
    weights = plane * inputs * panels * lanes
    # Fused: a block's planes and the results of one panel lie in the second cache together. All
    # weights are read again for each block.
    fitting = room // (plane * (_whole_vectors(inputs) + lanes))
    block = _block(tiles.tiles, min(fitting, math.ceil(tiles.tiles / _MIN_UNITS)), rows)
    together = weights * math.ceil(tiles.tiles / block)
    # Split: weights are read once, planes are written once and read again for each panel.
    separate = weights + plane * tiles.tiles * inputs * (1 + panels)
    if together <= separate:
        return Cut(rows, columns, block, False)
    shared = math.ceil(tiles.tiles / math.ceil(_MIN_UNITS / panels))
    block = _block(tiles.tiles, min(room // (plane * lanes), shared), rows)
    return Cut(rows, columns, block, True)


def _block(tiles: int, limit: int, rows: int) -> int:
    """Tiles of a unit: whole register tiles, at most ``limit`` if it can be, spread evenly."""
    # As many units as the limit asks for, then tiles shared evenly among them.
    units = math.ceil(tiles / max(rows, limit // rows * rows))
    return math.ceil(math.ceil(tiles / units) / rows) * rows


def _whole_vectors(channels: int) -> int:
    return -(-channels // 16) * 16
