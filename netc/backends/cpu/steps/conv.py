"""Steps of dense and grouped convolutions done as implicit matrix products."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu import jit
from netc.backends.cpu.layouts import ConvArgs, PanelArgs
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.memory import aligned_zeros
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.blocking import Blocking, choose_blocking
from netc.backends.cpu.steps.epilogue import PLAIN, Epilogue
from netc.backends.cpu.views import View, moved

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Geometry:
    """How output pixels look at input pixels. Each pair is (vertical, horizontal)."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def pointwise(self) -> bool:
        """Whether each output pixel sees the input pixel of its own index."""
        return (self.kernel, self.stride, self.pad) == ((1, 1), (1, 1), (0, 0))


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Output channels that lie together: where they go and the weights that make them.

    Args:
        y: output pixels of these channels.
        weights: (channels, inputs of a group, kernel h, kernel w).
        first: the first of these channels among all outputs.
        source: the first input channel that they see.
    """

    y: View
    weights: Array
    first: int
    source: int


def conv_step(
    name: str,
    x: View,
    outputs: Sequence[View],
    weights: Array,
    geometry: Geometry,
    target: Machine,
    epilogue: Epilogue = PLAIN,
    blocking: Blocking | None = None,
) -> Step:
    """A convolution.

    Args:
        name: the layer's.
        x: input, (n, h, w, c).
        outputs: where the output channels go, in order: one view, or several of the same pixels
            where convolutions of one input run as one.
        weights: (outputs, c / groups, kernel h, kernel w), Caffe's order.
        geometry: kernel, stride, pad, dilation, groups.
        target: the machine.
        epilogue: bias, residual (for a single output view) and activation.
        blocking: how it is cut; fitted to the machine where None.
    """
    y = outputs[0]
    run = x.c // geometry.groups * (geometry.kernel[1] if runs_join(x, geometry) else 1)
    taps = math.prod(geometry.kernel) * x.c // geometry.groups // run
    parts = list(split_parts(outputs, weights, geometry.groups, x.c))
    cut = blocking or choose_blocking(y.pixels, [p.y.c for p in parts], run * taps, target)
    lanes = cut.columns * target.width
    rows = [row for part in parts for row in panel_rows(part, lanes, epilogue)]
    tiles = math.ceil(y.pixels / cut.rows)
    header = ConvArgs(
        input=x.place,
        ld=4 * x.ld,
        height=x.h,
        width=x.w,
        out_height=y.h,
        out_width=y.w,
        pixels=y.pixels,
        stride_y=geometry.stride[0],
        stride_x=geometry.stride[1],
        taps=taps,
        offsets=tap_offsets(geometry, taps),
        channels=run,
        zeros=aligned_zeros((x.c * geometry.kernel[1],)),
        panels=len(rows),
        tiles_per_unit=cut.tiles,
        panels_per_unit=cut.panels,
        panel_major=int(cut.panel_major),
        out_image=y.h * y.w,
        out_row=y.w,
        out_step=1,
        first=epilogue.activation.first,
        second=epilogue.activation.second,
    )
    return Step(
        name,
        _kernel(geometry, epilogue, cut),
        (*header, *chain.from_iterable(rows)),
        units=math.ceil(tiles / cut.tiles) * math.ceil(len(rows) / cut.panels),
        scratch=8 * cut.rows * (taps + 1),
    )


def _kernel(geometry: Geometry, epilogue: Epilogue, cut: Blocking) -> jit.KernelSpec:
    return jit.spec(
        "conv",
        "convolve",
        rows=cut.rows,
        columns=cut.columns,
        activation=epilogue.activation.kind,
        residual=epilogue.residual is not None,
        pointwise=geometry.pointwise,
    )


def runs_join(x: View, geometry: Geometry) -> bool:
    """Whether the taps of a kernel's row read one run of memory, as one tap of more channels."""
    return (
        geometry.pad[1] == 0
        and geometry.dilation[1] == 1
        and geometry.groups == 1
        and x.ld == x.c
        and geometry.kernel[1] > 1
    )


def tap_offsets(geometry: Geometry, taps: int) -> NDArray[np.int64]:
    """(taps, 2): each tap's vertical and horizontal distance from stride * output position."""
    columns = taps // geometry.kernel[0]
    grid = np.indices((geometry.kernel[0], columns)).reshape(2, -1).T
    return np.ascontiguousarray(grid * geometry.dilation - np.array(geometry.pad), np.int64)


def split_parts(
    outputs: Sequence[View], weights: Array, groups: int, inputs: int
) -> Iterator[Part]:
    """The output channels cut where views or groups end."""
    size = weights.shape[0] // groups
    first = 0
    for view in outputs:
        start = 0
        while start < view.c:
            stop = min(view.c, (first // size + 1) * size - first + start)
            source = first // size * (inputs // groups)
            part = weights[first : first + stop - start]
            yield Part(view.channels(start, stop), part, first, source)
            first += stop - start
            start = stop


def pack_weights(weights: Array, lanes: int) -> Array:
    """(outputs, inputs, kernel ...) -> (panels, taps, inputs, lanes), zeros in the lanes over."""
    outputs, inputs = weights.shape[:2]
    panels = math.ceil(outputs / lanes)
    packed = aligned_zeros((panels, math.prod(weights.shape[2:]), inputs, lanes))
    for k in range(panels):
        part = weights[k * lanes : (k + 1) * lanes].reshape(-1, *packed.shape[2:0:-1])
        packed[k, :, :, : len(part)] = part.transpose(2, 1, 0)
    return packed


def pack_channels(values: Array | None, lanes: int, count: int) -> Array:
    """(channels,) -> (panels, lanes); zeros where there is none."""
    padded = aligned_zeros((math.ceil(count / lanes), lanes))
    if values is not None:
        padded.reshape(-1)[:count] = values
    return padded


def panel_rows(part: Part, lanes: int, epilogue: Epilogue) -> list[PanelArgs]:
    """The argument rows of a part's panels."""
    packed = pack_weights(part.weights, lanes)
    here = slice(part.first, part.first + part.y.c)
    bias = None if epilogue.bias is None else epilogue.bias[here]
    slopes = epilogue.activation.slopes
    biases = pack_channels(bias, lanes, part.y.c)
    slopes = biases if slopes is None else pack_channels(slopes[here], lanes, part.y.c)
    residual = epilogue.residual
    return [
        PanelArgs(
            weights=packed[k],
            bias=biases[k],
            input_offset=4 * part.source,
            output=moved(part.y.place, k * lanes),
            output_ld=4 * part.y.ld,
            channels=min(lanes, part.y.c - k * lanes),
            residual=moved(residual.place, part.first + k * lanes) if residual else 0,
            residual_ld=4 * residual.ld if residual else 0,
            slopes=slopes[k],
        )
        for k in range(len(packed))
    ]
