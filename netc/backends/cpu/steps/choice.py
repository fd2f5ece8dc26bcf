"""A convolution's steps, by the algorithm that should be fastest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.conv import conv_step
from netc.backends.cpu.steps.costs import (
    DEPTHWISE,
    GROUPED,
    PRODUCT,
    SIZES,
    ConvShape,
    choose_algorithm,
)
from netc.backends.cpu.steps.depthwise import depthwise_step
from netc.backends.cpu.steps.epilogue import PLAIN, Epilogue
from netc.backends.cpu.steps.winograd import winograd_steps
from netc.backends.shared.derived import Weights
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import View


def convolution_steps(
    name: str,
    x: View,
    outputs: Sequence[View],
    weights: Weights,
    geometry: Geometry,
    target: Machine,
    epilogue: Epilogue = PLAIN,
    exact: bool = False,
) -> list[Step]:
    """A convolution by the algorithm that should be fastest.

    Args:
        name: the layer's.
        x: input, (n, h, w, c).
        outputs: where the output channels go, in order: one view, or several of the same pixels
            where convolutions of one input run as one.
        weights: (outputs, c / groups, kernel h, kernel w), Caffe's order.
        geometry: kernel, stride, pad, dilation, groups.
        target: the machine.
        epilogue: bias, residual (for a single output view) and activation.
        exact: no algorithm that changes what is summed.
    """
    y = outputs[0]
    sizes = tuple(view.c for view in outputs)
    shape = ConvShape(y.n, x.c, sizes, y.h, y.w, geometry)
    algorithm = choose_algorithm(shape, target, exact)
    # Vectors of channels that need no sum over channels, or over a few of a group.
    if algorithm in (DEPTHWISE, GROUPED):
        return [depthwise_step(name, x, y, weights, geometry, epilogue)]
    # One product of (pixels x taps * channels) by (taps * channels x outputs).
    if algorithm == PRODUCT:
        return [conv_step(name, x, outputs, weights, geometry, target, epilogue)]
    # Winograd's algorithm knows no groups: each is a convolution of its slices of channels.
    return [
        step
        for group in range(geometry.groups)
        for step in winograd_steps(
            name,
            x.channels(*_share(group, x.c, geometry)),
            outputs if geometry.groups == 1 else [y.channels(*_share(group, y.c, geometry))],
            weights[slice(*_share(group, len(weights), geometry))],
            replace(geometry, groups=1),
            target,
            epilogue if geometry.groups == 1 else _part(epilogue, _share(group, y.c, geometry)),
            SIZES[algorithm],
        )
    ]


def _share(group: int, channels: int, geometry: Geometry) -> tuple[int, int]:
    """The first channel of a group and the one after its last."""
    size = channels // geometry.groups
    return group * size, (group + 1) * size


def _part(epilogue: Epilogue, channels: tuple[int, int]) -> Epilogue:
    """The epilogue of some of the output channels."""
    activation, here = epilogue.activation, slice(*channels)
    slopes = None if activation.slopes is None else activation.slopes[here]
    return Epilogue(
        None if epilogue.bias is None else epilogue.bias[here],
        epilogue.residual.channels(*channels) if epilogue.residual else None,
        replace(activation, slopes=slopes),
    )
