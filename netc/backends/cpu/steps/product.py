"""Implicit matrix products: the step that dense convolutions and deconvolutions become."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu import jit
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.memory import aligned_zeros
from netc.backends.cpu.product_args import ConvArgs, PanelArgs
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.blocking import Blocking, choose_blocking
from netc.backends.cpu.steps.epilogue import PLAIN, Epilogue
from netc.backends.cpu.steps.packing import copied, panels
from netc.backends.cpu.steps.reduced import ReducedArithmetic, words_of
from netc.backends.shared.derived import Derived, Weights, derived, elements
from netc.backends.shared.views import View, moved

Array = NDArray[np.float32]
Packed = dict[tuple[int, int], Weights]  # (first output channel, lanes of a panel) -> panels


@dataclass(frozen=True, slots=True, eq=False)
class ImplicitProduct:
    """A product of weights with the input pixels that each output pixel sees.

    Args:
        offsets: (taps, 2) int64: output pixel (i, j) sees input pixel stride * (i, j) + offset;
            what lies outside the input is zero.
        weights: (outputs, channels of a group * run, taps ...).
        stride: vertical and horizontal.
        groups: of channels.
        run: neighbouring input pixels that a tap reads together.
        spacing: how far apart (images, rows, columns) of outputs are, counted in pixels of the
            output's view; None where they follow each other.
    """

    offsets: NDArray[np.int64]
    weights: Weights
    stride: tuple[int, int] = (1, 1)
    groups: int = 1
    run: int = 1
    spacing: tuple[int, int, int] | None = None

    @property
    def pointwise(self) -> bool:
        """True if each output pixel sees only the input pixel of its own index."""
        one = self.stride == (1, 1) and self.run == 1 and self.spacing is None
        return one and self.offsets.tolist() == [[0, 0]]


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Output channels that lie together, their weights, and where both sides start."""

    y: View
    weights: Weights
    first: int
    source: int


def product_step(
    name: str,
    x: View,
    outputs: Sequence[View],
    product: ImplicitProduct,
    target: Machine,
    epilogue: Epilogue = PLAIN,
    blocking: Blocking | None = None,
    packed: Packed | None = None,
    reduced: ReducedArithmetic | None = None,
) -> Step:
    """The step of a product; see :func:`netc.backends.cpu.steps.conv.conv_step`.

    With ``reduced`` the product is one of words: the channels of ``x`` and of the weights are words
    of four bytes. A result that is stored reduced has ``ld`` in words too, and so has a residual.
    """
    y, depth = outputs[0], max(1, math.prod(product.weights.shape[1:]))
    parts = list(_parts(outputs, product, x.c, reduced))
    sizes = [part.y.c for part in parts]
    # How the product is cut follows from shapes and the machine alone, never from threads.
    cut = blocking or choose_blocking(y.pixels, sizes, depth, target, 4 * x.span)
    lanes = cut.columns * target.width
    known: Packed = {} if packed is None else packed
    rows = [row for part in parts for row in _panel_rows(part, lanes, epilogue, known, reduced)]
    # Units: blocks of tiles times blocks of panels; scratch memory is of one thread.
    tiles = math.ceil(y.pixels / cut.rows)
    return Step(
        name,
        _kernel(product, epilogue, cut, reduced),
        (*_header(x, y, product, epilogue, cut, len(rows), reduced), *chain.from_iterable(rows)),
        units=math.ceil(tiles / cut.tiles) * math.ceil(len(rows) / cut.panels),
        scratch=_scratch(cut, lanes, len(product.offsets)),
        pointwise_reads=epilogue.reads,
    )


def _scratch(cut: Blocking, lanes: int, taps: int) -> int:
    """Bytes for indices and addresses of a tile; with blocks, for those and sums of all tiles."""
    places = 8 * cut.rows * (taps + 1)
    return cut.tiles * (places + 4 * cut.rows * lanes) if cut.block else places


def _header(
    x: View,
    y: View,
    product: ImplicitProduct,
    epilogue: Epilogue,
    cut: Blocking,
    panels: int,
    reduced: ReducedArithmetic | None,
) -> ConvArgs:
    # Distances between outputs, in pixels: those of a deconvolution's phase are spread out.
    image, row, step = product.spacing or (y.h * y.w, y.w, 1)
    vertical, horizontal = product.offsets.T
    return ConvArgs(
        input=x.place,
        ld=4 * x.ld,
        height=x.h,
        width=x.w,
        out_height=y.h,
        out_width=y.w,
        pixels=y.pixels,
        stride_y=product.stride[0],
        stride_x=product.stride[1],
        taps=len(product.offsets),
        offsets=product.offsets,
        distances=np.ascontiguousarray(4 * x.ld * (vertical * x.w + horizontal)),
        min_y=int(vertical.min(initial=0)),
        max_y=int(vertical.max(initial=0)),
        min_x=int(horizontal.min(initial=0)),
        max_x=int(horizontal.max(initial=0)),
        channels=product.weights.shape[1],
        zeros=_padding(x.c * product.run, reduced),
        panels=panels,
        tiles_per_unit=cut.tiles,
        panels_per_unit=cut.panels,
        panel_major=int(cut.panel_major),
        block=cut.block,
        out_image=image,
        out_row=row,
        out_step=step,
        first=epilogue.activation.first,
        second=epilogue.activation.second,
    )


