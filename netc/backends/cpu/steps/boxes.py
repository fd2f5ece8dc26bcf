"""Steps of layers that make and choose boxes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from netc.backends.cpu import jit
from netc.backends.cpu.box_args import (
    BestArgs,
    BinArgs,
    ClassArgs,
    CollectArgs,
    DecodeArgs,
    ProposalRowsArgs,
    ProposeArgs,
)
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Step
from netc.backends.shared.views import Place, View, moved
from netc.ops.detection.anchors import placed_anchors
from netc.ops.detection.detection_output import DetectionOutputParams
from netc.ops.detection.proposal import ProposalParams

_INT = 2  # floats of an int64
_COUNTS = 8 * 4 * 256  # bytes of the counts of a key's digits


def double_bits(value: float) -> int:
    """The bits of a float64 as an int64."""
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def sorting_scratch(number: int, kept: int, target: Machine) -> int:
    """Bytes of scratch memory of a kernel that sorts so many and keeps so many (kernels.boxes)."""
    columns = -(-max(kept, 1) // target.width) * target.width
    return 16 * number + _COUNTS + 4 * 5 * columns


@dataclass(frozen=True, slots=True)
class RowsTarget:
    """Where rows go whose number a run tells.

    Args:
        place: of the first one.
        limit: how many there can be.
        fill: whether zeros are wanted behind the last one, as something reads all of them.
        status: where their number goes.
    """

    place: Place
    limit: int
    fill: bool
    status: Place


@dataclass(frozen=True, slots=True)
class DetectionSteps:
    """A DetectionOutput's sizes and inputs; distances of images are in floats.

    Args:
        images: of the batch.
        priors: of an image.
        location: predictions of boxes, and the distance from image to image.
        confidence: scores, likewise.
        prior: the priors' place.
    """

    params: DetectionOutputParams
    images: int
    priors: int
    location: tuple[Place, int]
    confidence: tuple[Place, int]
    prior: Place

    @property
    def each(self) -> int:
        """Boxes of a prior."""
        return 1 if self.params.share_location else self.params.classes

    @property
    def limit(self) -> int:
        """How many of a class are kept at most."""
        top = self.params.top
        return self.priors if top < 0 else min(self.priors, top)

    @property
    def _sizes(self) -> tuple[int, int, int]:
        """Floats of boxes, of what is kept, and of pairs."""
        classes = self.params.classes
        # What the steps hand over, in floats:
        #
        #   [boxes: image, prior, class or 1, 4][kept: image, class, 1 + limit int64]
        #   [pairs: twice what an image keeps, int64]
        boxes = 4 * self.images * self.priors * self.each
        kept = _INT * self.images * classes * (1 + self.limit)
        return boxes, kept, 2 * _INT * classes * self.limit

    @property
    def memory(self) -> int:
        """Floats that its steps hand over."""
        return sum(self._sizes)

    def steps(self, name: str, memory: Place, out: RowsTarget, target: Machine) -> list[Step]:
        """Boxes, the best of each class, rows."""
        boxes, kept, _ = self._sizes
        # Step 1 writes boxes, step 2 reads them and writes what is kept, step 3 reads both.
        kept_at, pairs_at = moved(memory, boxes), moved(memory, boxes + kept)
        return [
            self._decode(name, memory),
            self._choose(name, memory, kept_at, target),
            self._collect(name, memory, (kept_at, pairs_at), out),
        ]

    def _decode(self, name: str, boxes: Place) -> Step:
        params, (place, distance) = self.params, self.location
        kernel = jit.spec(
            "detection", "decode", code=params.code_type, scaled=params.variance_in_target
        )
        args = DecodeArgs(place, 4 * distance, self.prior, self.priors, self.each, boxes)
        return Step(name, kernel, args, self.images * self.priors, scratch=32, grain=256)

    def _choose(self, name: str, boxes: Place, kept: Place, target: Machine) -> Step:
        params, (place, distance) = self.params, self.confidence
        args = ClassArgs(
            place,
            4 * distance,
            self.priors,
            params.classes,
            params.background,
            int(params.confidence is not None),
            float(params.confidence or 0.0),
            params.top,
            double_bits(params.overlap),
            double_bits(params.eta),
            boxes,
            self.each,
            kept,
            self.limit,
        )
        scratch = sorting_scratch(self.priors, self.limit, target)
        kernel = jit.spec("detection", "best_of_classes")
        return Step(name, kernel, args, self.images * params.classes, scratch=scratch)

    def _collect(self, name: str, boxes: Place, kept: tuple[Place, Place], out: RowsTarget) -> Step:
        params, (place, distance) = self.params, self.confidence
        args = CollectArgs(
            place,
            4 * distance,
            self.images,
            self.priors,
            params.classes,
            params.keep,
            boxes,
            self.each,
            kept[0],
            self.limit,
            kept[1],
            out.place,
            out.limit,
            int(out.fill),
            out.status,
        )
        return Step(name, jit.spec("detection", "collect"), args, 1, scratch=_COUNTS)


@dataclass(frozen=True, slots=True)
class Proposals:
    """A Proposal's inputs: scores and changes as pixels, the images' size."""

    params: ProposalParams
    scores: View
    deltas: View
    info: View

    @property
    def cells(self) -> int:
        """Of an image."""
        return self.scores.h * self.scores.w

    @property
    def kinds(self) -> int:
        """Anchors of a cell."""
        return len(self.params.ratios) * len(self.params.scales)

    @property
    def _boxes(self) -> int:
        return 4 * self.scores.n * self.cells * self.kinds

    @property
    def memory(self) -> int:
        """Floats that its steps hand over."""
        return self._boxes + _INT * self.scores.n * (1 + self.params.after)

    def steps(
        self, name: str, memory: Place, out: RowsTarget, tops: list[View], target: Machine
    ) -> list[Step]:
        """Boxes, the best of each image, rows."""
        # As for detections: [boxes: image, cell, kind, 4][kept: image, 1 + after int64].
        kept, params = moved(memory, self._boxes), self.params
        anchors = placed_anchors(params, (self.scores.h, self.scores.w))
        moves = ProposeArgs(
            self.deltas.place,
            4 * self.deltas.ld,
            np.ascontiguousarray(anchors, np.float32),
            self.cells,
            self.kinds,
            self.info.place,
            memory,
        )
        images, small = self.scores.n, params.keep_small
        best = self._best(memory, kept)
        scratch = sorting_scratch(self.cells * self.kinds, params.after, target)
        return [
            Step(
                name,
                jit.spec("proposal", "propose"),
                moves,
                images * self.cells,
                scratch=32,
                grain=64,
            ),
            Step(
                name,
                jit.spec("proposal", "best", keep_small=small),
                best,
                images,
                scratch=scratch,
            ),
            Step(
                name,
                jit.spec("proposal", "rows", keep_small=small, scored=len(tops) > 1),
                self._rows(best, out, tops),
                1,
            ),
        ]

    def _best(self, boxes: Place, kept: Place) -> BestArgs:
        params, scores = self.params, self.scores
        return BestArgs(
            scores.place,
            4 * scores.ld,
            self.cells,
            self.kinds,
            self.info.place,
            # The info is height, width, scale; or height, width, scale down, scale across.
            3 if self.info.c > 3 else 2,
            float(params.min_size),
            params.before,
            params.after,
            double_bits(params.overlap),
            boxes,
            kept,
        )

    def _rows(self, best: BestArgs, out: RowsTarget, tops: list[View]) -> ProposalRowsArgs:
        scores = tops[-1]
        # A list of scores is one long pixel.
        distance = 4 if scores.n == 1 and scores.c == out.limit else 4 * scores.ld
        return ProposalRowsArgs(
            best.scores,
            best.ld,
            best.cells,
            best.kinds,
            best.info,
            best.scale,
            best.min_side,
            best.after,
            best.boxes,
            best.kept,
            self.scores.n,
            out.place,
            4 * tops[0].ld,
            scores.place,
            distance,
            out.limit,
            int(out.fill),
            out.status,
        )


def bins_step(
    name: str,
    kind: str,
    regions: View,
    data: View,
    pooled: tuple[int, int],
    scales: tuple[float, float],
    table: Place,
    status: Place,
) -> Step:
    """A table of the bins of regions, see kernels.bins.

    Args:
        name: the layer's.
        kind: "roi" or "psroi".
        regions: rows of 5, one a pixel.
        data: what is pooled.
        pooled: bins down and across.
        scales: from the image's pixels to elements, and the part that a region is wider.
        table: where it goes.
        status: gets what is wrong.
    """
    args = BinArgs(
        regions.place,
        4 * regions.ld,
        regions.n,
        data.n,
        data.h,
        data.w,
        pooled[0],
        pooled[1],
        float(scales[0]),
        float(scales[1]),
        table,
        status,
    )
    return Step(name, jit.spec("bins", "bins", kind=kind), args, 1)
