"""IoU, GIoU, DIoU and CIoU of boxes, and their derivatives, for YOLOv3's loss.

bbox_util.cpp and yolov3_layer.cpp of eric612/MobileNet-YOLO; GIoU: Rezatofighi et al. 2019, DIoU
and CIoU: Zheng et al. 2020. A box is centre and size in parts of the image. As in darknet's ports
DIoU takes the distance to the power of 0.6, and the derivatives by width and height are those of
moving both edges by the whole change, not by half of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from netc.numeric import np
from netc.ops.array import AnyArray

MSE, IOU, GIOU, DIOU, CIOU = "MSE", "IOU", "GIOU", "DIOU", "CIOU"
_SHAPES = 4 / math.pi**2  # what CIoU makes of two angles


def overlaps(box: AnyArray, others: AnyArray) -> AnyArray:
    """Intersection over union, (n,), of a box (4,) with others (n, 4), given by centre and size.

    Of boxes (n, 4) each with the one in its row.
    """
    low = np.maximum(box[..., :2] - box[..., 2:] / 2, others[:, :2] - others[:, 2:] / 2)
    high = np.minimum(box[..., :2] + box[..., 2:] / 2, others[:, :2] + others[:, 2:] / 2)
    sides = high - low
    common = np.where((sides < 0).any(axis=1), np.float32(0), sides.prod(axis=1))
    result: AnyArray = common / (box[..., 2:].prod(axis=-1) + others[:, 2:].prod(axis=1) - common)
    return result


def nms_keep(boxes: AnyArray, limit: float) -> list[int]:
    """Which boxes overlap no earlier one that stays by this much or more.

    Only the boxes that are left are compared with the next one. YOLOv3 has a box as often as it has
    classes: where an IoU of 1 is over the limit, copies share the first one's fate, and go at once.

    Args:
        boxes: float32 (n, 4), by centre and size.
        limit: the least intersection over union that suppresses a box.

    Returns:
        Indices of the boxes that stay, in order.
    """
    apart = _apart(boxes, limit)
    left = _without_copies(boxes, limit, np.flatnonzero(~apart))
    rest = boxes[left]
    chosen = np.flatnonzero(apart).tolist()
    while len(left):
        chosen.append(int(left[0]))
        stays = ~(overlaps(rest[0], rest[1:]) >= np.float32(limit))
        left, rest = left[1:][stays], rest[1:][stays]
    return sorted(chosen)


def _apart(boxes: AnyArray, limit: float) -> AnyArray:
    """The boxes, (n,), whose IoU with any is 0 or no number, where that suppresses none.

    An exponential of a large number is infinite, one of a small number 0.
    """
    sides = boxes[:, 2:]
    usual = np.isfinite(boxes).all(axis=1) & np.isfinite(sides.prod(axis=1))
    result: AnyArray = ~(usual & (sides != 0).all(axis=1)) & (limit > 0)
    return result


def _without_copies(boxes: AnyArray, limit: float, given: AnyArray) -> AnyArray:
    """Given indices of boxes, but for those of copies that the first of them suppresses."""
    boxes = boxes[given]
    order = np.lexsort(boxes.T)  # stable: of equal boxes the first comes first
    same = (boxes[order[1:]] == boxes[order[:-1]]).all(axis=1)
    stays = np.ones(len(boxes), dtype=bool)
    stays[order[1:][same]] = False
    stays |= ~(overlaps(boxes, boxes) >= np.float32(limit))
    result: AnyArray = given[stays]
    return result


def likeness(kind: str, truth: AnyArray, boxes: AnyArray) -> AnyArray:
    """IoU, GIoU, DIoU or CIoU, (n,), of a true box (4,) with boxes (n, 4); MSE takes IoU."""
    iou = overlaps(truth, boxes)
    if kind in (MSE, IOU):
        return iou
    low = np.minimum(truth[:2] - truth[2:] / 2, boxes[:, :2] - boxes[:, 2:] / 2)
    high = np.maximum(truth[:2] + truth[2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2)
    around = high - low  # of the least box that holds both
    whole = around.prod(axis=1) if kind == GIOU else (around**2).sum(axis=1)
    taken = _taken_off(kind, truth, boxes, iou, whole)
    return np.where(whole == 0, iou, iou - taken).astype(iou.dtype)


def _taken_off(
    kind: str, truth: AnyArray, boxes: AnyArray, iou: AnyArray, whole: AnyArray
) -> AnyArray:
    if kind == GIOU:
        common = iou * (truth[2:].prod() + boxes[:, 2:].prod(axis=1)) / (1 + iou)
        union = truth[2:].prod() + boxes[:, 2:].prod(axis=1) - common
        result: AnyArray = (whole - union) / whole
        return result
    distance = ((truth[:2] - boxes[:, :2]) ** 2).sum(axis=1) / whole
    if kind == DIOU:
        result = distance**0.6
        return result
    angle = _SHAPES * (np.arctan(truth[2] / truth[3]) - np.arctan(boxes[:, 2] / boxes[:, 3])) ** 2
    result = distance + angle * angle / (1 - iou + angle + 1e-6)
    return result


@dataclass(frozen=True, slots=True)
class _Pair:
    """Edges of a predicted box and a true one, and the sides of what they have in common."""

    box: tuple[float, ...]
    truth: tuple[float, ...]

    @property
    def edges(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Left, top, right, bottom of each."""
        made = []
        for x, y, w, h in (self.box, self.truth):
            made.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
        return made[0], made[1]

    @property
    def sides(self) -> tuple[float, float]:
        """Width and height of the intersection; negative where there is none."""
        one, two = self.edges
        return min(one[2], two[2]) - max(one[0], two[0]), min(one[3], two[3]) - max(one[1], two[1])

    @property
    def around(self) -> tuple[float, float]:
        """Width and height of the least box that holds both."""
        one, two = self.edges
        return max(one[2], two[2]) - min(one[0], two[0]), max(one[3], two[3]) - min(one[1], two[1])

    @property
    def areas(self) -> tuple[float, float]:
        """Of the intersection, which may be a product of two negative sides, and of the union."""
        common = self.sides[0] * self.sides[1]
        return common, self.box[2] * self.box[3] + self.truth[2] * self.truth[3] - common


