"""Steps of deconvolutions of int8 codes: for each position within a stride a product of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.deconv import OutputPhase, phases, progression, shifted
from netc.backends.cpu.steps.epilogue import PLAIN, Epilogue
from netc.backends.cpu.steps.product import ImplicitProduct, product_step
from netc.backends.cpu.steps.reduced import ReducedArithmetic, as_words
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import View
from netc.ops.reduced import Int8, Number, weight_codes


@dataclass(frozen=True, slots=True, eq=False)
class CodesDeconvolution:
    """A deconvolution's arithmetic.

    Args:
        weights: (outputs, inputs / groups, kernel h, kernel w).
        geometry: of the convolution that it is the transpose of.
        number: what inputs are.
        added: what the residual is kept as; None for float32.
        stored: what the result is kept as; None for float32.
    """

    weights: NDArray[np.float32]
    geometry: Geometry
    number: Int8
    added: Number | None = None
    stored: Number | None = None

    def of_phases(self, y: View) -> Iterator[tuple[OutputPhase, OutputPhase, ReducedArithmetic]]:
        """The arithmetic of each phase: its taps' codes, with the scales of all of an output's."""
        codes, scales = weight_codes(self.weights)
        words, factors = as_words(codes, 4), np.float32(self.number.scale) * scales
        for rows in phases(y.h, 0, self.geometry):
            for columns in phases(y.w, 1, self.geometry):
                down, across = progression(rows.taps), progression(columns.taps)
                own = codes[:, :, down, across].reshape(len(codes), -1)
                summands = (-self.number.zero * own.sum(axis=1, dtype=np.int64)).astype(np.int32)
                weights = words[:, :, down, across]
                yield (
                    rows,
                    columns,
                    ReducedArithmetic(
                        self.number, weights, factors, summands, self.added, self.stored
                    ),
                )


def deconv_codes_steps(
    name: str,
    words: View,
    y: View,
    deconvolution: CodesDeconvolution,
    target: Machine,
    epilogue: Epilogue = PLAIN,
) -> list[Step]:
    """A deconvolution, as stride * stride steps at most.

    Args:
        name: the layer's.
        words: the input's codes, four in each word.
        y: output; its ``ld`` is in words where the result is stored as codes.
        deconvolution: weights and arithmetic.
        target: the machine.
        epilogue: bias, residual and activation.
    """
    geometry, residual = deconvolution.geometry, epilogue.residual
    spacing = (y.h * y.w, geometry.stride[0] * y.w, geometry.stride[1])
    steps = []
    for rows, columns, own in deconvolution.of_phases(y):
        offsets = np.array([(v, u) for v in rows.offsets for u in columns.offsets], np.int64)
        product = ImplicitProduct(
            offsets.reshape(-1, 2), own.weights, groups=geometry.groups, spacing=spacing
        )
        here = shifted(residual, rows, columns) if residual else None
        later, place = replace(epilogue, residual=here), shifted(y, rows, columns)
        steps.append(product_step(name, words, [place], product, target, later, reduced=own))
    return steps
