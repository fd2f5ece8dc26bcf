"""Losses of pictures by structural similarity, Python layers as built in.

loss.py of NVIDIA's PL4NN (Zhao et al. 2017, "Loss Functions for Image Restoration with Neural
Networks"): L2, L1, SSIM, MSSSIM, and mixtures of MSSSIM with L1 and L2. Pictures are compared at
their centres alone: a Gaussian as large as the picture weighs its pixels. No ``backward`` there
looks at what arrives at its top: the loss weight scales the loss and not the gradient; but for L2
and L1 the second bottom gets none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.define import ShapeError
from netc.ops.param_str import parse_param_str
from netc.ops.python import PythonContext, register_built_in

_SCALES = (0.5, 1.0, 2.0, 4.0, 8.0)
_COLOURS = 3  # that SSIM and MSSSIM have Gaussians for


@dataclass(frozen=True, slots=True)
class Similarity:
    """A loss of similarity: 1 - l * prod(cs), at each width in ``sigma``, l at the last alone.

    ``plain`` is what is mixed in, L1 or L2 or nothing; ``alpha`` is the similarity's share.
    """

    c1: float
    c2: float
    sigma: tuple[float, ...]
    alpha: float
    plain: str


def _similarity(layer: str, param_str: str) -> Similarity:
    """What a layer's ``param_str`` says. SSIM and MSSSIM do not read ``alpha``."""
    one, plain = layer == "SSIM", layer.removeprefix("MSSSIM") if layer != "SSIM" else ""
    usual = 0.1 if plain == "L2" else 0.025
    known = {"c1": 0.01, "c2": 0.03, "sigma": 5.0 if one else _SCALES, "alpha": usual}
    said = parse_param_str(param_str, layer, known)
    widths = (float(said["sigma"]),) if one else tuple(map(float, said["sigma"]))
    if not param_str.strip() or not min(widths) > 0:
        raise ShapeError(
            f"`{layer}` takes a dict, `{{}}` for what is usual, and a `sigma` above 0; its "
            f"`param_str` is {param_str[:60]!r}",
            "python_param.param_str",
            code="python-layer",
        )
    alpha = float(said["alpha"]) if plain else 1.0
    return Similarity(float(said["c1"]) ** 2, float(said["c2"]) ** 2, widths, alpha, plain)


def _alike(layer: str, inputs: Sequence[Shape]) -> None:
    if len(inputs) != 2 or inputs[0] != inputs[1] or not inputs[0]:
        told = " and ".join(map(show, inputs))
        raise ShapeError(f"`{layer}` takes two bottoms of one shape, they are {told}")


def _check_pictures(layer: str, inputs: Sequence[Shape]) -> None:
    _alike(layer, inputs)
    shape = inputs[0]
    if len(shape) != 4 or shape[2] != shape[3] or shape[3] % 2 != 1:
        raise ShapeError(f"`{layer}` takes square pictures of odd width, they are {show(shape)}")
    if layer in ("SSIM", "MSSSIM") and shape[1] != _COLOURS:
        raise ShapeError(f"`{layer}` takes pictures of 3 channels, they are {show(shape)}")