def growth(kind: str, box: AnyArray, truth: AnyArray) -> tuple[float, float, float, float]:
    """Derivatives of an overlap by the predicted box's x, y, width and height.

    Args:
        kind: IOU, GIOU, DIOU or CIOU.
        box: the predicted box (4,); a side of 0 counts as 1.
        truth: the true box (4,).
    """
    x, y, w, h = (float(number) for number in box)
    pair = _Pair((x, y, w or 1.0, h or 1.0), tuple(float(number) for number in truth))
    disjoint = min(pair.sides) <= 0
    iou = _by_edges(pair)
    if kind == GIOU:
        extra = _hull_by_edges(pair)
        edges = extra if disjoint else tuple(a + b for a, b in zip(iou, extra, strict=True))
        return _centred(edges)
    grown = _centred(iou)
    if kind == IOU:
        return grown
    nearer = _distance(pair, kind == CIOU)
    one, two, three, four = nearer
    if disjoint:
        return one, two, three, four
    return grown[0] + one, grown[1] + two, grown[2] + three, grown[3] + four


def _centred(edges: tuple[float, ...]) -> tuple[float, float, float, float]:
    """From edges to centre and size; a size's change is not halved."""
    left, top, right, bottom = edges
    return left + right, top + bottom, right - left, bottom - top


def _area_by_edges(pair: _Pair) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What intersection and union change by with the left, top, right and bottom edge."""
    one, two = pair.edges
    wide, high = pair.sides
    common = (
        -high if one[0] > two[0] else 0.0,
        -wide if one[1] > two[1] else 0.0,
        high if one[2] < two[2] else 0.0,
        wide if one[3] < two[3] else 0.0,
    )
    own = (-pair.box[3], -pair.box[2], pair.box[3], pair.box[2])
    return common, tuple(a - b for a, b in zip(own, common, strict=True))


def _by_edges(pair: _Pair) -> tuple[float, ...]:
    common, union = pair.areas
    if union <= 0:
        return (0.0,) * 4
    by_common, by_union = _area_by_edges(pair)
    return tuple(
        (union * a - common * b) / union**2 for a, b in zip(by_common, by_union, strict=True)
    )


def _hull_by_edges(pair: _Pair) -> tuple[float, ...]:
    """GIoU's share: union over the least box that holds both."""
    one, two = pair.edges
    wide, high = (
        max(one[2], two[2]) - min(one[0], two[0]),
        max(one[3], two[3]) - min(one[1], two[1]),
    )
    hull, union = wide * high, pair.areas[1]
    if hull <= 0:
        return (0.0,) * 4
    by_hull = (
        -high if one[0] < two[0] else 0.0,
        -wide if one[1] < two[1] else 0.0,
        high if one[2] > two[2] else 0.0,
        wide if one[3] > two[3] else 0.0,
    )
    by_union = _area_by_edges(pair)[1]
    return tuple((hull * a - union * b) / hull**2 for a, b in zip(by_union, by_hull, strict=True))


def _distance(pair: _Pair, angles: bool) -> tuple[float, ...]:
    """DIoU's share, the distance of the centres over the diagonal around both, and CIoU's."""
    one, two = pair.edges
    wide, high = (
        max(one[2], two[2]) - min(one[0], two[0]),
        max(one[3], two[3]) - min(one[1], two[1]),
    )
    whole = wide * wide + high * high
    offset = (pair.truth[0] - pair.box[0], pair.truth[1] - pair.box[1])
    far = offset[0] ** 2 + offset[1] ** 2
    turned = _angles(pair) if angles else (0.0, 0.0)
    if whole <= 0:
        return (0.0,) * 4
    made = []
    for axis, side in enumerate((wide, high)):
        less, more = one[axis] < two[axis], one[axis + 2] > two[axis + 2]
        by_centre, by_size = more - less, (less + more) / 2
        made.append((2 * offset[axis] * whole - 2 * side * by_centre * far) / whole**2)
        made.append(2 * side * by_size * far / whole**2 + turned[axis])
    return made[0], made[2], made[1], made[3]


def _angles(pair: _Pair) -> tuple[float, float]:
    """CIoU's share by width and height: how unlike the boxes' proportions are."""
    turn = math.atan(pair.truth[2] / pair.truth[3]) - math.atan(pair.box[2] / pair.box[3])
    common, union = pair.areas
    angle = _SHAPES * turn * turn
    weight = angle / (1 - common / union + angle + 1e-6)
    return weight * 2 * _SHAPES * turn * pair.box[3], -weight * 2 * _SHAPES * turn * pair.box[2]
