"""The array library that an array belongs to, so that one kernel text serves NumPy and CuPy."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def namespace(*arrays: Any) -> Any:
    """The module (numpy or cupy) whose functions take these arrays."""
    for array in arrays:
        if not isinstance(array, (np.ndarray, np.generic, int, float)):
            return sys.modules[type(array).__module__.partition(".")[0]]
    return np
