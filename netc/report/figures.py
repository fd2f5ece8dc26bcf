"""Formats numbers, sizes, shapes and receptive fields for tables."""

from __future__ import annotations

from fractions import Fraction

from netc.analysis.receptive import ReceptiveField
from netc.ir.types import Shape, show

UNKNOWN = "?"
_STEPS = ("", "k", "M", "G", "T", "P")


def exact(number: int | None) -> str:
    """``138,357,544``; empty for 0."""
    if number is None:
        return UNKNOWN
    return f"{number:,}" if number else ""


def short(number: int | None, unit: str = "") -> str:
    """Three digits and a decimal prefix: ``15.5 G``, ``61.0 MB``; nothing for 0."""
    if number is None:
        return UNKNOWN
    if number == 0:
        return ""
    step, shown = 0, float(number)
    while shown >= 999.5 and step < len(_STEPS) - 1:
        step, shown = step + 1, shown / 1000
    digits = 0 if step == 0 or shown >= 99.95 else 1 if shown >= 9.995 else 2
    return f"{shown:.{digits}f} {_STEPS[step]}{unit}".strip()


def size(number: int | None) -> str:
    """Bytes in decimal units: ``61.0 MB`` are 61 million bytes."""
    return short(number, "B")


def blob_text(shape: Shape | None) -> str:
    """A blob's shape in a table: ``64x112x112``; ``scalar`` for no axes."""
    return show(shape, "scalar", UNKNOWN)


def field_text(field: ReceptiveField | None) -> str:
    """Size, stride and padding of a receptive field: ``195/32 p99``, ``7x1/1 p3x0``.

    The stride is left out, as in ``404 p90``, where all elements depend on the same input.
    """
    if field is None or not field.axes:
        return ""
    text = _axes(field.size) + (f"/{_axes(field.stride)}" if any(field.stride) else "")
    return f"{text} p{_axes(field.padding)}" if any(field.padding) else text


def _axes(values: tuple[int | Fraction, ...]) -> str:
    return str(values[0]) if len(set(values)) == 1 else show(values)
