"""Steps of the detection outputs of YOLOv2 and YOLOv3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netc.backends.cpu import jit
from netc.backends.cpu.box_args import YoloArgs, YoloRowsArgs
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.boxes import RowsTarget, sorting_scratch
from netc.backends.shared.views import Place, View, moved

_BOX, _INT = 6, 2  # floats of a box, and of an int64


@dataclass(frozen=True, slots=True)
class YoloLevel:
    """A map, its anchors, and what their sizes are parts of: width and height."""

    map: View
    anchors: Sequence[tuple[float, float]]
    image: tuple[float, float]


@dataclass(frozen=True, slots=True)
class YoloSteps:
    """A detection output of YOLO's.

    Args:
        levels: the maps.
        classes: how many.
        least: of a score; above it where ``each``.
        overlap: from which on a box is dropped.
        each: every class gives a box, else the best one.
        by_score: the best boxes come first, else they stay in order.
        corners: rows have corners and classes from 1, else centre and size and classes from 0.
        nothing: rows of a result without boxes.
    """

    levels: tuple[YoloLevel, ...]
    classes: int
    least: float
    overlap: float
    each: bool
    by_score: bool
    corners: bool
    nothing: int

    def memory(self, most: int) -> int:
        """Floats that its steps hand over: a count, boxes, and their order twice."""
        return _INT + (_BOX + 2 * _INT) * most

    def steps(self, name: str, memory: Place, out: RowsTarget, target: Machine) -> list[Step]:
        """Boxes of each map, then rows."""
        pairs = moved(memory, _INT)
        boxes = moved(pairs, 2 * _INT * out.limit)
        made = [
            self._level(name, level, boxes, memory, follows=at > 0, target=target)
            for at, level in enumerate(self.levels)
        ]
        args = YoloRowsArgs(
            boxes,
            memory,
            pairs,
            float(np.float32(self.overlap)),
            self.nothing,
            out.place,
            out.limit,
            int(out.fill),
            out.status,
        )
        kernel = jit.spec("yolo", "thinned", by_score=self.by_score, corners=self.corners)
        scratch = sorting_scratch(0, 0, target)
        return [*made, Step(name, kernel, args, 1, scratch=scratch)]

    def _level(
        self, name: str, level: YoloLevel, boxes: Place, count: Place, follows: bool,
        target: Machine,
    ) -> Step:  # fmt: skip
        x = level.map
        args = YoloArgs(
            x.place,
            4 * x.ld,
            x.n,
            x.h,
            x.w,
            len(level.anchors),
            self.classes,
            np.array(level.anchors, np.float32),
            float(level.image[0]),
            float(level.image[1]),
            float(np.float32(self.least)),
            boxes,
            count,
            int(follows),
        )
        kernel = jit.spec("yolo", "level", each=self.each)
        return Step(name, kernel, args, 1, scratch=64 + 4 * target.width)