def _gaussian(width: int, sigma: float) -> AnyArray:
    """Weights of the pixels of a picture, (width, width), their sum 1."""
    away = np.arange(-(width // 2), width // 2 + 1, dtype=np.float64)
    line = np.exp(-(away**2) / (2 * sigma**2))
    square = np.outer(line, line)
    found: AnyArray = square / square.sum()
    return found


@dataclass(frozen=True, slots=True)
class _Compared:
    """Two pictures under one Gaussian: luminance ``light`` and structure ``cs``, (N, C, 1, 1).

    ``dl`` and ``dcs`` give their derivatives by the first picture, (N, C, H, W).
    """

    light: AnyArray
    cs: AnyArray
    dl: Callable[[], AnyArray]
    dcs: Callable[[], AnyArray]


def _compared(said: Similarity, x: AnyArray, y: AnyArray, w: AnyArray) -> _Compared:
    def mean(of: AnyArray) -> AnyArray:
        found: AnyArray = (w * of).sum(axis=(2, 3), keepdims=True)
        return found

    mx, my = mean(x), mean(y)
    bright = mx**2 + my**2 + said.c1
    vary = mean(x**2) - mx**2 + mean(y**2) - my**2 + said.c2
    luminance = (2 * mx * my + said.c1) / bright
    structure = (2 * (mean(x * y) - mx * my) + said.c2) / vary
    return _Compared(
        luminance,
        structure,
        lambda: 2 * w * (my - mx * luminance) / bright,
        lambda: 2 / vary * w * ((y - my) - structure * (x - mx)),
    )


def _both(inputs: Arrays) -> tuple[AnyArray, AnyArray]:
    x, y = (np.asarray(array, np.float64) for array in inputs)
    return x, y


def _plain_loss(plain: str, x: AnyArray, y: AnyArray) -> AnyArray:
    """Each element's own loss: its distance, or half its square."""
    found: AnyArray = np.abs(x - y) if plain == "L1" else (x - y) ** 2 / 2
    return found


def _plain_slope(plain: str, x: AnyArray, y: AnyArray) -> AnyArray:
    found: AnyArray = np.sign(x - y) if plain == "L1" else x - y
    return found


@quietly
def _loss(layer: str, inputs: Arrays, param_str: str) -> tuple[AnyArray, ...]:
    """alpha (1 - the mean similarity) + (1 - alpha) the plain loss under the widest Gaussian."""
    said, (x, y) = _similarity(layer, param_str), _both(inputs)
    gaussians = [_gaussian(x.shape[3], sigma) for sigma in said.sigma]
    pictures = max(1, x.shape[0] * x.shape[1])
    each = [_compared(said, x, y, w) for w in gaussians]
    product = each[-1].light
    for one in each:
        product = product * one.cs
    total = said.alpha * (1 - product.sum() / pictures)
    if said.plain:
        mixed = (_plain_loss(said.plain, x, y) * gaussians[-1]).sum() / pictures
        total = total + (1 - said.alpha) * mixed
    return (np.asarray(total, inputs[0].dtype).reshape(1),)


@quietly
def _slopes(layer: str, inputs: Arrays, param_str: str) -> tuple[AnyArray | None, ...]:
    """By the first bottom, whatever arrives: dl prod(cs) + l prod(cs) sum(dcs / cs)."""
    said, (x, y) = _similarity(layer, param_str), _both(inputs)
    gaussians = [_gaussian(x.shape[3], sigma) for sigma in said.sigma]
    pictures = max(1, x.shape[0] * x.shape[1])
    each = [_compared(said, x, y, w) for w in gaussians]
    slope = each[-1].dl()
    for one in each:
        slope = slope + one.dcs() / one.cs * each[-1].light
    for one in each:
        slope = slope * one.cs
    slope = -said.alpha * slope
    if said.plain:
        slope = slope + (1 - said.alpha) * _plain_slope(said.plain, x, y) * gaussians[-1]
    return slope / pictures, None


def _register(module: str, layer: str) -> None:
    """One of the losses by similarity."""

    def loss(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
        return _loss(layer, inputs, param_str)

    def shape(inputs: Sequence[Shape], param_str: str, context: PythonContext) -> tuple[Shape, ...]:
        _similarity(layer, param_str)
        _check_pictures(layer, inputs)
        return ((1,),)

    def slopes(
        inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
    ) -> tuple[AnyArray | None, ...]:
        return _slopes(layer, inputs, param_str)

    register_built_in(module, layer, loss, shape, False, slopes)


def _register_plain(module: str, layer: str) -> None:
    """L1 or L2: the mean over all elements, by both bottoms."""

    def loss(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
        mean = _plain_loss(layer, *_both(inputs)).sum() / max(1, inputs[0].size)
        return (np.asarray(mean, inputs[0].dtype).reshape(1),)

    def shape(inputs: Sequence[Shape], param_str: str, context: PythonContext) -> tuple[Shape, ...]:
        _alike(layer, inputs)
        return ((1,),)

    def slopes(
        inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
    ) -> tuple[AnyArray, ...]:
        slope = _plain_slope(layer, *_both(inputs)) / max(1, inputs[0].size)
        return slope, -slope

    register_built_in(module, layer, loss, shape, False, slopes)


for _module in ("loss", "pyloss"):  # NVIDIA's file, and the name that dehazing nets give it
    for _name in ("L1", "L2"):
        _register_plain(_module, _name)
    for _name in ("SSIM", "MSSSIM", "MSSSIML1", "MSSSIML2"):
        _register(_module, _name)
