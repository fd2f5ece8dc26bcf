"""Steps of convolutions and deconvolutions of each channel by itself, of int8 codes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu import jit
from netc.backends.cpu.instructions import has_products
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.memory import aligned_zeros
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.depthwise import depthwise_deconv_steps, depthwise_step
from netc.backends.cpu.steps.epilogue import PLAIN, Epilogue
from netc.backends.cpu.steps.reduced import ReducedArithmetic
from netc.backends.cpu.window_args import DepthwiseArgs, WindowArgs
from netc.backends.shared.derived import elements
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import View


def depthwise_codes_step(
    name: str,
    words: View,
    y: View,
    reduced: ReducedArithmetic,
    geometry: Geometry,
    target: Machine,
    epilogue: Epilogue = PLAIN,
) -> Step:
    """A convolution of each channel by itself.

    Args:
        name: the layer's.
        words: the input's codes, four in each word.
        y: output; its ``ld`` is in words where the result is stored as codes.
        reduced: the arithmetic, of ``reduced_depthwise``.
        geometry: kernel, stride, pad and dilation.
        target: the machine.
        epilogue: bias, residual and activation.
    """
    step = depthwise_step(name, words, y, reduced.weights, geometry, epilogue)
    return _of_codes(step, reduced, target, epilogue)


def depthwise_codes_deconv_steps(
    name: str,
    words: View,
    y: View,
    reduced: ReducedArithmetic,
    geometry: Geometry,
    target: Machine,
    epilogue: Epilogue = PLAIN,
) -> list[Step]:
    """A deconvolution with as many groups as channels and no dilation; arguments as above."""
    steps = depthwise_deconv_steps(name, words, y, reduced.weights, geometry, epilogue)
    return [_of_codes(step, reduced, target, epilogue) for step in steps]


def _of_codes(step: Step, reduced: ReducedArithmetic, target: Machine, epilogue: Epilogue) -> Step:
    """A step of float32 as that of codes, which lie at the same places."""
    channels = len(reduced.weights)
    bias = None if epilogue.bias is None else elements(epilogue.bias)
    fields = len(WindowArgs._fields)
    window = WindowArgs(*step.args[:fields])  # type: ignore[arg-type]
    args = DepthwiseArgs(*step.args[fields:])._replace(channels=channels)  # type: ignore[arg-type]
    options = {**dict(step.kernel.options), "formats": reduced.formats}
    codes = elements(args.weights)  # type: ignore[arg-type]
    # Sums of codes w * (x - zero) = sum w * x - zero * sum w: the second term is known now,
    # and goes into the constants that finish a sum.
    if has_products(target, "int8") and 0 < window.kernel_y <= _ROWS and window.kernel_x:
        sums = codes.sum(axis=0, dtype=np.float64)[:channels]
        reduced = replace(reduced, summands=(-reduced.zero * sums).astype(np.int32))
        words = _columns(codes.reshape(window.kernel_y, window.kernel_x, -1))
        args = args._replace(weights=words)
        kernel = jit.spec("depthwise_words", "depthwise", rows=window.kernel_y, **options)
    else:
        kernel = jit.spec("depthwise_codes", "depthwise", **options)
    constants = reduced.panels(bias, 0, channels, target.width)
    return replace(step, kernel=kernel, args=(*window, *args._replace(bias=constants)))


_ROWS = 4  # of a window whose columns fit into words


def _columns(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(rows, columns, channels) as (columns, channels) of words, the first row lowest."""
    rows, columns, channels = codes.shape
    words = aligned_zeros((columns, channels))
    small = words.view(np.int8).reshape(columns, channels, _ROWS)
    small[:, :, :rows] = codes.transpose(1, 2, 0).astype(np.int8)
    return words
