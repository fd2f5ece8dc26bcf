"""transform_param on a whole batch: crop, mirror, mean and scale of pictures of one shape.

For small pictures most of the time goes to what is done once for each of them. Numbers are those of
:meth:`netc.sources.transform.Transform.apply`; random choices of all pictures of a pass come from
one generator, since one for each takes longer than all else that is done to a small picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from netc.ir.graph import Array
from netc.sources.augment import NONE
from netc.sources.base import stacked
from netc.sources.transform import Pixels, Transform

Window = tuple[slice, slice, slice]


def goes_together(transform: Transform) -> bool:
    """Whether :func:`transformed` does what a layer's text asks for: nothing is augmented."""
    plain = transform.resize is None and transform.noise is None
    return plain and transform.augment == NONE


def try_shape(transform: Transform, pixels: Pixels, what: str, *counters: int) -> None:
    """Raise what ``transform.apply`` raises; a picture of a shape that fitted is not tried."""
    if pixels.shape not in transform.fitted:
        transform.apply(pixels, what, *counters)
        transform.fitted.add(pixels.shape)


def size_of(transform: Transform, pixels: Pixels) -> int:
    """Bytes of a transformed picture."""
    high, wide = transform.crop or pixels.shape[1:]
    return 4 * len(pixels) * int(high * wide)


def transformed(
    transform: Transform,
    pictures: Sequence[Pixels],
    names: Callable[[], Sequence[str]],
    position: int,
) -> Array:
    """The pictures of a pass, float32 (pictures, channels, height, width).

    Args:
        transform: nothing is augmented.
        pictures: each tried by :func:`try_shape`.
        names: gives the pictures' names, for messages.
        position: the number of the pass.

    Raises:
        NetcError: bad-record, where the shapes of two differ.
    """
    channels, height, width = pictures[0].shape
    if any(picture.shape != pictures[0].shape for picture in pictures):
        described = names()
        rows = [transform.apply(p, described[i], position, i) for i, p in enumerate(pictures)]
        return stacked(rows, transform.source, described)
    high, wide = transform.crop or (height, width)
    windows, mirrored = _windows(transform, len(pictures), (high, wide), (height, width), position)
    made = np.empty((len(pictures), channels, high, wide), np.float32)
    np.stack([p[window] for p, window in zip(pictures, windows, strict=True)], out=made)
    if transform.mean is not None:
        for number, window in enumerate(windows):
            made[number] -= transform.mean[window]
    elif transform.values:
        made -= transform.means(channels, "the batch")
    made[mirrored] = made[mirrored, :, :, ::-1]
    if transform.scale != 1:
        made *= transform.scale
    return made


def _windows(
    transform: Transform, count: int, size: tuple[int, int], whole: tuple[int, int], position: int
) -> tuple[list[Window], list[int]]:
    """What is cut out of each picture of a pass, and which are mirrored."""
    generator = transform.generator(position)
    room = whole[0] - size[0], whole[1] - size[1]
    tops, lefts = ([free // 2] * count for free in room)
    if generator is not None and transform.source.phase == "TRAIN" and any(room):
        tops, lefts = (generator.integers(free + 1, size=count).tolist() for free in room)
    windows = [
        (slice(None), slice(top, top + size[0]), slice(left, left + size[1]))
        for top, left in zip(tops, lefts, strict=True)
    ]
    if generator is None or not transform.mirror:
        return windows, []
    return windows, np.flatnonzero(generator.integers(2, size=count)).tolist()
