"""What a kernel does to its results before it stores them."""

from __future__ import annotations

from dataclasses import dataclass

from netc.backends.shared.derived import Weights
from netc.backends.shared.views import Place, View

KINDS = ("none", "relu", "leaky", "relu6", "prelu", "clip", "elu", "sigmoid", "tanh", "swish")


@dataclass(frozen=True, slots=True, eq=False)
class Activation:
    """A function of one element.

    Args:
        kind: one of KINDS. relu: max(x, 0); leaky: first * x where negative; relu6: relu, and at
            most first; prelu: slopes[c] * x where negative; clip: to first .. second; elu:
            first * (exp(x) - 1) where negative; swish: x * sigmoid(first * x).
        first: a parameter.
        second: a parameter.
        slopes: (channels,), for prelu. Slope 1 leaves a channel as it is and 0 makes it a relu.
    """

    kind: str = "none"
    first: float = 0.0
    second: float = 0.0
    slopes: Weights | None = None


NONE = Activation()


@dataclass(frozen=True, slots=True, eq=False)
class Epilogue:
    """activation(result + bias + residual).

    Args:
        bias: (channels,) or None.
        residual: a value of the output's shape that is added, or None. It may be the output
            itself.
        activation: applied last.
    """

    bias: Weights | None = None
    residual: View | None = None
    activation: Activation = NONE

    @property
    def is_plain(self) -> bool:
        """True if it does nothing."""
        return self.bias is None and self.residual is None and self.activation.kind == "none"

    @property
    def reads(self) -> tuple[Place, ...]:
        """What is read element by element, before the element of the output is written."""
        return (self.residual.place,) if self.residual else ()


PLAIN = Epilogue()
