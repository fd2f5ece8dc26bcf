"""Boxes of MS-CNN and Cascade R-CNN, as offsets from a grid's fields or from regions.

bbox_util.cpp of zhaoweicai/cascade-rcnn and zhaoweicai/mscnn. A field is a reference box around a
cell of a feature map. Boxes are in pixels of the net's input; maxima are pixels that belong to the
box, so that its width is x_max - x_min + 1.
"""

from __future__ import annotations

from typing import NamedTuple

from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.fields import bad_value, fork_field, reject_unknown_fields
from netc.schema.message import Message


class Regression(NamedTuple):
    """How box offsets are normalised: (offset - ``mean``) / ``deviation``, four numbers each.

    ``aware``: each class has offsets of its own; else all foreground classes share those of class
    1.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    aware: bool


def parse_regression(layer: Message) -> Regression:
    """The fields of ``bbox_reg_param``; mean 0 and deviation 1 where either is not given.

    Raises:
        NetcError: unsupported-field, value-count or out-of-range, at the field.
    """
    param = reject_unknown_fields(layer.get("bbox_reg_param"), "bbox_mean", "bbox_std", "cls_aware")
    mean, deviation = param.get("bbox_mean"), param.get("bbox_std")
    if not mean or not deviation:
        mean, deviation = (0.0,) * 4, (1.0,) * 4
    for name, values in (("bbox_mean", mean), ("bbox_std", deviation)):
        if len(values) != 4:
            raise param.error(name, "value-count", f"`{name}` is given {len(values)} times, not 4")
    if not all(value > 0 for value in deviation):
        raise bad_value(param, "bbox_std", "must be greater than 0")
    return Regression(tuple(mean), tuple(deviation), fork_field(param, "cls_aware", True))


def scaled(coded: AnyArray, regression: Regression, axis: int) -> AnyArray:
    """Offsets before they were normalised, ``coded`` * deviation + mean; ``axis`` has the four."""
    shape = [1] * coded.ndim
    shape[axis] = 4
    mean, deviation = (np.array(v, np.float32).reshape(shape) for v in regression[:2])
    return coded * deviation + mean


class Grid(NamedTuple):
    """The fields around each cell of a feature map, and what bounds the decoded boxes.

    Args:
        widths, heights: of each field, in pixels.
        stride: pixels from one cell to the next.
        shift: a box's centre lies within 1 / ``shift`` of a field's size from the cell's.
        growth: a box's sides are at most ``growth`` times the field's, and at least 1 / ``growth``.
    """

    widths: tuple[float, ...]
    heights: tuple[float, ...]
    stride: float
    shift: float
    growth: float


def boxes_on_grid(coded: AnyArray, regression: Regression, grid: Grid) -> AnyArray:
    """Left, top, width and height in pixels, (n, 4, rows, columns), of offsets of that shape.

    Item i is decoded by field i modulo the number of fields. Offsets are clipped as :class:`Grid`
    says.
    """
    number, _, rows, columns = coded.shape
    shift, growth = np.float32(1 / grid.shift), np.float32(np.log(grid.growth))
    values = scaled(coded, regression, 1)
    place, size = values[:, :2].clip(-shift, shift), values[:, 2:].clip(-growth, growth)
    fields = np.array([grid.widths, grid.heights], np.float32).T
    field = fields[np.arange(number) % len(fields)][:, :, None, None]
    across, down = np.meshgrid(np.arange(columns), np.arange(rows))
    cells = (np.stack([across, down]) + np.float32(0.5)) * np.float32(grid.stride)
    sides = field * np.exp(size)
    corner = place * field + cells - sides / 2
    return np.concatenate([corner, sides], axis=1).astype(np.float32)


def boxes_by_regions(coded: AnyArray, regions: AnyArray, regression: Regression) -> AnyArray:
    """Corners, (n, classes, 4), of boxes given as offsets (n, 4 * classes) from regions (n, 4)."""
    values = scaled(coded.reshape(len(coded), -1, 4), regression, 2)
    sides = (regions[:, 2:] - regions[:, :2] + 1)[:, None]
    centre = np.float32(0.5) * (regions[:, 2:] + regions[:, :2])[:, None]
    size = sides * np.exp(values[..., 2:])
    low = values[..., :2] * sides + centre - (size - 1) / 2
    return np.concatenate([low, low + size - 1], axis=2).astype(np.float32)


def area(boxes: AnyArray) -> AnyArray:
    """Areas in pixels, (n,), of boxes given by corners (n, 4); 0 where a side is negative."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.where((sides < 0).any(axis=1), np.float32(0), (sides + 1).prod(axis=1))


