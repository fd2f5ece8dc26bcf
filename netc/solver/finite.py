"""The error for a loss that is NaN or infinite."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netc.diagnostics import Diagnostic, NetcError, Note
from netc.ir.graph import Array

_HELP = (
    "training has diverged: try a base_lr of a tenth, clip_gradients, or smaller fillers",
    "a loss that sticks at 87.3365 is -log of the smallest float32: it has diverged already",
    "labels out of range and inputs that are not finite do the same",
)


def not_finite(
    outputs: Mapping[str, Array],
    loss: np.float32,
    iteration: int,
    rate: np.float32,
    notes: tuple[Note, ...] = (),
) -> NetcError:
    """A ``not-finite`` error for an iteration's loss; to be raised by the caller.

    Args:
        outputs: of the iteration's last pass.
        loss: of the iteration.
        iteration: from 0.
        rate: of its update.
        notes: where it comes from, as far as that is known.
    """
    named = [f"`{name}`" for name, array in outputs.items() if not np.isfinite(array).all()]
    blobs = f" ({', '.join(named)})" if named else ""
    message = f"the loss is {loss} in iteration {iteration} at a rate of {rate:g}{blobs}"
    return NetcError(Diagnostic("not-finite", message, notes=notes, help=_HELP))
