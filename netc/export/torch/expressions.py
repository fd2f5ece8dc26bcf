"""What rules write expressions with."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from netc.export.torch.writer import TorchLayer

Rule = Callable[[TorchLayer], None]


def function(text: str) -> Rule:
    """A function of one input; ``{}`` stands for it."""

    def rule(layer: TorchLayer) -> None:
        layer.give(text.format(layer.inputs[0]))

    return rule


def number(value: float) -> str:
    """The shortest text of a float32."""
    if not math.isfinite(value):
        return f'float("{value}")'
    return repr(float(np.format_float_positional(np.float32(value), unique=True, trim="0")))
