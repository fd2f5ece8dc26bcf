"""The argument blocks of kernels that make and choose boxes; see netc.backends.cpu.kernel_args.

Distances are in bytes. Numbers named ``overlap`` and ``eta`` are the bits of a float64: the
definitions compare and multiply them as Python's numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from netc.backends.cpu.program import Argument


class DecodeArgs(NamedTuple):
    """Boxes of SSD from predictions: ``each`` of 4 floats for each prior, one after another."""

    location: Argument
    location_image: int
    priors: Argument
    number: int
    each: int
    boxes: Argument


class ClassArgs(NamedTuple):
    """The best boxes of a class of an image that overlap no better one.

    ``kept`` has, for each image and class, a count and the indices of at most ``limit`` priors, as
    int64.
    """

    confidence: Argument
    confidence_image: int
    number: int
    classes: int
    background: int
    limited: int
    threshold: float
    top: int
    overlap: int
    eta: int
    boxes: Argument
    each: int
    kept: Argument
    limit: int


class CollectArgs(NamedTuple):
    """Rows of image, class, score and box of what was kept; ``status`` gets how many.

    ``pairs`` has room for twice all that can be kept of an image, as int64. Rows behind the last
    one are filled with zeros where ``fill``.
    """

    confidence: Argument
    confidence_image: int
    images: int
    number: int
    classes: int
    keep: int
    boxes: Argument
    each: int
    kept: Argument
    limit: int
    pairs: Argument
    output: Argument
    rows: int
    fill: int
    status: Argument


class ProposeArgs(NamedTuple):
    """Anchors moved and brought into the image: 4 floats for each cell and kind of anchor."""

    deltas: Argument
    ld: int
    anchors: Argument
    cells: int
    kinds: int
    info: Argument
    boxes: Argument


class BestArgs(NamedTuple):
    """The best proposals of an image that overlap no better one.

    ``kept`` has, for each image, a count and the indices of at most ``after`` boxes, as int64;
    ``scale`` is where the info has the second of the factors of ``min_side``.
    """

    scores: Argument
    ld: int
    cells: int
    kinds: int
    info: Argument
    scale: int
    min_side: float
    before: int
    after: int
    overlap: int
    boxes: Argument
    kept: Argument


class ProposalRowsArgs(NamedTuple):
    """Rows of image and box, and scores; ``status`` gets how many. See CollectArgs."""

    scores: Argument
    ld: int
    cells: int
    kinds: int
    info: Argument
    scale: int
    min_side: float
    after: int
    boxes: Argument
    kept: Argument
    images: int
    output: Argument
    output_ld: int
    scores_out: Argument
    scores_ld: int
    rows: int
    fill: int
    status: Argument


class BinArgs(NamedTuple):
    """Where regions are pooled, as netc.backends.cpu.kernels.regions reads it.

    ``status`` gets -1 less the bits of the first image's number that is not in the batch.
    """

    regions: Argument
    ld: int
    rows: int
    images: int
    height: int
    width: int
    pooled_y: int
    pooled_x: int
    scale: float
    pad: float
    table: Argument
    status: Argument


class YoloArgs(NamedTuple):
    """Boxes of a map of YOLO's, of 5 numbers and ``classes`` scores for each anchor of a cell.

    ``sizes`` are the anchors' widths and heights, which are parts of ``wide`` and ``high``. Boxes,
    of 6 floats, begin anew unless the map ``follows`` another one.
    """

    input: Argument
    ld: int
    images: int
    rows: int
    columns: int
    anchors: int
    classes: int
    sizes: Argument
    wide: float
    high: float
    least: float
    boxes: Argument
    counter: Argument
    follows: int


class YoloRowsArgs(NamedTuple):
    """Rows of boxes that do not overlap by ``limit`` or more; ``status`` gets how many.

    ``pairs`` has room for twice ``most`` int64. Where there is none, ``nothing`` rows say so.
    """

    boxes: Argument
    counter: Argument
    pairs: Argument
    limit: float
    nothing: int
    output: Argument
    most: int
    fill: int
    status: Argument
