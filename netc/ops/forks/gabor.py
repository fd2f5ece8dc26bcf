"""The filler `gabor` of intel/caffe (include/caffe/gabor.hpp): waves under a bell, over 3 channels.

It knows the first convolutions of four nets by the number of outputs and the kernel's size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import pi

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray

_Colours = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Wave:
    """One kernel; places go from -1 to 1 along both axes.

    Args:
        height: of the bell.
        width: its standard deviation.
        frequency, phase, angle: of the wave, in radians.
        colours: factor of each channel.
    """

    height: float = 1
    width: float = 0.6
    frequency: float = pi
    phase: float = 0
    angle: float = 0
    colours: _Colours = (1, 1, 1)


def _turns(parts: float) -> Callable[[int], float]:
    """The frequency by the kernel's size: (size - 1) / 2 half waves, divided by ``parts``."""
    return lambda size: pi * (size - 1) / 2 / parts


def _cifar(k: int, size: int) -> Wave:
    if k < 8:
        return Wave(0.5, frequency=_turns(1)(size), angle=k * pi / 8)
    if k < 14:
        return Wave(0.5, frequency=_turns(2)(size), angle=(k - 2) % 6 * pi / 6 + pi / 12)
    if k < 16:
        return Wave(0.5, 0.75, _turns(8)(size), k % 2 * pi, 0, (1, -1, 1))
    angle, colours = k % 4 * pi / 2 + 3 * pi / 8, _CIFAR_COLOURS[(k - 16) // 2]
    if k >= 28:
        angle = k % 2 * pi / 2 + (3 * pi / 8 if k >= 30 else pi / 8)
    return Wave(0.5, 0.6, _turns(4)(size), pi / 2, angle, colours)


_CIFAR_COLOURS: tuple[_Colours, ...] = (
    (1, 1, 1), (1, 1, 1), (1, 0, -1), (1, 0, -1), (-1, 1, 1), (-1, 1, 1), (-1, 1, -1), (1, 1, 0)
)  # fmt: skip


def _rotated(k: int, size: int, height: float, width: float, parts: int) -> Wave:
    """Eight frequencies in each of several directions, a part of a half turn apart."""
    rotation, step = divmod(k, 8)
    return Wave(
        height / (1 + step / 8),
        width + 0.2 * step / 8,
        _turns(1 + step / 2)(size),
        k % 2 * pi + pi * 12 / 32,
        rotation * pi / parts,
    )


def _blob(height: float, step: int, phase: int) -> Wave:
    """A wave wider than the kernel, in one direction."""
    width = 1 / (2.5 - step / 2)
    return Wave(height / (1 + step / 2), width, pi / 4, phase * pi, 0, (0.25, -1, 1))


def _googlenet(k: int, size: int) -> Wave:
    if k < 32:
        return _rotated(k, size, 1, 0.4, 4)
    if k < 40:
        return Wave(0.5, 0.45, _turns(1)(size), pi, k % 8 * pi / 8)
    if k < 46:
        return _blob(1, (k - 1) % 3, (k - 1) // 3)
    slow = Wave(2 / 3, 1, _turns(12)(size), pi / 2)
    if k < 48:
        return replace(slow, angle=k % 8 * pi + pi / 8, colours=(1, 0.1, -0.5))
    if k < 56:
        return replace(slow, angle=k % 8 * pi / 4 + pi / 32, colours=(-0.5, 0.1, 1))
    angle = k % 8 * pi / 2 + pi / 8
    if k < 60:
        return replace(slow, height=1, angle=angle, colours=(0.25, -1, 1))
    return replace(slow, angle=angle, colours=(-1, -1, 1))


def _vgg(k: int, size: int) -> Wave:
    return replace(_googlenet(k, size), width=1)


# Behind the first 56 kernels of AlexNet: where a kind ends; what its height of 1/3 is divided by,
# its width, what the frequency is divided by, the angle's step and start, and the colours.
_ALEXNET: tuple[tuple[int, float, float, float, float, float, _Colours], ...] = (
    (60, 1.5, 0.75, 8, pi / 2, pi / 8, (-1, 1, -0.5)),
    (64, 3, 2, 8, pi / 2, pi / 8, (1, -0.5, -0.75)),
    (72, 1.5, 0.75, 4, pi / 4, pi / 32, (1, 0.1, -0.75)),
    (80, 1.5, 1, 12, pi / 4, pi / 32, (-0.5, 0.1, 1)),
    (88, 2.5, 1, 8, pi / 4, pi / 32, (-1, -1, 1)),
    (92, 1, 0.6, 16, pi / 2, pi / 16, (1, 1, 1)),
    (96, 4, 0.75, 4, pi / 4, pi / 32, (-1, -1, 1)),
)


def _alexnet(k: int, size: int) -> Wave:
    if k < 48:
        return _rotated(k, size, 1 / 3, 0.5, 6)
    if k < 56:
        return _blob(1 / 3, k % 4, k // 4)
    row = next(row for row in _ALEXNET if k < row[0])
    _, divisor, width, parts, step, start, colours = row
    around = 4 if step == pi / 2 else 8
    angle = k % around * step + start
    return Wave(1 / 3 / divisor, width, _turns(parts)(size), pi / 2, angle, colours)


_NETS: Mapping[tuple[int, int], Callable[[int, int], Wave]] = {
    (32, 5): _cifar,
    (64, 7): _googlenet,
    (64, 3): _vgg,
    (96, 11): _alexnet,
}


def gabor_fault(shape: Shape) -> str | None:
    """Why intel/caffe has no such filters for an array of this shape; None where it has."""
    known = ", ".join(f"{n}x3x{size}x{size}" for n, size in _NETS)
    square = len(shape) == 4 and shape[1] == 3 and shape[2] == shape[3]
    if not square or (shape[0], shape[3]) not in _NETS:
        return f"filler `gabor` fills arrays of {known}, this is {show(shape)}"
    return None


def gabor(shape: Shape) -> AnyArray:
    """The float32 array of ``shape``, one of those that ``gabor_fault`` takes."""
    number, size = shape[0], shape[3]
    at = 2 * np.arange(size) / (size - 1) - 1
    y, x = np.meshgrid(at, at, indexing="ij")
    made = np.empty(shape, np.float32)
    for k in range(number):
        wave = _NETS[number, size](k, size)
        bell = wave.height * np.exp(-(x * x + y * y) / (2 * wave.width**2))
        along = x * np.cos(wave.angle) - y * np.sin(wave.angle)
        values = bell * np.cos(along * wave.frequency + wave.phase)
        made[k] = np.multiply.outer(np.array(wave.colours), values)
    return made
