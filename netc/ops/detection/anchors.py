"""Anchor boxes of region proposals, and how predicted offsets move and scale them.

After Faster R-CNN's generate_anchors.py and bbox_transform.py (Ren et al. 2015). A box is x_min,
y_min, x_max, y_max in pixels of the net's input; x_max and y_max belong to it, so that its width is
x_max - x_min + 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netc.numeric import np
from netc.ops.array import AnyArray

if TYPE_CHECKING:
    from netc.ops.detection.proposal import ProposalParams


def cell_anchors(params: ProposalParams) -> AnyArray:
    """The anchors of the cell at row 0, column 0: float32 (ratios * scales, 4), ratio by ratio."""
    ratios, scales = np.array(params.ratios), np.array(params.scales)
    whole = np.round if params.even else _half_up
    wide = whole(np.sqrt(params.base_size**2 / ratios))
    sides = np.stack([wide, whole(wide * ratios)], axis=-1)[:, None]
    half = (sides * scales[:, None] - 1).reshape(-1, 2) / 2
    centre = (params.base_size - 1) / 2
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def _half_up(values: AnyArray) -> AnyArray:
    return np.floor(values + 0.5)


def placed(anchors: AnyArray, cells: Sequence[int], stride: int) -> AnyArray:
    """Anchors at every cell of a feature map: float32 (cells * anchors, 4), row by row.

    Args:
        anchors: (anchors, 4), those of the cell at row 0, column 0.
        cells: rows and columns of the feature map.
        stride: pixels from one cell to the next.
    """
    down, across = np.meshgrid(np.arange(cells[0]), np.arange(cells[1]), indexing="ij")
    corners = np.stack([across, down, across, down], axis=-1).reshape(-1, 1, 4) * stride
    return (corners + anchors).reshape(-1, 4).astype(np.float32)


def placed_anchors(params: ProposalParams, cells: Sequence[int]) -> AnyArray:
    """The layer's anchors at every cell of a feature map: float32 (cells * anchors, 4).

    Args:
        params: the layer's parameters.
        cells: rows and columns of the feature map.
    """
    return placed(cell_anchors(params), cells, params.stride)


def moved_boxes(boxes: AnyArray, delta: AnyArray) -> AnyArray:
    """Boxes (cells * anchors, 4) moved and scaled by predicted offsets, in the order of ``boxes``.

    Args:
        boxes: (cells * anchors, 4), as :func:`placed` gives them.
        delta: (4 * anchors, rows, columns): of each anchor dx and dy, in parts of its width and
            height, and the logarithms of the factors of both.
    """
    return moved_rows(boxes, delta_rows(delta))


def delta_rows(delta: AnyArray) -> AnyArray:
    """Offsets (4 * anchors, rows, columns) in the order of anchors: (cells * anchors, 4)."""
    return delta.reshape(-1, 4, *delta.shape[1:]).transpose(2, 3, 0, 1).reshape(-1, 4)


def moved_rows(boxes: AnyArray, delta: AnyArray) -> AnyArray:
    """Boxes (n, 4) moved and scaled by offsets (n, 4)."""
    size = boxes[:, 2:] - boxes[:, :2] + 1
    centre = boxes[:, :2] + size / 2 + delta[:, :2] * size
    half = np.exp(delta[:, 2:]) * size / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def box_changes(boxes: AnyArray, truth: AnyArray) -> AnyArray:
    """Offsets (n, 4) from boxes to true boxes, (n, 4) each.

    dx and dy in parts of the box's width and height, and the logarithms of the factors of both.
    """
    side, wanted = boxes[:, 2:] - boxes[:, :2] + 1, truth[:, 2:] - truth[:, :2] + 1
    offset = (truth[:, :2] + wanted / 2 - boxes[:, :2] - side / 2) / side
    return np.concatenate([offset, np.log(wanted / side)], axis=1)
