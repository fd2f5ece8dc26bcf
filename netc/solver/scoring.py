"""A test of a TEST net: the means of its outputs over its passes (solver.cpp:347 to 414)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array, Graph
from netc.ir.types import show
from netc.ops.catalog import CATALOG, has_role
from netc.ops.role import Role
from netc.solver.average_precision import Classes, Detections, mean_precision
from netc.solver.culprits import naming_records
from netc.solver.opening import TestNet
from netc.solver.programs import total_loss

VERSION = "Integral"  # the default of `ap_version`


class Means(NamedTuple):
    """The result of a test.

    Args:
        scores: the mean of each output, element by element; of rows of DetectionEvaluate the mean
            average precision.
        loss: the mean of the weighted loss.
        classes: of outputs of DetectionEvaluate.
        rows: outputs that are lists as long as the detector found boxes -> their rows in all.
    """

    scores: dict[str, Array]
    loss: float
    classes: Mapping[str, Classes] = MappingProxyType({})
    rows: Mapping[str, int] = MappingProxyType({})


Look = Callable[[Mapping[str, Any], Mapping[str, Array]], None]


def scored(
    test: TestNet,
    passes: int,
    look: Look | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    version: str | None = None,
) -> Means | None:
    """The means of a test, summed in float32 in the order of the passes.

    Args:
        test: the TEST net; its batches continue where the last test stopped.
        passes: the number of passes, the solver's `test_iter`.
        look: called with the inputs and all blobs of each pass.
        interrupted: called before each pass; if it returns True the test ends and the result is
            None.
        version: the solver's `ap_version` where all outputs are DetectionEvaluate's.

    Raises:
        NetcError: what taking or feeding a batch raises, such as bad-feeds or input-shape.
    """
    sums = OutputSums(test.net.graph, test.shown.values, only_detections=version is not None)
    total = np.float32(0)
    for _ in range(passes):
        if interrupted():
            return None
        with naming_records(test.feeds):
            number = test.feeds.position
            batch = test.noise.filled(test.feeds.take(), number)
            made = test.net(batch)
        if look is not None:
            look(batch, made)
        total += total_loss(made, test.shown.totals)
        sums.add(test.shown.of(made))
    return sums.means(passes, float(total / np.float32(passes)), version or VERSION)


class OutputSums:
    """The sums of a net's outputs over passes, and what its detectors found.

    Args:
        graph: the net's.
        values: its outputs -> the graph's values.
        only_detections: every output is to be DetectionEvaluate's.
    """

    def __init__(
        self, graph: Graph, values: Mapping[str, str], *, only_detections: bool = False
    ) -> None:
        made = {name: graph.producers.get(value) for name, value in values.items()}
        ops = {name: node.op for name, node in made.items() if node is not None}
        evaluated = {name for name, op in ops.items() if has_role(op, Role.EVALUATED)}
        self._evaluated = set(values) if only_detections else evaluated
        self._lists = {name for name, op in ops.items() if has_role(op, Role.DETECTIONS)}
        unknown = _unknown_rows(graph)
        self._any_rows = {name for name, value in values.items() if value in unknown}
        self._found = Detections()
        self._sums: dict[str, Array] = {}
        self._rows: Counter[str] = Counter()

    def add(self, outputs: Mapping[str, Array]) -> None:
        """Add those of a pass.

        Raises:
            NetcError: input-shape, if an output has another shape than in the passes before, and
                no layer before it chooses rows: Caffe would add what lies beside it in memory
                (solver.cpp, Test). Also where a list of DetectionEvaluate is wanted.
        """
        self._found.add({n: array for n, array in outputs.items() if n in self._evaluated})
        for name, array in outputs.items():
            if name in self._evaluated:
                continue
            self._rows[name] += _rows_of(array)
            before = self._sums.get(name)
            if name in self._lists:
                continue
            if before is not None and before.shape != array.shape:
                if name not in self._any_rows:
                    raise _other_shape(name, array, before)
                self._lists.add(name)
            else:
                self._sums[name] = array if before is None else before + array

    def means(self, passes: int, loss: float, version: str) -> Means:
        """The means over the passes."""
        classes = self._found.classes()
        precisions = {
            name: np.asarray(mean_precision(of, version), np.float32)
            for name, of in classes.items()
        }
        sums = {name: array for name, array in self._sums.items() if name not in self._lists}
        made = {name: array / np.float32(passes) for name, array in sums.items()}
        rows = {name: self._rows[name] for name in sorted(self._lists)}
        return Means(dict(sorted({**made, **precisions}.items())), loss, classes, rows)


def _unknown_rows(graph: Graph) -> set[str]:
    """Values whose number of rows depends on what a layer chooses."""
    found: set[str] = set()
    for node in graph.nodes:
        if CATALOG[node.op].dynamic or found.intersection(node.inputs):
            found.update(node.outputs)
    return found


def _rows_of(array: Array) -> int:
    """Rows of a list, that lies in the last axis but one of four as those of SSD's layers do."""
    return int(array.shape[-2] if array.ndim > 2 else array.shape[0] if array.ndim else 1)


def _other_shape(name: str, array: Array, before: Array) -> NetcError:
    shapes = f"{show(array.shape)} in this pass and {show(before.shape)} before"
    message = f"output `{name}` is {shapes}; a mean needs one shape in all passes"
    help = (f"read `{name}` in a Silence layer, or test with batches of one shape",)
    return NetcError(Diagnostic("input-shape", message, help=help))
