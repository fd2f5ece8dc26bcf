"""Anchors of region proposals, and the boxes that changes make of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from netc.ops.array import AnyArray

if TYPE_CHECKING:
    from netc.ops.proposal import ProposalParams


def cell_anchors(params: ProposalParams) -> AnyArray:
    """(anchors, 4) at the first cell, ratio by ratio."""
    ratios, scales = np.array(params.ratios), np.array(params.scales)
    wide = np.floor(np.sqrt(params.base_size**2 / ratios) + 0.5)
    sides = np.stack([wide, np.floor(wide * ratios + 0.5)], axis=-1)[:, None]
    half = (sides * scales[:, None] - 1).reshape(-1, 2) / 2
    centre = (params.base_size - 1) / 2
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def placed(anchors: AnyArray, cells: Sequence[int], stride: int) -> AnyArray:
    """The anchors at every cell, (cells * anchors, 4)."""
    down, across = np.meshgrid(np.arange(cells[0]), np.arange(cells[1]), indexing="ij")
    corners = np.stack([across, down, across, down], axis=-1).reshape(-1, 1, 4) * stride
    return (corners + anchors).reshape(-1, 4).astype(np.float32)


def placed_anchors(params: ProposalParams, cells: Sequence[int]) -> AnyArray:
    """The anchors at every cell of these rows and columns, (cells * anchors, 4)."""
    return placed(cell_anchors(params), cells, params.stride)


def moved_boxes(boxes: AnyArray, delta: AnyArray) -> AnyArray:
    """Boxes moved and scaled by dx, dy, log w, log h, given as (4 * anchors, rows, columns)."""
    delta = delta.reshape(-1, 4, *delta.shape[1:]).transpose(2, 3, 0, 1).reshape(-1, 4)
    size = boxes[:, 2:] - boxes[:, :2] + 1
    centre = boxes[:, :2] + size / 2 + delta[:, :2] * size
    half = np.exp(delta[:, 2:]) * size / 2
    return np.concatenate([centre - half, centre + half], axis=1)
