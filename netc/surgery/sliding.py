"""Scores of windows closer together than a net's stride, from several shifted passes.

A net of stride 32 gives a score every 32 pixels. Run again on the image shifted by 16 pixels, it
gives the scores between. All windows lie completely in the image, as if each had been cropped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array

Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def sliding_scores(
    run: Run,
    feeds: Mapping[str, Array],
    *,
    image: str,
    window: tuple[int, int],
    stride: tuple[int, int],
    step: int,
) -> dict[str, Array]:
    """Output -> scores (N, C, rows, columns) of windows that lie ``step`` pixels apart.

    Args:
        run: a fully convolutional net: (input -> array) -> (output -> array).
        feeds: its inputs.
        image: the input with the image, (N, C, H, W), at least as large as a window.
        window: height and width in pixels of the window of one score.
        stride: the net's stride in pixels.
        step: the distance of windows in the result in pixels; it must divide the stride.

    Raises:
        NetcError: bad-argument, where the image is too small or the step does not fit.
    """
    _check(feeds[image], window, stride, step)
    height, width = feeds[image].shape[2:]
    rows, columns = ((n - w) // step + 1 for n, w in zip((height, width), window, strict=True))
    found: dict[str, Array] = {}
    for top in range(0, min(stride[0], height - window[0] + 1), step):
        for left in range(0, min(stride[1], width - window[1] + 1), step):
            cut = _cut(feeds[image], (top, left), window, stride)
            for name, scores in run({**feeds, image: cut}).items():
                whole = found.setdefault(
                    name, np.zeros((*scores.shape[:2], rows, columns), np.float32)
                )
                part = whole[
                    :, :, top // step :: stride[0] // step, left // step :: stride[1] // step
                ]
                part[...] = scores
    return found


def _cut(
    image: Array, start: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]
) -> Array:
    """The image from a place on, as far as whole strides of windows go."""
    stops = []
    for axis in (0, 1):
        room = image.shape[2 + axis] - start[axis] - window[axis]
        stops.append(start[axis] + window[axis] + room // stride[axis] * stride[axis])
    return np.ascontiguousarray(image[:, :, start[0] : stops[0], start[1] : stops[1]])


def _check(image: Array, window: tuple[int, int], stride: tuple[int, int], step: int) -> None:
    if any(each == 0 or each % step for each in stride):
        message = (
            f"a step of {step} pixels does not divide the net's stride of {stride[0]}x{stride[1]}"
        )
        raise NetcError(Diagnostic("bad-argument", message))
    if image.shape[2] < window[0] or image.shape[3] < window[1]:
        message = (
            f"the image of {image.shape[2]}x{image.shape[3]} is smaller than a window of "
            f"{window[0]}x{window[1]}"
        )
        raise NetcError(Diagnostic("bad-argument", message))
