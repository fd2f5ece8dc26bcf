"""Argument types for numbers with bounds: invalid values are errors of the argument."""

from __future__ import annotations

import argparse
import math

MAX_SIZE = 2**31 - 1  # the greatest size that Caffe's blobs know


def positive(text: str) -> int:
    """A whole number of at least 1."""
    return _whole(text, 1)


def natural(text: str) -> int:
    """A whole number of at least 0."""
    return _whole(text, 0)


def _whole(text: str, minimum: int) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text[:20]) < minimum:
        raise argparse.ArgumentTypeError(f"`{text}` is no whole number of at least {minimum}")
    if len(text) > 20 or int(text) > MAX_SIZE:
        raise argparse.ArgumentTypeError(f"`{text}` is more than {MAX_SIZE:,}")
    return int(text)


def level(text: str) -> int:
    """A net's level: a whole number of 32 bits, which may be negative."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 10 or int(digits) > MAX_SIZE:
        raise argparse.ArgumentTypeError(f"`{text}` is no whole number of 32 bits")
    return int(text)


def finite(text: str) -> float:
    """A number that is neither infinite nor not-a-number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"`{text}` is no finite number")
    return value


def above_zero(text: str) -> float:
    """A finite number greater than 0."""
    value = finite(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"`{text}` is not greater than 0")
    return value
