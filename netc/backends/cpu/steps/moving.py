"""Steps that move data: copies of slices, permutations, changes of layout."""

from __future__ import annotations

from dataclasses import dataclass

from netc.backends.cpu import jit
from netc.backends.cpu.kernel_args import FillArgs, ImageArgs, MoveArgs
from netc.backends.cpu.program import Step
from netc.backends.shared.layout import c_strides
from netc.backends.shared.views import Place, View

Axes = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Strided:
    """Memory seen as nested axes: from ``place`` on, axis i steps ``strides[i]`` floats."""

    place: Place
    strides: tuple[int, ...]


def move_step(name: str, shape: tuple[int, ...], source: Strided, target: Strided) -> Step:
    """Copy shape's elements from one arrangement to another; they must not overlap.

    Permutations, crops, interleavings and concatenations are all of this kind. After axes that
    run on are joined at most four may be left.

    Raises:
        ValueError: more are left.
    """
    axes = _joined(shape, source.strides, target.strides)
    if len(axes) > 4:
        raise ValueError(f"{len(axes)} axes cannot be moved at once, at most 4")
    outer = axes[:-1][:1]  # the first axis is shared among threads, the others are one unit's
    axes = outer + ((1, 0, 0),) * (4 - len(axes)) + axes[len(outer) :]
    counts, sources, targets = zip(*axes, strict=True)
    contiguous = sources[3] == targets[3] == 1
    args = MoveArgs(
        source.place,
        target.place,
        *counts[1:],
        *(4 * s for s in sources),
        *(4 * s for s in targets),
    )
    return Step(
        name, jit.spec("moving", "move", contiguous=contiguous), args, counts[0] * counts[1]
    )


def _joined(shape: tuple[int, ...], source: tuple[int, ...], target: tuple[int, ...]) -> Axes:
    found: list[tuple[int, int, int]] = []
    for axis in zip(shape, source, target, strict=True):
        if axis[0] == 1:
            continue
        if found and all(found[-1][k] == axis[k] * axis[0] for k in (1, 2)):
            found[-1] = (found[-1][0] * axis[0], *axis[1:])
        else:
            found.append(axis)
    return tuple(found)


def pixels(view: View) -> Strided:
    """A view's axes in the order n, h, w, c."""
    row = view.w * view.ld
    return Strided(view.place, (view.h * row, row, view.ld, 1))


def planes(view: View) -> Strided:
    """A view's axes in the order n, c, h, w."""
    row = view.w * view.ld
    return Strided(view.place, (view.h * row, 1, row, view.ld))


def copy_step(name: str, x: View, y: View) -> Step:
    """Copy a value to a place of the same shape, such as a slice of a concatenation."""
    return move_step(name, (x.n, x.h, x.w, x.c), pixels(x), pixels(y))


def to_planes_step(name: str, x: View, place: Place) -> Step:
    """A value as a dense array in Caffe's order (n, c, h, w)."""
    shape = (x.n, x.c, x.h, x.w)
    return move_step(name, shape, planes(x), Strided(place, c_strides(shape)))


def to_pixels_step(name: str, place: Place, y: View) -> Step:
    """A dense array in Caffe's order (n, c, h, w) as a view."""
    shape = (y.n, y.c, y.h, y.w)
    return move_step(name, shape, Strided(place, c_strides(shape)), planes(y))


def image_step(
    name: str, place: Place, shape: tuple[int, int, int, int], y: View, top: int, left: int
) -> Step:
    """A dense array (n, c, h, w) as dense pixels with zeros around them.

    Args:
        name: the layer's.
        place: where the array is.
        shape: its shape.
        y: where it goes; without gaps, and at least as high and wide.
        top: rows of zeros above.
        left: columns of zeros at the left.
    """
    if y.ld != y.c:
        raise ValueError(f"the pixels must be dense: {y.c} channels, but {y.ld} apart")
    n, c, h, w = shape
    args = ImageArgs(place, 4 * h * w, c, h, w, top, left, y.h, y.w, y.place)
    kernel = jit.spec("moving", "image_to_pixels", channels=3 if c == 3 else 0)
    return Step(name, kernel, args, n * y.h)


def fill_step(name: str, y: View, value: float) -> Step:
    """Set a value's elements."""
    if y.ld == y.c:
        args = FillArgs(y.place, y.w * y.c, 4 * y.w * y.c, float(value))
        return Step(name, jit.spec("moving", "fill"), args, y.n * y.h)
    args = FillArgs(y.place, y.c, 4 * y.ld, float(value))
    return Step(name, jit.spec("moving", "fill"), args, y.pixels, grain=16)