def overlap_with(box: AnyArray, others: AnyArray, mode: str = "IOU") -> AnyArray:
    """Overlap of a box (4,) with each of others (n, 4), as shares (n,).

    Args:
        box, others: corners, in pixels. Boxes that share a single row of pixels do not overlap,
            those that share a column do.
        mode: what the intersection is divided by: "IOU" the union, "IOMU" the smaller area, "IOFU"
            the area of ``box``.
    """
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    disjoint = (low[:, 0] > high[:, 0]) | (low[:, 1] >= high[:, 1])
    common = np.where(disjoint, np.float32(0), (high - low + 1).prod(axis=1))
    return _share(common, area(box[None])[0], area(others), mode)


def overlap_by_sides(
    box: AnyArray, others: AnyArray, mode: str = "IOU", whole_pixels: bool = True
) -> AnyArray:
    """Overlap of a box (4,) with each of others (n, 4), left, top, width and height, as shares.

    Args:
        box, others: in pixels; a box without width or height overlaps none.
        mode: as for :func:`overlap_with`.
        whole_pixels: boxes that meet by less than a pixel are apart, as for Cascade R-CNN
            (JaccardOverlap); else they overlap by that, as for MS-CNN (BoxIOU).
    """
    border = 1 if whole_pixels else 0
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[:2] + box[2:], others[:, :2] + others[:, 2:]) - border
    apart = low > high if whole_pixels else low >= high
    common = np.where(apart.any(axis=1), np.float32(0), (high - low + border).prod(axis=1))
    there = (box[2:] > 0).all() & (others[:, 2:] > 0).all(axis=1)
    own, their = box[2:].prod(), np.where(there, others[:, 2:].prod(axis=1), np.float32(0))
    return _share(common, own, their, mode)


def _share(common: AnyArray, own: AnyArray, their: AnyArray, mode: str) -> AnyArray:
    whole = {"IOMU": np.minimum(own, their), "IOFU": np.full_like(their, own)}.get(
        mode, own + their - common
    )
    there = (own > 0) & (their > 0) & (whole > 0)
    return np.where(there, common / np.where(there, whole, 1), np.float32(0))


def thinned(boxes: AnyArray, threshold: float, mode: str, by_sides: bool = False) -> list[int]:
    """Non-maximum suppression: indices of the boxes that no better kept one overlaps too much.

    Args:
        boxes: corners (n, 4), the best first.
        threshold: the largest overlap allowed.
        mode: as for :func:`overlap_with`.
        by_sides: the boxes are MS-CNN's: left, top, width and height, of parts of pixels.
    """
    free = np.ones(len(boxes), dtype=bool)
    chosen = []
    for at in range(len(boxes)):
        if free[at]:
            chosen.append(at)
            rest = _overlaps(boxes[at], boxes[at + 1 :], mode, by_sides)
            free[at + 1 :] &= ~(rest > np.float32(threshold))
    return chosen


def _overlaps(box: AnyArray, others: AnyArray, mode: str, by_sides: bool) -> AnyArray:
    if by_sides:
        return overlap_by_sides(box, others, mode, whole_pixels=False)
    return overlap_with(box, others, mode)


def no_region(tops: int) -> tuple[AnyArray, ...]:
    """The tops where no box is found: a region (1, 5, 1, 1), and a row of zeros (1, 6, 1, 1)."""
    region = np.array([[0, 1, 1, 10, 10]], np.float32)
    return tuple(a.reshape(*a.shape, 1, 1) for a in (region, np.zeros((1, 6), np.float32))[:tops])


def rows_of(found: Arrays, tops: int) -> tuple[AnyArray, ...]:
    """Rows (n, 6) of image, corners and score of each image as tops, float32.

    Regions (boxes, 5, 1, 1), and with ``tops`` 2 also (boxes, 6, 1, 1), which has the score.
    """
    rows = np.concatenate(found) if found else np.zeros((0, 6), np.float32)
    if not len(rows):
        return no_region(tops)
    rows = rows.astype(np.float32)
    return tuple(a.reshape(*a.shape, 1, 1) for a in (rows[:, :5], rows)[:tops])
