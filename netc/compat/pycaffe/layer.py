"""Layers as scripts see them, and the base class of those that scripts write."""

from __future__ import annotations

from collections.abc import Iterable
from typing import SupportsIndex

import numpy as np

from netc.compat.pycaffe.blob import ParameterBlob


class BlobVec(list[ParameterBlob]):
    """A layer's parameters; ``add_blob`` makes one more, of zeros."""

    def add_blob(self, *shape: SupportsIndex) -> ParameterBlob:
        """One more parameter of this shape."""
        self.append(ParameterBlob(np.zeros([int(size) for size in shape], np.float32)))
        return self[-1]


class Layer:
    """A layer of a net (``Net.layers``), and the base class of Python layers.

    A class of a script's has ``setup(bottom, top)``, ``reshape(bottom, top)``,
    ``forward(bottom, top)`` and ``backward(top, propagate_down, bottom)``. They are given lists of
    blobs, write to ``data`` of the tops and ``diff`` of the bottoms, and call ``reshape`` of the
    tops.
    """

    type = "Python"
    param_str: str
    phase: int
    blobs: BlobVec


def own_layer(type: str, blobs: Iterable[ParameterBlob]) -> Layer:
    """A layer that netc computes."""
    made = Layer()
    made.type, made.blobs = type, BlobVec(blobs)
    return made
