"""The matrices of Winograd's minimal filtering algorithms F(m, r).

m outputs of an r-tap filter need m + r - 1 multiplications: y = AT ((G g) * (BT d)). The matrices
follow from evaluating polynomials at m + r - 2 points and at infinity (S. Winograd, "Arithmetic
Complexity of Computations", 1980; A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural
Networks", 2015). In two dimensions they are applied to columns and rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

_POINTS = tuple(Fraction(text) for text in "0 1 -1 2 -2 1/2 -1/2 3/4 -3/4".split())
Rows = tuple[tuple[float, ...], ...]


class TransformMatrices(NamedTuple):
    """``output``: AT, (m, m + r - 1). ``filter``: G, (m + r - 1, r). ``input``: BT, square."""

    output: Rows
    filter: Rows
    input: Rows


@dataclass(frozen=True, slots=True)
class Filtering:
    """F(m x n, r x s): both pairs are (vertical, horizontal).

    Args:
        outputs: of a tile.
        taps: of the filter. Where it has one tap, a tile has one output and nothing changes.
    """

    outputs: tuple[int, int]
    taps: tuple[int, int]

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of inputs that a tile reads."""
        return self.outputs[0] + self.taps[0] - 1, self.outputs[1] + self.taps[1] - 1

    @property
    def planes(self) -> int:
        """Values of a transformed tile."""
        return math.prod(self.sides)

    @property
    def matrices(self) -> tuple[TransformMatrices, TransformMatrices]:
        """The matrices that transform columns, and those that transform rows."""
        vertical, horizontal = zip(self.outputs, self.taps, strict=True)
        return matrices(*vertical), matrices(*horizontal)


@lru_cache
def matrices(outputs: int, taps: int) -> TransformMatrices:
    """The matrices of F(outputs, taps).

    Raises:
        ValueError: more points would be needed than give usable accuracy.
    """
    # The product of two polynomials of degrees outputs - 1 and taps - 1 is determined by its values
    # at this many points and at infinity, where only the leading coefficients count.
    count = outputs + taps - 2
    if not 0 <= count <= len(_POINTS):
        raise ValueError(f"F({outputs}, {taps}) needs {count} points, at most {len(_POINTS)} do")
    # Small points first: rounding errors grow with their powers.
    points = list(_POINTS[:count])
    # The denominators of Lagrange's interpolation; G has them, so that BT is of small numbers.
    scales = [math.prod(p - q for q in points if q != p) for p in points]
    # AT evaluates at the points transposed; the last column is the point at infinity.
    output = [[p**i for p in points] + [Fraction(i == outputs - 1)] for i in range(outputs)]
    filters = [[p**i / s for i in range(taps)] for p, s in zip(points, scales, strict=True)]
    filters.append([Fraction(i == taps - 1) for i in range(taps)])
    # BT: for each point the polynomial that vanishes at all others.
    inputs = [[*_expand([q for q in points if q != p]), Fraction(0)] for p in points]
    inputs.append(_expand(points))
    return TransformMatrices(_floats(output), _floats(filters), _floats(inputs))


def _expand(roots: list[Fraction]) -> list[Fraction]:
    """Coefficients of the product of (x - root), the constant first."""
    found = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *found], [*(-root * c for c in found), Fraction(0)]
        found = [a + b for a, b in zip(shifted, scaled, strict=True)]
    return found


def _floats(rows: list[list[Fraction]]) -> Rows:
    return tuple(tuple(float(v) for v in row) for row in rows)
