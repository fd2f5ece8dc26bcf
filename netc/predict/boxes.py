"""Detections: rows of DetectionOutput (detection_output_layer.cpp) in pixels of the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from netc.images import CropPlacement
from netc.ir.graph import Array, Graph
from netc.ops.catalog import has_role
from netc.ops.role import Role

COLUMNS = 7  # item, label, score, left, top, right, bottom; the last four from 0 to 1


@dataclass(frozen=True, slots=True)
class FedPicture:
    """An image file that is fed, and the rectangle of it that the net's input covers."""

    path: str
    name: str
    placement: CropPlacement

    def placed(self, left: float, top: float, right: float, bottom: float) -> Any:
        """Convert coordinates from 0 to 1 in the net's input to pixels of the picture."""
        at = self.placement
        return (
            at.left + left * at.width,
            at.top + top * at.height,
            at.left + right * at.width,
            at.top + bottom * at.height,
        )


class DetectedBox(NamedTuple):
    """A detected box: in pixels of its picture, or from 0 to 1 of the input without a picture.

    ``item`` is the index in the batch, ``kind`` the class.
    """

    item: int
    kind: int
    label: str
    score: float
    left: float
    top: float
    right: float
    bottom: float

    def to_json(self) -> dict[str, object]:
        """The box as plain values, sides rounded to four digits."""
        label = {"label": self.label} if self.label else {}
        box = [round(side, 4) for side in self[4:]]
        return {"item": self.item, "index": self.kind, **label, "score": self.score, "box": box}


def detections(graph: Graph) -> frozenset[str]:
    """The outputs of the graph that are made by DetectionOutput or a layer like it."""
    makers = graph.producers
    return frozenset(
        name
        for name in graph.outputs
        if name in makers and has_role(makers[name].op, Role.DETECTIONS)
    )


def boxes_of(
    rows: Array, labels: Sequence[str], pictures: Sequence[FedPicture | None]
) -> list[DetectedBox]:
    """The boxes in the rows of a DetectionOutput, best score first within each item.

    Rows are (item, label, score, left, top, right, bottom). One whose item or label is negative
    means that nothing was found (detection_output_layer.cpp: all is -1, or all but the item).
    """
    found = []
    for row in np.asarray(rows, np.float64).reshape(-1, COLUMNS):
        item, index = int(row[0]), int(row[1])
        if item < 0 or index < 0:
            continue
        label = labels[index] if 0 <= index < len(labels) else ""
        picture = pictures[item] if item < len(pictures) else None
        sides = picture.placed(*row[3:]) if picture else tuple(row[3:])
        found.append(DetectedBox(item, index, label, float(row[2]), *sides))
    return sorted(found, key=lambda box: (box.item, -box.score))
