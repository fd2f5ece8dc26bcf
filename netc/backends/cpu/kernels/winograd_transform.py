"""Products L d RT of constant matrices with a rectangle of vectors, as LLVM code."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from netc.backends.cpu.kernels.simd import emit_fma, same
from netc.backends.shared.cook_toom import Rows

Rectangle = list[list[ir.Value]]


def emit_transform(b: ir.IRBuilder, left: Rows, right: Rows, rectangle: Rectangle) -> Rectangle:
    """Left times rectangle times the transpose of right."""
    # First down the columns with ``left``, then along the rows of the result with ``right``.
    columns = [emit_product(b, left, column) for column in zip(*rectangle, strict=True)]
    return [emit_product(b, right, row) for row in zip(*columns, strict=True)]


def emit_product(b: ir.IRBuilder, matrix: Rows, vectors: Sequence[ir.Value]) -> list[ir.Value]:
    """Matrix times a column of vectors.

    Rows for the points p and -p differ in the signs of their odd terms only: such a pair is
    made as sum and difference of one even and one odd part.
    """
    # About half of the additions are saved by treating rows of p and -p together.
    made: dict[int, ir.Value] = {}
    for i, row in enumerate(matrix):
        if i in made:
            continue
        mirror = _mirror(matrix, i)
        if mirror is None:
            made[i] = _sum(b, row, vectors)
        else:
            even = _sum(b, [c if j % 2 == 0 else 0.0 for j, c in enumerate(row)], vectors)
            odd = _sum(b, [c if j % 2 else 0.0 for j, c in enumerate(row)], vectors)
            made[i], made[mirror] = b.fadd(even, odd), b.fsub(even, odd)
    return [made[i] for i in range(len(matrix))]


def _mirror(matrix: Rows, i: int) -> int | None:
    """The later row that equals row i but for the signs of its odd terms, if both kinds occur."""
    row = matrix[i]
    # A row that is all even or all odd has no partner worth sharing with.
    if not (any(row[::2]) and any(row[1::2])):
        return None
    wanted = tuple(c if j % 2 == 0 else -c for j, c in enumerate(row))
    return next((k for k in range(i + 1, len(matrix)) if matrix[k] == wanted), None)


def _sum(b: ir.IRBuilder, coefficients: Sequence[float], vectors: Sequence[ir.Value]) -> ir.Value:
    terms = [(c, v) for c, v in zip(coefficients, vectors, strict=True) if c]
    terms.sort(key=lambda term: term[0] != 1)  # a term without a product first
    (first, total), *rest = terms
    if first != 1:
        total = b.fmul(total, same(total.type.count, first))
    for c, v in rest:
        # Most coefficients are 1 or -1, and need no multiplication.
        if c in (1, -1):
            total = b.fadd(total, v) if c == 1 else b.fsub(total, v)
        else:
            total = emit_fma(b, v, same(v.type.count, c), total)
    return total
