"""Tests of detectors: average precisions of DetectionEvaluate's rows.

weiliu89/caffe@ssd src/caffe/solver.cpp, TestDetection (the solver's `eval_type: "detection"`), and
util/bbox_util.cpp, ComputeAP.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.ir.types import show

_COLUMNS = 5  # image, class, score, right, wrong; or -1, class, number of true boxes, -1, -1
_NEAR = 1e-6  # recalls as near as this are one
_POINTS = 11

Floats = NDArray[np.float64]


class ClassPrecision(NamedTuple):
    """What a detector made of one class over a test.

    Args:
        true_boxes: how many there are, without difficult ones that do not count.
        detections: how many of its detections count.
        precisions: key of ``VERSIONS`` -> average precision.
    """

    true_boxes: int
    detections: int
    precisions: Mapping[str, float]


Classes = Mapping[int, ClassPrecision]


class Detections:
    """The rows of DetectionEvaluate over the passes of a test, by output."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Array]] = defaultdict(list)

    def add(self, outputs: Mapping[str, Array]) -> None:
        """Add a pass.

        Raises:
            NetcError: input-shape, for an output that is no list of rows of 5.
        """
        for name, array in outputs.items():
            if array.ndim != 4 or array.shape[3] != _COLUMNS or array.shape[:2] != (1, 1):
                message = (
                    f"output `{name}` is {show(array.shape)}; a test of detections takes "
                    f"DetectionEvaluate's rows of {_COLUMNS} alone"
                )
                help = (f"read `{name}` in a Silence layer",)
                raise NetcError(Diagnostic("input-shape", message, help=help))
            self._rows[name].append(array.reshape(-1, _COLUMNS).copy())

    def classes(self) -> dict[str, Classes]:
        """For each output its classes: those of which a row says how many true boxes there are."""
        return {name: dict(_classes(np.concatenate(rows))) for name, rows in self._rows.items()}


def by_class(classes: Classes, version: str) -> dict[int, float | None]:
    """Class -> its average precision, None where nothing of it is found."""
    known = classes.items()
    return {label: one.precisions[version] if one.detections else None for label, one in known}


def mean_precision(classes: Classes, version: str) -> float:
    """The mean over classes; one without true boxes, or of which nothing is found, counts as 0."""
    total = sum(one.precisions[version] for one in classes.values())
    return total / len(classes) if classes else 0.0


def _classes(rows: Array) -> Iterator[tuple[int, ClassPrecision]]:
    counts, found = rows[rows[:, 0] == -1], rows[rows[:, 0] != -1]
    found = found[(found[:, 3] != 0) | (found[:, 4] != 0)]  # else of a difficult true box
    positives: dict[int, int] = defaultdict(int)
    for label, number in counts[:, 1:3].astype(np.int64).tolist():
        positives[label] += number
    for label, number in sorted(positives.items()):
        own = found[found[:, 1].astype(np.int64) == label]
        scores, right = own[:, 2], own[:, 3] != 0
        by_version = {v: average_precision(scores, right, number, v) for v in VERSIONS}
        yield label, ClassPrecision(number, len(own), by_version)


def average_precision(
    scores: Array, right: NDArray[np.bool_], positives: int, version: str
) -> float:
    """The average precision of one class.

    Args:
        scores: of its detections.
        right: which of them are.
        positives: the number of its true boxes.
        version: "11point" (VOC 2007), "MaxIntegral" (VOC 2012) or "Integral".
    """
    if not len(scores) or not positives:
        return 0.0
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    precision = (hits / np.arange(1, len(hits) + 1)).astype(np.float32).astype(np.float64)
    recall = (hits / positives).astype(np.float32).astype(np.float64)
    return VERSIONS[version](precision, recall)


def _eleven_points(precision: Floats, recall: Floats) -> float:
    """The mean of the greatest precision at a recall of at least 0, 0.1 ... 1."""
    points = (precision[recall >= place / (_POINTS - 1)] for place in range(_POINTS))
    return sum(float(above.max(initial=0)) for above in points) / _POINTS


def _greatest(precision: Floats, recall: Floats) -> float:
    """The area below the greatest precision at each recall and above."""
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return _area(best, recall)


def _area(precision: Floats, recall: Floats) -> float:
    """The area below the precision at each recall."""
    steps = np.diff(recall, prepend=0.0)
    return float(np.sum(precision[steps > _NEAR] * steps[steps > _NEAR]))


VERSIONS: Mapping[str, Callable[[Floats, Floats], float]] = MappingProxyType(
    {"11point": _eleven_points, "MaxIntegral": _greatest, "Integral": _area}
)
"""By the names of `ap_version`."""