def _padding(channels: int, reduced: ReducedArithmetic | None) -> Array:
    """A pixel of what lies around the input."""
    made = aligned_zeros((channels,))
    if reduced is not None:
        made[:] = reduced.padding
    return made


def _kernel(
    product: ImplicitProduct, epilogue: Epilogue, cut: Blocking, reduced: ReducedArithmetic | None
) -> jit.KernelSpec:
    formats = {} if reduced is None else {"formats": reduced.formats}
    return jit.spec(
        "conv_k_blocked" if cut.block else "conv",
        "convolve",
        tile=(cut.rows, cut.columns),
        activation=epilogue.activation.kind,
        residual=epilogue.residual is not None,
        pointwise=product.pointwise,
        **formats,
    )


def _parts(
    outputs: Sequence[View],
    product: ImplicitProduct,
    inputs: int,
    reduced: ReducedArithmetic | None,
) -> Iterator[_Part]:
    """The output channels cut where views or groups end."""
    # A panel must not straddle two output views or two groups:
    #
    #   views    |---- view 0 ----|-- view 1 --|
    #   groups   |- group 0 -|----- group 1 ---|
    #   parts    |-- part 0 -|- 1 |--- part 2 -|
    size = product.weights.shape[0] // product.groups
    first = 0
    for view in outputs:
        start = 0
        while start < view.c:
            stop = min(view.c, (first // size + 1) * size - first + start)
            source = first // size * (inputs // product.groups)
            weights = product.weights[first : first + stop - start]
            place = moved(view.place, words_of(start, reduced.stored if reduced else None))
            yield _Part(replace(view.channels(start, stop), place=place), weights, first, source)
            first += stop - start
            start = stop


def pack_weights(weights: Weights, lanes: int) -> Weights:
    """(outputs, inputs, taps ...) -> (panels, taps, inputs, lanes), zeros in the lanes over."""
    #   packed[panel][tap][input][lane] = weights[panel * lanes + lane][input][tap]
    outputs, inputs, *taps = weights.shape
    shape = math.ceil(outputs / lanes), math.prod(taps), inputs, lanes

    def by_numpy(weights: Array) -> Array:
        packed, flat = aligned_zeros(shape), weights.reshape(outputs, inputs, -1)
        for k, panel in enumerate(packed):
            part = flat[k * lanes : (k + 1) * lanes]
            panel[:, :, : len(part)] = part.transpose(2, 1, 0)
        return packed

    if 0 in shape:
        return aligned_zeros(shape)
    made = panels(weights, shape, lanes, by_numpy) if isinstance(weights, Derived) else None
    return derived(by_numpy, weights) if made is None else made


def pack_channels(values: Weights | None, lanes: int, count: int) -> Weights:
    """(channels,) -> (panels, lanes); zeros where there is none."""
    shape = math.ceil(count / lanes), lanes

    def by_numpy(values: Array) -> Array:
        padded = aligned_zeros(shape)
        padded.reshape(-1)[:count] = values
        return padded

    if values is None:
        return aligned_zeros(shape)
    made = copied(values, shape, by_numpy) if isinstance(values, Derived) else None
    return derived(by_numpy, values) if made is None else made


def _panel_rows(
    part: _Part, lanes: int, epilogue: Epilogue, packed: Packed, reduced: ReducedArithmetic | None
) -> list[PanelArgs]:
    """The argument rows of a part's panels."""
    key = part.first, lanes
    if key not in packed:
        packed[key] = pack_weights(part.weights, lanes)
    return panel_rows(packed[key], part.y, part.first, 4 * part.source, lanes, epilogue, reduced)


def panel_rows(
    packed: Weights,
    y: View,
    first: int,
    source: int,
    lanes: int,
    epilogue: Epilogue,
    reduced: ReducedArithmetic | None = None,
) -> list[PanelArgs]:
    """The argument rows of packed panels.

    Args:
        packed: one array a panel.
        y: output of these panels.
        first: the first of these channels among all outputs.
        source: bytes from an input pixel's start to the channels that they see.
        lanes: channels of a panel.
        epilogue: bias, residual and activation of all outputs.
        reduced: the arithmetic, where it is not that of float32.
    """
    # Bias, slopes and residual are of all outputs; each panel gets its own part.
    here = slice(first, first + y.c)
    bias = None if epilogue.bias is None else epilogue.bias[here]
    own = epilogue.activation.slopes
    biases: Weights
    if reduced is None:
        biases = pack_channels(bias, lanes, y.c)
    else:
        plain = None if epilogue.bias is None else elements(epilogue.bias)
        biases = reduced.panels(plain, first, y.c, lanes)
    slopes = biases if own is None else pack_channels(own[here], lanes, y.c)
    residual = epilogue.residual
    added, stored = (None, None) if reduced is None else (reduced.added, reduced.stored)
    return [
        PanelArgs(
            weights=packed[k],
            bias=biases[k],
            input_offset=source,
            output=moved(y.place, words_of(k * lanes, stored)),
            output_ld=4 * y.ld,
            channels=min(lanes, y.c - k * lanes),
            residual=moved(residual.place, words_of(first + k * lanes, added)) if residual else 0,
            residual_ld=4 * residual.ld if residual else 0,
            slopes=slopes[k],
        )
        for k in range(len(packed))
    ]
