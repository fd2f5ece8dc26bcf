"""Region proposals: anchors moved, sorted and suppressed, as netc.ops.detection.proposal says.

Boxes lie [image][cell][kind of anchor][4]; what is kept lies [image][count, indices], as int64.
Scores and changes lie as pixels with channels innermost: a cell's kinds are neighbours.
"""

from __future__ import annotations

from numba import float32, njit

from netc.backends.cpu.box_args import BestArgs, ProposalRowsArgs, ProposeArgs
from netc.backends.cpu.kernels.boxes import as_double, rank, selection, zero_rows
from netc.backends.cpu.kernels.functions import exp
from netc.backends.cpu.kernels.simd import (
    as_float,
    float_at,
    int_at,
    load,
    record,
    set_float,
    set_int,
    store,
)
from netc.backends.cpu.kernels.values import Kernel, Record
from netc.backends.cpu.machine import Machine


@njit(inline="always")
def _inside(x: float, edge: float) -> float:
    """NumPy's ``maximum(minimum(x, edge), 0)``, which keeps what is no number."""
    x = edge if (x > edge) | (edge != edge) else x
    return float32(0.0) if x < float32(0.0) else x


def propose(machine: Machine) -> Kernel:
    """Anchors moved and scaled by their changes, inside the image. Units are cells of images."""

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(ProposeArgs, args)
        right = float_at(a.info, 1) - float32(1.0)
        bottom = float_at(a.info, 0) - float32(1.0)
        for unit in range(begin, end):
            for kind in range(a.kinds):
                # Anchors of one image, [cell][kind]; boxes of all images, [image][cell][kind].
                anchor = a.anchors + 16 * (unit % a.cells * a.kinds + kind)
                target = a.boxes + 16 * (unit * a.kinds + kind)
                change = load(4, a.deltas + unit * a.ld + 16 * kind)
                store(scratch, change)
                # Sides count both end pixels, as in py-faster-rcnn: width = x2 - x1 + 1.
                wide = float_at(anchor, 2) - float_at(anchor, 0) + float32(1.0)
                high = float_at(anchor, 3) - float_at(anchor, 1) + float32(1.0)
                x = float_at(anchor, 0) + wide * float32(0.5) + float_at(scratch, 0) * wide
                y = float_at(anchor, 1) + high * float32(0.5) + float_at(scratch, 1) * high
                # All four exponentials at once; the two of the sides are used.
                store(scratch, exp(change))
                half = float_at(scratch, 2) * wide * float32(0.5)
                tall = float_at(scratch, 3) * high * float32(0.5)
                set_float(target, 0, _inside(x - half, right))
                set_float(target, 1, _inside(y - tall, bottom))
                set_float(target, 2, _inside(x + half, right))
                set_float(target, 3, _inside(y + tall, bottom))

    return kernel


@njit(inline="always")
def _is_large(a: Record, box: int) -> bool:
    """True if a box's sides are as long as the smallest of the image before it was resized."""
    wide = float_at(box, 2) - float_at(box, 0) + float32(1.0)
    high = float_at(box, 3) - float_at(box, 1) + float32(1.0)
    min_side = as_float(a.min_side)
    return (wide >= min_side * float_at(a.info, a.scale)) & (high >= min_side * float_at(a.info, 2))


@njit(inline="always")
def _score(a: Record, image: int, index: int) -> float:
    """The score of a box: the second half of the channels has those of being something."""
    cell, kind = index // a.kinds, index % a.kinds
    return float_at(a.scores + (image * a.cells + cell) * a.ld, a.kinds + kind)


def best(machine: Machine, keep_small: bool) -> Kernel:
    """The boxes kept of each image. Units are images."""
    width = machine.width
    select = selection(width, 1)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(BestArgs, args)
        number = a.cells * a.kinds
        room = (a.after + width - 1) // width * width
        for image in range(begin, end):
            boxes = a.boxes + 16 * image * number
            # Candidates as pairs of a rank and an index; small ones are left out, or score 0.
            found = 0
            for index in range(number):
                large = _is_large(a, boxes + 16 * index)
                score = _score(a, image, index)
                if keep_small:
                    score = score * (float32(1.0) if large else float32(0.0))
                if keep_small | large:
                    set_int(scratch, found, (rank(score) << 32) | index)
                    found += 1
            kept, overlap = a.kept + 8 * image * (1 + a.after), as_double(a.overlap)
            select(boxes, 16, scratch, number, found, a.before, a.after, room, overlap, 1.0, kept)

    return kernel


def rows(machine: Machine, keep_small: bool, scored: bool) -> Kernel:
    """Rows of image and box, image by image, and their scores where ``scored``. One unit."""

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(ProposalRowsArgs, args)
        row = 0
        for image in range(a.images):
            kept = a.kept + 8 * image * (1 + a.after)
            # Rows are [image, x1, y1, x2, y2], the best of an image first.
            for k in range(int_at(kept, 0)):
                index = int_at(kept, 1 + k)
                box = a.boxes + 16 * (image * a.cells * a.kinds + index)
                target = a.output + row * a.output_ld
                set_float(target, 0, float32(image))
                for i in range(4):
                    set_float(target, 1 + i, float_at(box, i))
                if scored:
                    score = _score(a, image, index)
                    if keep_small:
                        score = score * (float32(1.0) if _is_large(a, box) else float32(0.0))
                    set_float(a.scores_out + row * a.scores_ld, 0, score)
                row += 1
        if a.fill:
            zero_rows(a.output, a.output_ld, 5, row, a.rows)
            if scored:
                zero_rows(a.scores_out, a.scores_ld, 1, row, a.rows)
        set_int(a.status, 0, row)

    return kernel
