"""A test of a TEST net: the means of its outputs over its passes (solver.cpp:347 to 414)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.ir.types import show
from netc.solver.average_precision import Detections
from netc.solver.culprits import naming_records
from netc.solver.opening import TestNet
from netc.solver.programs import total_loss


class Means(NamedTuple):
    """The mean of each output, element by element, and of the weighted loss."""

    scores: dict[str, Array]
    loss: float


Look = Callable[[Mapping[str, Any], Mapping[str, Array]], None]


def scored(
    test: TestNet,
    passes: int,
    look: Look | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    detections: Detections | None = None,
) -> Means | None:
    """The means of a test, summed in float32 in the order of the passes.

    Args:
        test: the TEST net; its batches continue where the last test stopped.
        passes: the number of passes, the solver's `test_iter`.
        look: called with the inputs and all blobs of each pass.
        interrupted: called before each pass; if it returns True the test ends and the result is
            None.
        detections: collects the outputs in the place of their means, where they are rows of what a
            detector found.

    Raises:
        NetcError: what taking or feeding a batch raises, such as bad-feeds or input-shape.
    """
    sums: dict[str, Array] = {}
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
        if detections is not None:
            detections.add(test.shown.of(made))
        else:
            sums = added(sums, test.shown.of(made))
    count = np.float32(passes)
    if detections is not None:
        return Means(detections.means(), float(total / count))
    return Means({name: array / count for name, array in sums.items()}, float(total / count))


def added(sums: Mapping[str, Array], made: Mapping[str, Array]) -> dict[str, Array]:
    """The sums of outputs over passes, with those of one more pass; empty sums begin with it.

    Raises:
        NetcError: input-shape, if an output has another shape than in the passes before: Caffe
            would add what lies beside it in memory (solver.cpp, Test).
    """
    for name, total in sums.items():
        if made[name].shape != total.shape:
            shapes = f"{show(made[name].shape)} in this pass and {show(total.shape)} before"
            message = f"output `{name}` is {shapes}; a mean needs one shape in all passes"
            help = (f"read `{name}` in a Silence layer, or test with batches of one shape",)
            raise NetcError(Diagnostic("input-shape", message, help=help))
    return {name: sums[name] + array if name in sums else array for name, array in made.items()}
