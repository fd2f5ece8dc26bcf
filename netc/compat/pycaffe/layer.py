"""Layers as scripts see them."""

from __future__ import annotations

from dataclasses import dataclass

from netc.compat.pycaffe.blob import Parameter


@dataclass(frozen=True, slots=True)
class LayerView:
    """A layer's type and its trained arrays (Net.layers of pycaffe)."""

    type: str
    blobs: list[Parameter]
