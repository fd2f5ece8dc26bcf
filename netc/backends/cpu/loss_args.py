"""The argument blocks of kernels of losses; see netc.backends.cpu.kernel_args."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from netc.backends.cpu.program import Argument


class LabelArgs(NamedTuple):
    """How many labels are not ``ignored``: a float for each run of ``per_unit`` at ``output``."""

    labels: Argument
    label_step: int
    rows: int
    per_unit: int
    ignored: int
    output: Argument


class SoftmaxLossArgs(NamedTuple):
    """A loss over rows of ``classes`` scores with a label each, or its gradient.

    ``output`` are probabilities, or the gradient; ``partial`` three floats for each run of
    ``per_unit`` rows (see PARTIAL_SUMS). The rest is the gradient's: ``top`` is one float, and
    what that is divided by is ``divisor``, or the sum of the ``counts`` floats at ``kept``.
    ``ignored`` may be IGNORE_NONE, and ``weights`` 0 where all classes count alike.
    """

    input: Argument
    ld: int
    labels: Argument
    label_step: int
    output: Argument
    output_ld: int
    classes: int
    rows: int
    per_unit: int
    ignored: int
    weights: Argument
    partial: Argument = 0
    top: Argument = 0
    divisor: float = 1.0
    kept: Argument = 0
    counts: int = 0


class PairLossArgs(NamedTuple):
    """A loss over ``number`` pairs of elements of two arrays, or its gradient by one of them.

    ``partial`` are two floats for each run of ``per_unit`` pairs, the first two of PARTIAL_SUMS.
    ``factor`` is the gradient's sign; for the rest see SoftmaxLossArgs.
    """

    first: Argument
    second: Argument
    output: Argument
    number: int
    per_unit: int
    ignored: int
    partial: Argument = 0
    top: Argument = 0
    factor: float = 1.0
    divisor: float = 1.0
    kept: Argument = 0
    counts: int = 0


class TotalArgs(NamedTuple):
    """The sum of ``runs`` losses over ``divisor``, or over how many counted where that is 0.

    ``step`` is floats of a run: its loss, and how many counted.
    """

    partial: Argument
    runs: int
    step: int
    divisor: float
    output: Argument


#: What a run of rows gives: the sum of its losses, how many labels counted, how many are no class.
PARTIAL_SUMS = ("loss", "kept", "wrong")
IGNORE_NONE = -(1 << 41)  #: no label that a number can be
