"""Boxes that a detection net found: rows of DetectionOutput, in the pixels of the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from netc.images import Placement
from netc.ir.graph import Array, Graph
from netc.ops.catalog import has_role
from netc.ops.role import Role

COLUMNS = 7  # item, label, score, left, top, right, bottom; the last four from 0 to 1


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file that is fed, and where the part that the net sees lies in it."""

    path: str
    name: str
    placement: Placement

    def placed(self, left: float, top: float, right: float, bottom: float) -> Any:
        """Pixels of the picture, of places from 0 to 1 in what the net sees."""
        at = self.placement
        return (
            at.left + left * at.width,
            at.top + top * at.height,
            at.left + right * at.width,
            at.top + bottom * at.height,
        )


class Box(NamedTuple):
    """A box in a picture: pixels, or parts of the input where its picture is not known."""

    item: int
    kind: int
    label: str
    score: float
    left: float
    top: float
    right: float
    bottom: float

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        label = {"label": self.label} if self.label else {}
        box = [round(side, 4) for side in self[4:]]
        return {"item": self.item, "index": self.kind, **label, "score": self.score, "box": box}


def detections(graph: Graph) -> frozenset[str]:
    """The outputs that hold rows of boxes."""
    makers = graph.producers
    return frozenset(
        name
        for name in graph.outputs
        if name in makers and has_role(makers[name].op, Role.DETECTIONS)
    )


def boxes_of(rows: Array, labels: Sequence[str], pictures: Sequence[Picture | None]) -> list[Box]:
    """The boxes of a DetectionOutput's rows, those of each item by their scores.

    A row whose item or label is negative says that nothing was found
    (detection_output_layer.cpp: all of it is -1, or all but the item).
    """
    found = []
    for row in np.asarray(rows, np.float64).reshape(-1, COLUMNS):
        item, index = int(row[0]), int(row[1])
        if item < 0 or index < 0:
            continue
        label = labels[index] if 0 <= index < len(labels) else ""
        picture = pictures[item] if item < len(pictures) else None
        sides = picture.placed(*row[3:]) if picture else tuple(row[3:])
        found.append(Box(item, index, label, float(row[2]), *sides))
    return sorted(found, key=lambda box: (box.item, -box.score))
