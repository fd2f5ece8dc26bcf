"""Products to be measured: of the same size as a net's, with noise for values, and what is right.

A configuration is measured in memory of its own, and its result is compared with float64 sums of
the same numbers made on the host: no kernel, netc's or a library's, is trusted before it has given
the right answer on this device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netc.backends.cuda.chain import FusedOutput
from netc.backends.cuda.emission import CudaEmitContext
from netc.backends.cuda.products.launches import config_launches
from netc.backends.cuda.products.library import LibraryEpilogue, library_launches, rest_launches
from netc.backends.cuda.products.product import Product
from netc.backends.cuda.products.tiled import weights_as_read
from netc.backends.cuda.products.tiles import ProductConfig
from netc.backends.cuda.program import Launch
from netc.backends.shared.derived import elements
from netc.backends.shared.views import Arena, View
from netc.ir.graph import Array

TOLERANCE = {"float32": 1e-4, "tf32": 1e-2, "fp16": 1e-2}  # of the largest value
_PIXELS = 24  # that are looked at, about
OTHER = 0.5  # what a library adds to a trial's results


class Trial(NamedTuple):
    """A product between places of its own.

    Args:
        product: no bias, no stages.
        epilogue: what a library does after it.
        has_rest: whether a kernel of ours follows it.
        has_epilogue: whether a kernel of ours follows a library that makes the product alone.
        arena: elements.
    """

    product: Product
    epilogue: LibraryEpilogue
    has_rest: bool
    has_epilogue: bool
    arena: int

    def library_epilogue(self, fused: bool) -> LibraryEpilogue:
        """What a library does after the product."""
        return self.epilogue if fused else LibraryEpilogue()

    def weights(self, emission: CudaEmitContext, weights: Array) -> Array:
        """Weights as kernels read them: converted once for all configurations."""
        return elements(weights_as_read(emission, replace(self.product, weights=lambda: weights)))

    def launches(
        self, emission: CudaEmitContext, config: ProductConfig, weights: Array
    ) -> list[Launch]:
        """The product with these weights, as configured."""
        product = replace(self.product, weights=lambda: weights)
        if config.algorithm is None or config.winograd:
            return config_launches(emission, product, config)
        fused = config.algorithm.fuses_epilogue
        found = library_launches(emission, product, config.algorithm, self.library_epilogue(fused))
        if self.has_rest if fused else self.has_epilogue:
            found += rest_launches(emission, product, product.out, LibraryEpilogue())
        return found


def trial(product: Product, epilogue: LibraryEpilogue | None = None) -> Trial:
    """A product of the same size as another, with noise for weights."""
    x = replace(product.x, place=Arena(0))
    place, targets = _after(x), []
    for target in product.targets:
        view = replace(target.view, place=Arena(place))
        targets.append(FusedOutput(view, (view.pixels, view.c)))
        place = _after(view)
    epilogue = epilogue or LibraryEpilogue()
    other, bias = epilogue.other, epilogue.bias
    has_rest = bool(epilogue.rest) or (bias is None and product.targets[0].bias is not None)
    if other is not None:
        other = replace(other, place=Arena(place))
        place = _after(other)
    if bias is not None:
        bias = noise(bias.shape)
    plain = replace(
        product,
        x=x,
        targets=tuple(targets),
        weights=lambda: noise(weights_shape(product)),
        name="trial",
    )
    first = product.targets[0]
    has_epilogue = bool(first.stages) or first.bias is not None
    return Trial(plain, LibraryEpilogue(bias, other, epilogue.relu), has_rest, has_epilogue, place)


def _after(view: View) -> int:
    """The next element that lies at a multiple of 256 bytes."""
    return view.place.offset + -(-view.span // 128) * 128


def weights_shape(product: Product) -> tuple[int, ...]:
    """The shape of what :attr:`Product.weights` gives."""
    if product.phases is not None:
        return (product.phases.weights,)
    outputs = sum(target.view.c for target in product.targets)
    return (outputs, len(product.taps) * product.channels)


def noise(shape: Sequence[int]) -> Array:
    """Numbers that are not zero, which a device may treat otherwise."""
    block = np.random.default_rng(0).standard_normal(65521, dtype=np.float32)
    return np.resize(block, tuple(shape))


class SampledResults(NamedTuple):
    """The right results at evenly spaced pixels, the last one included: (pixels, channels) each."""

    start: int
    step: int
    values: tuple[NDArray[np.float64], ...]

    @property
    def pixels(self) -> int:
        """The number of pixels."""
        return len(self.values[0])


def sample(
    found: Trial, x: NDArray[np.float32], weights: Array, fused: bool
) -> SampledResults | None:
    """What some pixels of the outputs should be; None for a deconvolution, which is not looked at.

    Args:
        found: the trial.
        x: the input, (n, c, h, w).
        weights: (outputs of all targets, K).
        fused: whether the epilogue counts, too.
    """
    product, epilogue = found.product, found.epilogue
    if product.phases is not None:
        return None
    last = product.out.pixels - 1
    step = max(1, last // _PIXELS)
    pixels = np.arange(last % step, last + 1, step)
    values = _products(product, x, weights, pixels)
    parts = np.split(values, np.cumsum([t.view.c for t in product.targets])[:-1], axis=1)
    if fused:
        (whole,) = parts
        parts = [_finished(whole, epilogue)]
    return SampledResults(last % step, step, tuple(parts))


def _finished(values: NDArray[np.float64], epilogue: LibraryEpilogue) -> NDArray[np.float64]:
    """With the bias, the other value, and ReLU."""
    biased = values if epilogue.bias is None else values + elements(epilogue.bias).reshape(-1)
    summed = biased if epilogue.other is None else biased + OTHER
    return np.maximum(summed, 0) if epilogue.relu else summed


def _products(
    product: Product, x: NDArray[np.float32], weights: Array, pixels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(pixels, outputs of all targets)."""
    groups, channels, y = product.groups, product.channels, product.out
    image, place = np.divmod(pixels, y.h * y.w) if not product.pointwise else (pixels * 0, pixels)
    if product.pointwise:
        rows = np.moveaxis(x, 1, -1).reshape(-1, product.x.c)[pixels][:, None]
    else:
        rows = _seen(product, x, image, *np.divmod(place, y.w))
    seen = rows.reshape(len(pixels), len(product.taps), groups, channels).transpose(2, 0, 1, 3)
    split = weights.astype(np.float64).reshape(groups, -1, len(product.taps) * channels)
    sums = seen.reshape(groups, len(pixels), -1).astype(np.float64) @ split.transpose(0, 2, 1)
    return np.ascontiguousarray(sums.transpose(1, 0, 2)).reshape(len(pixels), -1)


def _seen(
    product: Product,
    x: NDArray[np.float32],
    image: NDArray[np.int64],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
) -> NDArray[np.float32]:
    """(pixels, taps, channels): what output pixels see, zeros beyond the edge."""
    if x.size == 0:  # output pixels that see nothing but padding
        return np.zeros((len(row), len(product.taps), x.shape[1]), np.float32)
    down = row[:, None] * product.stride[0] + product.taps[:, 0]
    right = column[:, None] * product.stride[1] + product.taps[:, 1]
    inside = (0 <= down) & (down < product.x.h) & (0 <= right) & (right < product.x.w)
    values = x[image[:, None], :, np.where(inside, down, 0), np.where(inside, right, 0)]
    return np.where(inside[..., None], values, np.float32(0))


def error_of(wanted: SampledResults, outputs: Sequence[NDArray[np.floating]]) -> float:
    """The largest error of outputs at the sample's pixels, relative to the largest value."""
    worst = 0.0
    for values, output in zip(wanted.values, outputs, strict=True):
        if not np.isfinite(output).all():
            return float("inf")
        error = np.abs(output.astype(np.float64) - values).max(initial=0)
        worst = max(worst, float(error / (np.abs(values).max(initial=0) or 1)))
    return worst
