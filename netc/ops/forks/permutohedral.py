"""Gaussian filtering in a feature space by the permutohedral lattice (Adams, Baek and Davis 2010).

modified_permutohedral.cpp of torrvision/caffe. Each point's value is spread over the d + 1 corners
of the simplex that its d features lie in, the corners' values are blurred along d + 1 axes, and
each point reads its corners back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from netc.numeric import np
from netc.ops.array import AnyArray

_CODES = 2**62  # corners are numbered in 64 bits where their extent allows


@dataclass(frozen=True, slots=True)
class Lattice:
    """The corners that points lie between, and the corners next to each.

    Args:
        corners: (points, d + 1) numbers of each point's corners, from 1 on.
        shares: (points, d + 1) barycentric coordinates of each point, summing to 1.
        beside: (d + 1, 2, corners) numbers of the corners before and behind along each axis; 0
            where there is none.
    """

    corners: AnyArray
    shares: AnyArray
    beside: AnyArray

    def filtered(self, values: AnyArray, turned: bool = False) -> AnyArray:
        """Values (channels, points) filtered, float64; ``turned`` gives the filter's transpose."""
        number = self.beside.shape[2]
        flat, shares = self.corners.reshape(-1), self.shares
        made = np.empty(values.shape, np.float64)
        axes = range(len(self.beside))
        for at, row in enumerate(values):
            spread = (row[:, None] * shares).reshape(-1)
            held = np.bincount(flat, spread, minlength=number + 1)
            for axis in reversed(axes) if turned else axes:
                before, behind = self.beside[axis]
                held[1:] += 0.5 * (held[before] + held[behind])
            made[at] = (held[self.corners] * shares).sum(axis=1)
        return made / (1 + 2.0 ** -(len(self.beside) - 1))


def lattice_of(features: AnyArray) -> Lattice:
    """The lattice of points with these features, float32 (points, d).

    Raises:
        OverflowError: the features are too far apart for corners to be numbered in 64 bits.
    """
    points, d = features.shape
    spread = math.sqrt(2 / 3) * (d + 1)  # of the filter, page 6
    scale = [spread / math.sqrt((i + 2) * (i + 1)) for i in range(d)]
    scaled = (features * np.array(scale, np.float32)).astype(np.float32)
    raised = _raised(scaled)
    nearest = np.rint(raised / np.float32(d + 1)) * np.float32(d + 1)
    rank, nearest = _ranked(raised, nearest)
    shares = _shares(raised, nearest, rank)
    canonical = np.array([
        [i if j <= d - i else i - (d + 1) for j in range(d + 1)] for i in range(d + 1)
    ])  # fmt: skip
    keys = nearest[:, None, :d].astype(np.int64) + canonical[:, rank[:, :d]].transpose(1, 0, 2)
    found, corners = np.unique(_codes(keys.reshape(-1, d), keys), return_inverse=True)
    first = np.zeros(len(found), np.int64)
    first[corners.reshape(-1)[::-1]] = np.arange(corners.size)[::-1]
    own = keys.reshape(-1, d)[first]
    beside = [_beside(own, axis, keys, found) for axis in range(d + 1)]
    return Lattice(corners.reshape(points, d + 1) + 1, shares, np.array(beside))


def _raised(scaled: AnyArray) -> AnyArray:
    """Points on the plane through 0 on which coordinates sum to 0, page 5."""
    points, d = scaled.shape
    raised = np.zeros((points, d + 1), np.float32)
    total = np.zeros(points, np.float32)
    for j in range(d, 0, -1):
        raised[:, j] = total - np.float32(j) * scaled[:, j - 1]
        total = total + scaled[:, j - 1]
    raised[:, 0] = total
    return raised


def _ranked(raised: AnyArray, nearest: AnyArray) -> tuple[AnyArray, AnyArray]:
    """The order of each point's coordinates in its simplex, and the corner of colour 0."""
    size = raised.shape[1]
    off = np.rint(nearest.sum(axis=1) / size).astype(np.int64)
    remainder = raised - nearest
    rank = np.zeros(raised.shape, np.int64)
    for i in range(size):
        for j in range(i + 1, size):
            less = remainder[:, i] < remainder[:, j]
            rank[:, i] += less
            rank[:, j] += ~less
    rank += off[:, None]
    moved = (rank < 0) * size - (rank >= size) * size  # back to the plane
    return rank + moved, nearest + moved.astype(np.float32)


def _shares(raised: AnyArray, nearest: AnyArray, rank: AnyArray) -> AnyArray:
    """Barycentric coordinates, page 10."""
    points, size = raised.shape
    part = ((raised - nearest) / np.float32(size)).astype(np.float64)
    shares = np.zeros((points, size + 1))
    at = np.arange(points)
    for i in range(size):
        place = size - 1 - rank[:, i]
        shares[at, place] += part[:, i]
        shares[at, place + 1] -= part[:, i]
    shares[:, 0] += 1 + shares[:, size]
    return shares[:, :size]


def _codes(wanted: AnyArray, keys: AnyArray) -> AnyArray:
    """A number for each corner; corners a step beside those of ``keys`` have numbers too."""
    d = wanted.shape[1]
    flat = keys.reshape(-1, d)
    low, high = flat.min(axis=0) - d, flat.max(axis=0) + d
    extent = [int(size) for size in high - low + 1]
    if math.prod(extent) >= _CODES:
        raise OverflowError("the features are too far apart for the lattice")
    steps = np.cumprod([1, *extent[:-1]])
    result: AnyArray = (wanted - low) @ steps
    return result


def _beside(own: AnyArray, axis: int, keys: AnyArray, found: AnyArray) -> AnyArray:
    """The numbers of the corners before and behind each along an axis; 0 for none."""
    d = own.shape[1]
    step = np.full(d, -1)
    if axis < d:
        step[axis] = d
    made = []
    for moved in (own + step, own - step):
        codes = _codes(moved, keys)
        at = np.searchsorted(found, codes).clip(0, len(found) - 1)
        made.append(np.where(found[at] == codes, at + 1, 0))
    return np.array(made)
