"""Steps of losses and of their gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from netc.backends.cpu import jit
from netc.backends.cpu.loss_args import (
    IGNORE_NONE,
    PARTIAL_SUMS,
    LabelArgs,
    PairLossArgs,
    SoftmaxLossArgs,
    TotalArgs,
)
from netc.backends.cpu.program import Argument, Constant, Step
from netc.backends.shared.views import Place, Workspace

_UNIT_ELEMENTS = 1 << 12  # elements of a run of rows, about
_UNIT_LABELS = 1 << 14
PARTIALS = len(PARTIAL_SUMS)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRows:
    """Rows of scores, each with a label.

    Args:
        scores: the first row's place; ``ld`` floats from a row to the next.
        labels: the first label's place; ``label_step`` floats from a label to the next.
        rows, classes: how many.
        ignored: the label that is left out, None for none.
        weights: of the classes' losses; None where all count alike.
    """

    scores: Place
    ld: int
    labels: Place
    label_step: int
    rows: int
    classes: int
    ignored: int | None = None
    weights: Constant | None = None

    @property
    def per_unit(self) -> int:
        """Rows of a run. Not a function of the threads: runs decide the order of the sums."""
        return max(1, _UNIT_ELEMENTS // max(1, self.classes))

    @property
    def units(self) -> int:
        """Runs."""
        return math.ceil(self.rows / self.per_unit)

    def args(
        self,
        output: Argument = 0,
        output_ld: int = 0,
        *,
        partial: Argument = 0,
        top: Argument = 0,
        divisor: float = 1.0,
        kept: Argument = 0,
        counts: int = 0,
    ) -> SoftmaxLossArgs:
        """The kernels' argument block."""
        return SoftmaxLossArgs(
            input=self.scores,
            ld=4 * self.ld,
            labels=self.labels,
            label_step=4 * self.label_step,
            output=output,
            output_ld=4 * output_ld,
            classes=self.classes,
            rows=self.rows,
            per_unit=self.per_unit,
            ignored=IGNORE_NONE if self.ignored is None else self.ignored,
            weights=0 if self.weights is None else self.weights,
            partial=partial,
            top=top,
            divisor=divisor,
            kept=kept,
            counts=counts,
        )


def softmax_loss_step(
    name: str, rows: LabelledRows, partial: Place, prob: tuple[Place, int] | None
) -> Step:
    """Each run's PARTIAL_SUMS, and the probabilities at a place with its ld where they are wanted.

    They may be written over the scores.
    """
    written = (0, 0) if prob is None else prob
    kernel = jit.spec("softmax_loss", "loss", probabilities=prob is not None)
    args = rows.args(*written, partial=partial)
    return Step(name, kernel, args, rows.units, pointwise_reads=(rows.scores,))


def softmax_slope_steps(
    name: str, rows: LabelledRows, output: tuple[Place, int], top: Place, divisor: float | None
) -> list[Step]:
    """The gradient by the scores, at a place with its ld, which may be theirs.

    Args:
        name: the layer's.
        rows: the scores and labels.
        output: where it goes.
        top: the loss's weight, one float.
        divisor: what it is divided by; None for the number of labels that count.
    """
    kernel = jit.spec("softmax_loss", "slope")
    # The divisor is known before the run: one step. Else labels are counted first, into the
    # workspace, and each row's step adds up the counts in their order.
    if divisor is not None or rows.ignored is None:
        by = float(np.float32(max(1, rows.rows) if divisor is None else divisor))
        args = rows.args(*output, top=top, divisor=by)
        return [Step(name, kernel, args, rows.units, pointwise_reads=(rows.scores,))]
    counting = _counting(name, rows.labels, rows.label_step, rows.rows, rows.ignored)
    args = rows.args(*output, top=top, kept=Workspace(), counts=counting.units)
    memory, reads = counting.workspace, (rows.scores,)
    return [counting, Step(name, kernel, args, rows.units, workspace=memory, pointwise_reads=reads)]


def _counting(name: str, labels: Place, step: int, number: int, ignored: int) -> Step:
    """How many labels count, a float for each unit in the workspace."""
    units = math.ceil(number / _UNIT_LABELS)
    args = LabelArgs(labels, 4 * step, number, _UNIT_LABELS, ignored, Workspace())
    return Step(name, jit.spec("softmax_loss", "kept"), args, units, workspace=4 * units)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two arrays that are taken element by element.

    Args:
        kind: "euclidean" or "sigmoid", what is taken of a pair.
        first, second: where they lie, in one order and without gaps.
        number: pairs.
        divisor: what the sum is divided by; None for how many counted.
        ignored: the element of the second that leaves a pair out, None for none.
    """

    kind: str
    first: Place
    second: Place
    number: int
    divisor: float | None
    ignored: int | None = None

    @property
    def units(self) -> int:
        """Runs of pairs."""
        return math.ceil(self.number / _UNIT_ELEMENTS)

    def step(self, name: str, factory: str, output: Place | int, **more: Argument) -> Step:
        """A step of one of the kernels on all pairs."""
        left_out = self.ignored is not None
        kernel = jit.spec("pair_loss", factory, kind=self.kind, ignoring=left_out)
        args = PairLossArgs(
            self.first,
            self.second,
            output,
            self.number,
            _UNIT_ELEMENTS,
            self.ignored or 0,
            **more,  # type: ignore[arg-type]  # the fields that are numbers get numbers
        )
        memory = 4 * math.ceil(self.number / _UNIT_LABELS) if "kept" in more else 8 * self.units
        reads = (self.first, self.second)
        return Step(name, kernel, args, self.units, workspace=memory, pointwise_reads=reads)


def pair_loss_steps(name: str, pairs: Pairs, output: Place) -> list[Step]:
    """The loss, one float."""
    # Two floats of a run: its losses, and how many of its pairs counted.
    memory = 8 * pairs.units
    args = TotalArgs(Workspace(), pairs.units, 2, float(pairs.divisor or 0), output)
    return [
        pairs.step(name, "loss", 0, partial=Workspace()),
        Step(name, jit.spec("pair_loss", "total"), args, 1, workspace=memory),
    ]


def pair_slope_steps(
    name: str, pairs: Pairs, output: Place, top: Place, sign: float = 1.0
) -> list[Step]:
    """The gradient by the first array, or by the second where ``sign`` is -1."""
    if pairs.divisor is not None:
        return [pairs.step(name, "slope", output, top=top, factor=sign, divisor=pairs.divisor)]
    counting = _counting(name, pairs.second, 1, pairs.number, pairs.ignored or 0)
    kept, counts = Workspace(), counting.units
    last = pairs.step(name, "slope", output, top=top, factor=sign, kept=kept, counts=counts)
    return [counting, last]
