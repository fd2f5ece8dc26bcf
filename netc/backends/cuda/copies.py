"""Copies between callers' arrays and stored values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netc.backends.cuda.device import KernelCall
from netc.backends.cuda.emission import (
    THREADS,
    blocks,
)
from netc.backends.cuda.emit.moves import merged
from netc.backends.cuda.source import Kernel
from netc.backends.shared.views import View
from netc.ir.types import Shape, count
from netc.ops.array import AnyArray


def edge_copy(
    kernel: Kernel, shape: Shape, source: Sequence[int], target: Sequence[int]
) -> KernelCall | None:
    """The copying of a value to or from a caller's array, but for both addresses."""
    if count(shape) == 0:
        return None
    sizes, (own, others) = merged(shape, source, target)
    numbers = map(np.int32, (count(shape), *sizes[1:]))
    strides = map(np.int64, (*own, *others))
    return KernelCall(kernel, blocks(count(shape)), THREADS, (*numbers, *strides))


def image_copy(kernel: Kernel, view: View, strides: Sequence[int]) -> KernelCall | None:
    """The copying of a caller's images to pixels that end in zeros, but for both addresses."""
    if view.count == 0:
        return None
    numbers = map(np.int32, (view.pixels, view.h, view.w))
    return KernelCall(kernel, blocks(view.pixels), THREADS, (*numbers, *map(np.int64, strides)))


def in_few_pieces(array: AnyArray) -> AnyArray:
    """An array that the copying kernel can read, which takes four axes: itself or a copy."""
    return array if array.ndim <= 4 or array.flags.c_contiguous else array.copy(order="C")
