"""A counter-based generator of random numbers, whose every number depends on its use alone.

Philox4x32-10 of Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3 (SC11). There is no
state: a number is a function of a key and a counter, so that any thread can make any of them, a
backward pass can make them again in the place of a stored mask, and a resumed run draws what the
run that was not interrupted drew.

The layout, for kernels to reproduce::

    key      seed, layer
    counter  element // 4, draw, iteration, 0
    output   the word at element % 4; its upper 24 bits times 2^-24 are a number in [0, 1)

``layer`` is a layer's own number (:func:`layer_number`), ``draw`` tells apart several draws
of one layer, ``element`` counts a draw's numbers in Caffe's order (the last axis first). Seed and
iteration come to a graph as one input, the generator's key: see :func:`generator_key`.
"""

from __future__ import annotations

import zlib

from netc.ir.graph import Array
from netc.ir.types import Shape, count
from netc.numeric import np
from netc.ops.array import AnyArray, namespace

KEY_SHAPE: Shape = (4,)

_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF


def layer_number(name: str) -> int:
    """The number of a layer in random draws: the CRC-32 of its name."""
    return zlib.crc32(name.encode("utf-8", "replace"))


def generator_key(seed: int, iteration: int) -> Array:
    """The input of a graph that draws random numbers, float32 (4,).

    It has the 16 low and the 16 high bits of the seed, then those of the iteration: a float32 holds
    integers only below 2^24. Of larger numbers 32 bits count.
    """
    words = (seed & _LOW, iteration & _LOW)
    return np.array([half for w in words for half in (w & 0xFFFF, w >> 16)], np.float32)


def uniform(
    like: AnyArray, shape: Shape, layer: int, key: AnyArray | None = None, draw: int = 0
) -> AnyArray:
    """Uniform numbers in [0, 1), float32 of ``shape``, in the array library of ``like``.

    Args:
        like: an array of the library.
        shape: of the result.
        layer: the layer's number; 32 bits of it count.
        key: the generator's key; None for that of seed 0 and iteration 0.
        draw: which of the layer's draws it is, where it makes several.
    """
    xp, size = namespace(like), count(shape)
    seed, iteration = (0, 0) if key is None else _words(key)
    blocks = xp.arange(-(-size // 4), dtype=np.uint64)
    counter = [blocks, *(xp.full_like(blocks, word) for word in (draw, iteration, 0))]
    words = xp.stack(philox(counter, (seed, layer & _LOW)), axis=1).reshape(-1)[:size]
    return ((words >> np.uint64(8)).astype(np.float32) * np.float32(2**-24)).reshape(shape)


def iteration_of(key: AnyArray) -> int:
    """The iteration in a generator's key."""
    return _words(key)[1]


def _words(key: AnyArray) -> tuple[int, int]:
    """Seed and iteration of a generator's key."""
    halves = [int(half) for half in key.reshape(-1).tolist()]
    return halves[0] | halves[1] << 16, halves[2] | halves[3] << 16


def philox(counter: list[AnyArray], key: tuple[int, int]) -> list[AnyArray]:
    """Philox4x32-10: four words of 32 bits, in uint64 arrays, for each counter of four."""
    low, shift = np.uint64(_LOW), np.uint64(32)
    a, b, c, d = counter
    for turn in range(_ROUNDS):
        first, second = (np.uint64((k + turn * w) & _LOW) for k, w in zip(key, _WEYL, strict=True))
        left, right = (np.uint64(m) * x for m, x in zip(_MULTIPLIERS, (a, c), strict=True))
        a, b, c, d = (
            (right >> shift) ^ b ^ first,
            right & low,
            (left >> shift) ^ d ^ second,
            left & low,
        )
    return [a, b, c, d]
