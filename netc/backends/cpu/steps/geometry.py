"""The sliding window of a convolution, deconvolution or pooling over pixels."""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Geometry:
    """The window of a convolution. Each pair is (vertical, horizontal).

    Output (i, j) sees rows i * stride - pad, and ``kernel`` rows from there on, each ``dilation``
    further; of a pooling those that lie in the input. How many outputs there are is said by the
    output's view. A global pooling has the input's size as kernel, stride 1 and no padding.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
