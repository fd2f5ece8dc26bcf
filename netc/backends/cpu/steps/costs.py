"""Which algorithm a convolution is done by, by a model of what each takes.

The model counts cycles of one core. Sums run at the share of the peak that their register tile
reaches (``blocking.TILES``); Winograd's transforms cost a number of cycles for each tile and vector
of channels; weights stream in from beyond the second cache while sums run, at some bytes a cycle.
The figures were fitted to benchmarks/kernels.py on AVX-512 and AVX2. The choice does not depend on
the number of threads, so that results do not either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from netc.backends.cpu.machine import Machine
from netc.backends.cpu.steps.blocking import tile_cost
from netc.backends.cpu.steps.tiling import can_winograd, tiling
from netc.backends.shared.geometry import Geometry
from netc.ops.reduced import Number

PRODUCT, DEPTHWISE, WINOGRAD_2, WINOGRAD_4 = "product", "depthwise", "winograd2", "winograd4"
GROUPED = "grouped"  # several groups in a vector
SIZES = {WINOGRAD_2: 2, WINOGRAD_4: 4}
_STREAM_BYTES_PER_CYCLE = 4.0  # bytes a cycle from beyond the second cache, measured in nets
_MIN_MULTIPLY_ADDS = (
    1 << 23
)  # multiply-adds: what takes fewer is done in no time, and more accurately, as sums
_MAX_TIME_RATIO = 0.93  # Winograd must take at most this share of the time, for it is less accurate

#: (outputs, taps) of a square tile -> cycles for a vector of input and of output channels.
_TRANSFORM_CYCLES: Mapping[tuple[int, int], tuple[float, float]] = {
    (2, 3): (45.0, 40.0),
    (4, 3): (125.0, 105.0),
    (2, 5): (125.0, 85.0),
    (4, 5): (260.0, 190.0),
}
_ROW_TRANSFORM_CYCLES = (
    3.5,
    2.5,
)  # cycles a plane, for a vector of input and of output channels of one row
_LOCATE_CYCLES = 3.5  # cycles a plane for finding a tile's pixels


@dataclass(frozen=True, slots=True)
class ConvShape:
    """What the choice depends on.

    Args:
        images: in a batch.
        inputs: channels of the input.
        outputs: channels of each output.
        height: of the output.
        width: of the output.
        geometry: kernel, stride, pad, dilation and groups.
    """

    images: int
    inputs: int
    outputs: tuple[int, ...]
    height: int
    width: int
    geometry: Geometry


def choose_algorithm(shape: ConvShape, target: Machine, exact: bool = False) -> str:
    """The name of the algorithm that should be fastest."""
    geometry = shape.geometry
    # One channel a group: no sum over channels, vectors run over the groups.
    if geometry.groups > 1 and (geometry.groups,) == (shape.inputs,) == shape.outputs:
        return DEPTHWISE
    if _in_a_vector(shape, target.width):
        return GROUPED
    # Groups run one after the other through Winograd, each as a convolution of its own.
    alone = replace(geometry, groups=1)
    whole = geometry.groups == 1 or len(shape.outputs) == 1
    if exact or not whole or not can_winograd(alone) or multiply_adds(shape) < _MIN_MULTIPLY_ADDS:
        return PRODUCT
    # Winograd must win clearly: its sums are of transformed values, and less accurate.
    costs = {name: winograd_cycles(shape, size, target) for name, size in SIZES.items()}
    best = min(costs, key=costs.__getitem__)
    return best if costs[best] < _MAX_TIME_RATIO * product_cycles(shape, target) else PRODUCT


def is_faster_in_float32(shape: ConvShape, number: Number, target: Machine) -> bool:
    """True if float32 does a convolution in less time than its sums take in fewer bits.

    That is where Winograd's algorithm saves more multiplications than the number format does. It
    is asked of the machine with instructions for the format, whether it has them or not: what a
    net computes in fewer bits does not depend on them.
    """
    algorithm = choose_algorithm(shape, target)
    if algorithm not in SIZES:
        return False
    plain = winograd_cycles(shape, SIZES[algorithm], target)
    return plain < product_cycles(shape, target, number.per_word)


def _in_a_vector(shape: ConvShape, width: int) -> bool:
    """True where groups are so small that a product would fill less than half of its vectors."""
    groups = shape.geometry.groups
    if groups == 1 or shape.outputs != (shape.inputs,):
        return False
    return width % (shape.inputs // groups) == 0 and shape.inputs // groups < width


def multiply_adds(shape: ConvShape) -> int:
    """Multiply-adds of the plain sums."""
    depth = shape.inputs // shape.geometry.groups * math.prod(shape.geometry.kernel)
    return shape.images * shape.height * shape.width * sum(shape.outputs) * depth


def product_cycles(shape: ConvShape, target: Machine, per_word: int = 1) -> float:
    """Estimated cycles of an implicit matrix product, of all groups.

    With ``per_word`` above 1 its terms are words of so many elements of fewer bits, multiplied by
    instructions that take no longer than float32's.
    """
    taps = math.prod(shape.geometry.kernel)
    depth = math.ceil(shape.inputs // shape.geometry.groups / per_word) * taps
    pixels = shape.images * shape.height * shape.width
    sums = tile_cost(pixels, shape.outputs, depth, target) / target.units
    return _overlapped(sums, 4.0 * depth * sum(shape.outputs))


def winograd_cycles(shape: ConvShape, size: int, target: Machine) -> float:
    """Estimated cycles of Winograd's algorithm with tiles of ``size`` squared outputs."""
    kernel, groups = shape.geometry.kernel, shape.geometry.groups
    inputs, outputs = shape.inputs // groups, [o // groups for o in shape.outputs]
    tiles = tiling(shape.images, shape.height, shape.width, size, kernel)
    line = tuple(cycles * tiles.planes for cycles in _ROW_TRANSFORM_CYCLES)
    # Kernels of one row or column transform along one axis only, in so many cycles a plane.
    forward, back = line if 1 in kernel else _TRANSFORM_CYCLES[size, kernel[0]]
    vectors = [math.ceil(c / target.width) for c in (inputs, sum(outputs))]
    # Stages 1 and 3; stage 2 is as many small products as there are planes.
    changes = tiles.tiles * (
        _LOCATE_CYCLES * tiles.planes + vectors[0] * forward + vectors[1] * back
    )
    changes *= 2 / target.units  # they too are multiply-adds of vectors, counted with two units
    sums = tiles.planes * tile_cost(tiles.tiles, outputs, inputs, target) / target.units
    weights = 4.0 * tiles.planes * inputs * sum(outputs)
    return groups * (changes + _overlapped(sums, weights))


def _overlapped(sums: float, weights: float) -> float:
    """Cycles of sums while their weights stream in."""
    # The longer of the two hides the shorter, but for a quarter of it.
    streaming = weights / _STREAM_BYTES_PER_CYCLE
    return max(sums, streaming) + 0.25 * min(sums, streaming)
