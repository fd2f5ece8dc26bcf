"""Tests of detectors: mean average precision of DetectionEvaluate's rows.

That is the solver's `eval_type: "detection"`: weiliu89/caffe@ssd src/caffe/solver.cpp,
TestDetection, and util/bbox_util.cpp, ComputeAP.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.ir.types import show

_COLUMNS = 5  # image, class, score, right, wrong; or -1, class, number of true boxes, -1, -1
_NEAR = 1e-6  # recalls as near as this are one
_POINTS = 11

Floats = NDArray[np.float64]


class Detections:
    """What a TEST net finds over the passes of a test.

    Args:
        version: how average precision is computed, a key of ``VERSIONS``.
    """

    def __init__(self, version: str) -> None:
        self._version = version
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

    def means(self) -> dict[str, Array]:
        """For each output the mean of all classes' average precisions, float32.

        A class counts where a row says how many true boxes it has, even if there are none.
        """
        made = {name: self._mean(np.concatenate(rows)) for name, rows in self._rows.items()}
        return {name: np.asarray(mean, np.float32) for name, mean in made.items()}

    def _mean(self, rows: Array) -> float:
        counts, found = rows[rows[:, 0] == -1], rows[rows[:, 0] != -1]
        found = found[(found[:, 3] != 0) | (found[:, 4] != 0)]  # else of a difficult true box
        positives: dict[int, int] = defaultdict(int)
        for label, number in counts[:, 1:3].astype(np.int64).tolist():
            positives[label] += number
        total = 0.0
        for label, number in sorted(positives.items()):
            own = found[found[:, 1].astype(np.int64) == label]
            total += average_precision(own[:, 2], own[:, 3] != 0, number, self._version)
        return total / len(positives) if positives else 0.0


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
