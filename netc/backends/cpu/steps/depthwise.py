"""Steps of convolutions and deconvolutions of each channel by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu import jit
from netc.backends.cpu.memory import aligned_zeros
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.deconv import OutputPhase, phases, progression, shifted
from netc.backends.cpu.steps.elementwise import padded
from netc.backends.cpu.steps.epilogue import PLAIN, Epilogue
from netc.backends.cpu.steps.product import pack_weights
from netc.backends.cpu.steps.window import window_args
from netc.backends.cpu.window_args import DepthwiseArgs
from netc.backends.shared.derived import Weights
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import View

Array = NDArray[np.float32]
Spacing = tuple[int, int, int]


def depthwise_step(
    name: str,
    x: View,
    y: View,
    weights: Weights,
    geometry: Geometry,
    epilogue: Epilogue = PLAIN,
    spacing: Spacing | None = None,
) -> Step:
    """A convolution of each channel by itself, or of groups of as many outputs as inputs.

    Args:
        name: the layer's.
        x: input.
        y: output, of as many channels.
        weights: (channels, channels of a group, kernel h, kernel w).
        geometry: kernel, stride, pad, which may be negative, and dilation.
        epilogue: bias, residual and activation.
        spacing: distances between images, rows and columns of outputs in pixels of y's memory.
    """
    packed = _packed(weights)
    zeros = aligned_zeros((packed.shape[1],))
    activation, residual = epilogue.activation, epilogue.residual
    image, row, step = spacing or (y.h * y.w, y.w, 1)
    args = DepthwiseArgs(
        channels=x.c,
        weights=packed,
        tap=4 * packed.shape[1],
        bias=zeros if epilogue.bias is None else padded(epilogue.bias),
        slopes=zeros if activation.slopes is None else padded(activation.slopes),
        output=y.place,
        output_ld=4 * y.ld,
        out_image=image,
        out_row=row,
        out_step=step,
        residual=residual.place if residual else 0,
        residual_ld=4 * residual.ld if residual else 0,
        first=activation.first,
        second=activation.second,
    )
    kernel = _kernel(geometry, epilogue, weights.shape[1])
    block = (*window_args(x, y, geometry), *args)
    return Step(name, kernel, block, y.n * y.h, pointwise_reads=epilogue.reads)


def _kernel(geometry: Geometry, epilogue: Epilogue, group: int) -> jit.KernelSpec:
    return jit.spec(
        "depthwise",
        "depthwise",
        columns=geometry.kernel[1],
        stride=geometry.stride[1],
        dilation=geometry.dilation[1],
        activation=epilogue.activation.kind,
        residual=epilogue.residual is not None,
        **({"group": group} if group > 1 else {}),
    )


def _packed(weights: Weights) -> Weights:
    """(channels, g, h, w) -> (taps * g, channels), channels up to a whole number of vectors."""
    #   packed[(row * kernel_w + column) * g + input][channel]; channels in whole vectors, zeros at
    #   the end
    lanes = len(padded(np.zeros(weights.shape[0], np.float32)))
    return pack_weights(weights, lanes)[0].reshape(-1, lanes)


def depthwise_deconv_steps(
    name: str,
    x: View,
    y: View,
    weights: Weights,
    geometry: Geometry,
    epilogue: Epilogue = PLAIN,
) -> list[Step]:
    """A deconvolution with as many groups as channels and no dilation; see ``deconv_steps``."""
    return [
        _phase_step(name, x, y, weights, geometry, rows, columns, epilogue)
        for rows in phases(y.h, 0, geometry)
        for columns in phases(y.w, 1, geometry)
    ]


def _phase_step(
    name: str,
    x: View,
    y: View,
    weights: Weights,
    geometry: Geometry,
    rows: OutputPhase,
    columns: OutputPhase,
    epilogue: Epilogue,
) -> Step:
    # The offsets fall by one from tap to tap: backwards they are a plain window.
    chosen = weights[:, :, progression(rows.taps[::-1]), progression(columns.taps[::-1])]
    pad = (-min(rows.offsets, default=0), -min(columns.offsets, default=0))
    window = Geometry((len(rows.taps), len(columns.taps)), pad=pad, groups=geometry.groups)
    spacing = (y.h * y.w, geometry.stride[0] * y.w, geometry.stride[1])
    residual = epilogue.residual
    moved = replace(epilogue, residual=shifted(residual, rows, columns) if residual else None)
    place = shifted(y, rows, columns)
    return depthwise_step(name, x, place, chosen, window, moved, spacing)
