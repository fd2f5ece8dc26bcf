"""SSD's DetectionOutput: boxes decoded, the best of each class chosen, rows written.

What ``netc.ops.detection.detection_output`` says in NumPy. Boxes lie
[image][prior][class or 1][4]; what is kept lies [image][class][count, indices of priors], as int64.
"""

from __future__ import annotations

from numba import float32, njit

from netc.backends.cpu.box_args import ClassArgs, CollectArgs, DecodeArgs
from netc.backends.cpu.kernels.boxes import (
    INDEX,
    as_double,
    rank,
    selection,
    sort_pairs,
    zero_rows,
)
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

_ROW = 7  # image, class, score, box


def decode(machine: Machine, code: str, scaled: bool) -> Kernel:
    """Boxes from predictions. Units are priors of images; ``scaled``: as they are."""
    centred, sized = code == "CENTER_SIZE", code == "CORNER_SIZE"

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(DecodeArgs, args)
        for unit in range(begin, end):
            image, number = unit // a.number, unit % a.number
            # A row of corners for each prior, 16 bytes, then a row of variances for each.
            prior = a.priors + 16 * number
            variance = a.priors + 16 * (a.number + number)
            left, top = float_at(prior, 0), float_at(prior, 1)
            wide, high = float_at(prior, 2) - left, float_at(prior, 3) - top
            across, down = (
                (left + float_at(prior, 2)) * float32(0.5),
                (top + float_at(prior, 3)) * float32(0.5),
            )
            for k in range(a.each):
                place = number * a.each + k
                given = a.location + image * a.location_image + 16 * place
                target = a.boxes + 16 * (image * a.number * a.each + place)
                coded = load(4, given)
                if not scaled:
                    coded = coded * load(4, variance)
                if centred:
                    # Offsets of the centre in sides of the prior, logarithms of ratios of sides.
                    store(scratch, coded)
                    x = float_at(scratch, 0) * wide + across
                    y = float_at(scratch, 1) * high + down
                    store(scratch, exp(coded))
                    half = float_at(scratch, 2) * wide * float32(0.5)
                    tall = float_at(scratch, 3) * high * float32(0.5)
                    set_float(target, 0, x - half)
                    set_float(target, 1, y - tall)
                    set_float(target, 2, x + half)
                    set_float(target, 3, y + tall)
                elif sized:
                    # Each corner moves by its share of the prior's width (x) or height (y).
                    store(scratch, coded)
                    for i in range(4):
                        side = wide if i % 2 == 0 else high
                        moved = float_at(scratch, i) * side
                        set_float(target, i, float_at(prior, i) + moved)
                else:
                    store(target, load(4, prior) + coded)

    return kernel


def best_of_classes(machine: Machine) -> Kernel:
    """The boxes kept of each class. Units are classes of images."""
    width = machine.width
    select = selection(width, 0)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(ClassArgs, args)
        room = (a.limit + width - 1) // width * width
        lowest = as_float(a.threshold)
        for unit in range(begin, end):
            image, label = unit // a.classes, unit % a.classes
            kept = a.kept + 8 * unit * (1 + a.limit)
            if label == a.background:
                set_int(kept, 0, 0)
                continue
            # Scores lie [prior][class]: those of one class are ``classes`` floats apart.
            scores = a.confidence + image * a.confidence_image + 4 * label
            found = 0
            for p in range(a.number):
                score = float_at(scores, p * a.classes)
                if (a.limited == 0) | (score > lowest):
                    set_int(scratch, found, (rank(score) << 32) | p)
                    found += 1
            # Boxes lie [prior][class or 1]: with shared locations all classes read the same box.
            own = label if a.each > 1 else 0
            boxes, step = a.boxes + 16 * (image * a.number * a.each + own), 16 * a.each
            top = a.top if a.top >= 0 else found
            overlap, eta = as_double(a.overlap), as_double(a.eta)
            select(boxes, step, scratch, a.number, found, top, top, room, overlap, eta, kept)

    return kernel


@njit(inline="always")
def _write(a: Record, row: int, image: int, label: int, prior: int) -> None:
    """A row of image, class, score and box."""
    target = a.output + 4 * _ROW * row
    score = a.confidence + image * a.confidence_image + 4 * (prior * a.classes + label)
    own = label if a.each > 1 else 0
    box = a.boxes + 16 * ((image * a.number + prior) * a.each + own)
    set_float(target, 0, float32(image))
    set_float(target, 1, float32(label))
    set_float(target, 2, float_at(score, 0))
    for i in range(4):
        set_float(target, 3 + i, float_at(box, i))


@njit(inline="always")
def _mark_best(a: Record, image: int, total: int, counts: int) -> int:
    """Flags of the ``keep`` best of all that an image has, by their places; where they are."""
    at = 0
    other = a.pairs + 8 * a.classes * a.limit
    for label in range(a.classes):
        kept = a.kept + 8 * (image * a.classes + label) * (1 + a.limit)
        scores = a.confidence + image * a.confidence_image + 4 * label
        for k in range(int_at(kept, 0)):
            score = float_at(scores, int_at(kept, 1 + k) * a.classes)
            set_int(a.pairs, at, (rank(score) << 32) | at)
            at += 1
    order = sort_pairs(a.pairs, other, counts, total)
    # The half of the memory that the sort left free holds a flag for each place.
    flags = other if order == a.pairs else a.pairs
    for k in range(total):
        set_int(flags, k, 0)
    for k in range(a.keep):
        set_int(flags, int_at(order, k) & INDEX, 1)
    return flags


@njit(inline="always")
def _rows_of(a: Record, image: int, row: int, counts: int) -> int:
    """Write an image's rows from ``row`` on; the row behind them."""
    # A class's kept boxes lie [count][indices], with room for ``limit`` of them.
    total = 0
    for label in range(a.classes):
        total += int_at(a.kept + 8 * (image * a.classes + label) * (1 + a.limit), 0)
    some = (a.keep > -1) & (total > a.keep)
    flags = _mark_best(a, image, total, counts) if some else 0
    at = 0
    for label in range(a.classes):
        kept = a.kept + 8 * (image * a.classes + label) * (1 + a.limit)
        for k in range(int_at(kept, 0)):
            taken = 1
            if some:
                taken = int_at(flags, at)
            if taken:
                _write(a, row, image, label, int_at(kept, 1 + k))
                row += 1
            at += 1
    return row


@njit(inline="always")
def _rows_of_nothing(a: Record) -> int:
    """Where nothing is found Caffe gives a row for each image, -1 behind its number."""
    for image in range(a.images):
        for i in range(_ROW):
            set_float(a.output + 4 * _ROW * image, i, float32(-1.0))
        set_float(a.output + 4 * _ROW * image, 0, float32(image))
    return a.images


def collect(machine: Machine) -> Kernel:
    """Rows of what is kept: by image, by class, then the best first. One unit."""

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(CollectArgs, args)
        row = 0
        for image in range(a.images):
            row = _rows_of(a, image, row, scratch)
        if row == 0:
            row = _rows_of_nothing(a)
        if a.fill:
            zero_rows(a.output, 4 * _ROW, _ROW, row, a.rows)
        set_int(a.status, 0, row)

    return kernel
