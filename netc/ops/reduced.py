"""Products in fewer bits than float32: what they mean, to the last bit.

Made by a pass (netc.passes.reduce), never written in a net. The functions here are slow and plain;
kernels are compared with them bit for bit. Blobs are float32 arrays all the same: what is
kept in fewer bits between two layers holds numbers that those bits can express.

bfloat16
    Inputs and weights are rounded to 8 significant bits, to nearest, ties to even. Sums are
    float32: for each element of the kernel, row by row, and each pair of channels (2i, 2i + 1) the
    product of the second is added and then that of the first, each sum rounded. That is
    what VDPBF16PS does (Intel's manual, volume 2), so its order is the order here. The
    instruction takes denormal numbers for 0 and gives none; here numbers below 2**-56 become 0 when
    they are rounded, and then no sum that is not 0 can be below 2**-126: there is nothing
    left to differ about. Where a product overflows float32, a sum may be infinite or NaN.

int8
    An input x has the code ``clip(rint(x / scale) + zero, 0, 255)``: zero is 0 where no value is
    negative, and 128 else. A weight of output o has the code ``rint(w / scale[o])`` from -127 to
    127, with ``scale[o] = max|w[o]| / 127``. Sums of products of (code - zero) with weights' codes
    are whole numbers below 2**31, exact in any order. They become float32 once (to nearest), times
    ``scale * scale[o]``, plus the bias. Divisions by an input's scale are products with
    ``1 / scale``, in float32. NaN has the code 0. Depthwise convolutions and deconvolutions are
    rounded in the same way; a weight of a deconvolution belongs to the output that it adds to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from netc.ir.params import HasParams
from netc.ir.types import Shape, count
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.bfloat16 import SMALLEST_BFLOAT16
from netc.ops.columns import at_least_one, window_columns
from netc.ops.convolution import CONVOLUTION, DECONVOLUTION
from netc.ops.convolution_params import ConvolutionParams, convolution_axes
from netc.ops.define import (
    FLOAT,
    Arity,
    Cost,
    ErasedOp,
    Kernel,
    OpDef,
    WeightSpec,
    erased,
    same_shape,
    unwritten,
)
from netc.ops.linear import INNER_PRODUCT, InnerProductParams
from netc.ops.role import Role
from netc.ops.window import Window, taps

if TYPE_CHECKING:
    from numpy.typing import NDArray

if TYPE_CHECKING:
    Floats = NDArray[np.float32]
else:
    Floats = object

MAX_TERMS = (2**31 - 1) // (255 * 127)
"""Terms that a sum of int8 products may have: more could leave int32."""
MAX_TAPS = 2**24 // (255 * 127)
"""Those of a depthwise sum: more could leave the whole numbers that float32 has."""
MAX_PHASES = 4096
"""Pixels of a deconvolution's stride: it is a product of its own for each."""


@dataclass(frozen=True, slots=True)
class Bfloat16:
    """The number format bfloat16: 8 significant bits and float32's exponents."""

    name: ClassVar[str] = "bf16"
    per_word: ClassVar[int] = 2
    """How many lie in four bytes."""

    def rounded(self, x: AnyArray) -> Floats:
        """The nearest bfloat16 numbers, as float32 of the same shape."""
        return round_to_bfloat16(np.asarray(x))


@dataclass(frozen=True, slots=True)
class Int8:
    """Quantisation to codes from 0 to 255, which stand for ``scale * (code - zero)``.

    Args:
        scale: above 0, float32.
        zero: the code of 0.0: 0 or 128.
    """

    scale: float
    zero: int
    name: ClassVar[str] = "int8"
    per_word: ClassVar[int] = 4

    @property
    def inverse(self) -> np.float32:
        """1 / ``scale`` in float32: numbers are multiplied by it to get their codes."""
        return np.float32(1) / np.float32(self.scale)

    def codes(self, x: AnyArray) -> NDArray[np.uint8]:
        """The code of each element, uint8 of the same shape; NaN has the code 0."""
        with np.errstate(over="ignore", invalid="ignore"):
            near = np.rint(np.asarray(x) * self.inverse) + np.float32(self.zero)
        above = np.where(near > 0, near, np.float32(0))  # of NaN too
        return np.where(above < 255, above, np.float32(255)).astype(np.uint8)

    def rounded(self, x: AnyArray) -> Floats:
        """The numbers that the codes of ``x`` stand for, float32 of the same shape."""
        steps = self.codes(x).astype(np.float32) - np.float32(self.zero)
        return steps * np.float32(self.scale)


Number = Bfloat16 | Int8
FORMATS: Mapping[Role, tuple[str, ...]] = {
    Role.CONVOLUTION: (Bfloat16.name, Int8.name),
    Role.DECONVOLUTION: (Int8.name,),
    Role.INNER_PRODUCT: (Bfloat16.name, Int8.name),
}
"""What products can be computed in, by their roles; see :func:`misfit` for which of them."""


def round_to_bfloat16(x: Floats) -> Floats:
    """The nearest bfloat16 numbers, ties to even; NaN stays NaN, below 2**-56 becomes 0."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    up = bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    near = (up & np.uint32(0xFFFF0000)).view(np.float32)
    kept = np.where(np.abs(x) < np.float32(SMALLEST_BFLOAT16), np.float32(0), near)
    return np.where(np.isnan(x), np.float32(np.nan), kept)


class Codes(NamedTuple):
    """Weights as int8 codes, in the weights' shape, and each output's scale, float32 (outputs,)."""

    codes: NDArray[np.int8]
    scales: Floats


def weight_codes(weights: AnyArray) -> Codes:
    """Codes of weights (outputs, ...), by the rule in the module's docstring.

    An output whose weights are all 0 has scale 1. The codes stay the same where an output's weights
    are multiplied by a positive number, and where they are computed from the numbers that they
    stand for.
    """
    flat = np.asarray(weights, np.float32).reshape(len(weights), -1)
    limit = np.abs(flat).max(axis=1, initial=0)
    scales = np.where(limit > 0, limit / np.float32(127), np.float32(1))
    scales = np.where(scales > 0, scales, np.float32(1))  # of denormal weights
    near = np.clip(np.rint(flat / scales[:, None]), -127, 127)
    return Codes(near.astype(np.int8).reshape(np.shape(weights)), scales)


@dataclass(frozen=True, slots=True)
class ReducedParams(HasParams):
    """Parameters of the product, and the number format of its input and weights."""

    product: ConvolutionParams | InnerProductParams
    number: Number

    @property
    def params(self) -> ConvolutionParams | InnerProductParams:
        """The product's."""
        return self.product

    @property
    def num_output(self) -> int:
        """The number of output channels."""
        return self.product.num_output


@dataclass(frozen=True, slots=True)
class RoundingParams:
    """The number format that the elements of a blob are rounded to."""

    number: Number


# Sums


def _sums(params: ConvolutionParams, number: Number, x: Floats, weights: Floats) -> Floats:
    """A convolution's sums, without bias."""
    plain = replace(params, bias=False)
    if isinstance(number, Int8):
        codes, scales = weight_codes(weights)
        steps = number.codes(x).astype(np.float64) - number.zero
        (sums,) = CONVOLUTION.reference(plain, [steps], [codes.astype(np.float64)])
        factors = np.float32(number.scale) * scales
        channels = (1, -1, *(1,) * (sums.ndim - 2))
        return sums.astype(np.float32) * factors.reshape(channels)
    rounded, own = number.rounded(x), number.rounded(weights)
    return np.stack([_bfloat16_sums(plain, image, own) for image in rounded])


def _bfloat16_sums(params: ConvolutionParams, image: Floats, weights: Floats) -> Floats:
    """Sums of one image, in the order that the head of this file says."""
    axes = at_least_one(convolution_axes(params, (1, *image.shape)))
    places = tuple(axis.out for axis in axes)
    columns = window_columns(image, taps(axes), axes, places).reshape(len(image), -1, count(places))
    share, inputs = params.num_output // params.group, len(image) // params.group
    kernels = weights.reshape(len(weights), inputs, -1)
    y = np.zeros((params.num_output, count(places)), np.float32)
    for group in range(params.group):
        own = slice(group * share, (group + 1) * share)
        seen = columns[group * inputs : (group + 1) * inputs]
        y[own] = _in_pairs(seen, kernels[own])
    return y.reshape(params.num_output, *places)


def _in_pairs(columns: Floats, kernels: Floats) -> Floats:
    """(inputs, taps, places) by (outputs, inputs, taps), the second of each pair first."""
    sums = np.zeros((len(kernels), columns.shape[2]), np.float32)
    for tap in range(columns.shape[1]):
        for c in range(0, len(columns), 2):
            for i in (c + 1, c):
                if i < len(columns):
                    sums = sums + kernels[:, i, tap, None] * columns[i, tap]
                else:  # a channel of zeros stands beside the last
                    sums = sums + np.float32(0)
    return sums


def _convolve(params: ReducedParams, inputs: Arrays, weights: Arrays) -> Arrays:
    sums = _sums(params.params_as(ConvolutionParams), params.number, inputs[0], weights[0])
    return [sums + weights[1].reshape(-1, *(1,) * (sums.ndim - 2)) if len(weights) > 1 else sums]


def _deconvolve(params: ReducedParams, inputs: Arrays, weights: Arrays) -> Arrays:
    """As a convolution, of whole numbers and of weights by their outputs."""
    own = params.params_as(ConvolutionParams)
    number: Int8 = params.number  # type: ignore[assignment]
    codes, scales = weight_codes(by_outputs(np.asarray(weights[0]), own.group))
    back = by_outputs(codes.astype(np.float64), own.group)
    steps = number.codes(inputs[0]).astype(np.float64) - number.zero
    (sums,) = DECONVOLUTION.reference(replace(own, bias=False), [steps], [back])
    channels = (1, -1, *(1,) * (sums.ndim - 2))
    y = sums.astype(np.float32) * (np.float32(number.scale) * scales).reshape(channels)
    return [y + weights[1].reshape(channels[1:]) if len(weights) > 1 else y]


def by_outputs(weights: NDArray[Any], groups: int) -> NDArray[Any]:
    """(inputs, outputs / groups, ...) -> (outputs, inputs / groups, ...), and back."""
    grouped = weights.reshape(groups, -1, *weights.shape[1:])
    return grouped.swapaxes(1, 2).reshape(-1, grouped.shape[1], *weights.shape[2:])


def _multiply(params: ReducedParams, inputs: Arrays, weights: Arrays) -> Arrays:
    """An inner product is a convolution whose kernel is as large as its input."""
    x, own = inputs[0], params.params_as(InnerProductParams)
    images = x.reshape(*x.shape, *(1,) * (4 - x.ndim))
    kernels = (weights[0].T if own.transpose else weights[0]).reshape(-1, *images.shape[1:])
    sums = _sums(whole_window(own, images.shape), params.number, images, kernels)
    sums = sums.reshape(len(x), own.num_output)
    return [sums + weights[1] if own.bias else sums]


def whole_window(params: InnerProductParams, shape: Shape) -> ConvolutionParams:
    """The convolution that equals an inner product over (num, channels, height, width)."""
    window = Window(kernel=(shape[2], shape[3]))
    return ConvolutionParams(params.num_output, window, bias=params.bias)


def misfit(
    op: ErasedOp,
    params: ConvolutionParams | InnerProductParams,
    shape: Shape,
    weights: AnyArray,
    number: Number,
) -> str | None:
    """Why a product's input and weights cannot be rounded to a number format; None where they can.

    Args:
        op: the product.
        params: its parameters.
        shape: of its input.
        weights: its weights.
        number: the format.
    """
    if isinstance(params, InnerProductParams):
        if len(shape) not in (2, 4) or params.axis not in (1, 1 - len(shape)):
            return "it multiplies other axes than the first after the batch's"
    elif len(shape) != 4 or params.axis not in (1, -3):
        return "it is over other axes than two of pixels"
    elif (reason := _window_misfit(op, params, shape, number)) is not None:
        return reason
    if not weights.size or not np.isfinite(weights).all():
        return "it has no weights, or one that is no finite number"
    terms = weights.size // max(1, params.num_output)
    limit = MAX_TAPS if is_depthwise(params, shape) else MAX_TERMS
    if isinstance(number, Int8) and terms > limit:
        return f"its sums have more than {limit:,} terms"
    return None


def _window_misfit(
    op: ErasedOp, params: ConvolutionParams, shape: Shape, number: Number
) -> str | None:
    """What of a window's channels stands in the way: groups must fill whole words of 4 bytes."""
    whole = isinstance(number, Int8)
    if op.role & Role.DECONVOLUTION and (reason := _deconvolution_misfit(params, shape, number)):
        return reason
    if is_depthwise(params, shape):
        return None if whole else f"there are no depthwise convolutions in {number.name}"
    if params.group > 1 and shape[1] // params.group % number.per_word:
        return f"its groups' channels are no multiple of {number.per_word}"
    return None


def _deconvolution_misfit(params: ConvolutionParams, shape: Shape, number: Number) -> str | None:
    if number.name not in FORMATS[Role.DECONVOLUTION]:
        return f"there are no deconvolutions in {number.name}"
    axes = convolution_axes(params, shape)
    if math.prod(axis.stride for axis in axes) > MAX_PHASES:
        return "its stride is too large"
    if is_depthwise(params, shape) and any(axis.dilation > 1 for axis in axes):
        return "it is depthwise, and dilated"
    return None


def is_depthwise(params: ConvolutionParams | InnerProductParams, shape: Shape) -> bool:
    """True if a window has a group for each channel, and an output for each."""
    groups = params.group if isinstance(params, ConvolutionParams) else 1
    return groups > 1 and groups == shape[1] == params.num_output


# Ops


def _reduced(
    name: str, product: ErasedOp, reference: Kernel[ReducedParams], in_columns: bool = True
) -> OpDef[ReducedParams]:
    """A product whose input and weights are rounded first."""

    def weights(params: ReducedParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
        return product.weights(params.product, inputs)

    def cost(params: ReducedParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
        return product.cost(params.product, inputs, outputs)

    def window(params: ReducedParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
        return product.window(params.product, inputs, outputs)

    def memory(params: ReducedParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
        pixels = sum(count(shape, 2) for shape in outputs) * len(outputs)
        columns = FLOAT * pixels * count(weights(params, inputs)[0].shape, 1) * in_columns
        wide = 8 * (sum(map(count, inputs)) + sum(map(count, outputs)))
        own = 16 * count(weights(params, inputs)[0].shape)
        return 2 * columns + 4 * wide + own + product.memory(params.product, inputs, outputs)

    return OpDef(
        name=name,
        arity=Arity((1, 1), (1, 1)),
        params=unwritten,
        shape=lambda params, inputs: product.shape(params.product, inputs),
        weights=weights,
        cost=cost,
        window=window,
        reference=reference,
        memory=memory,
        role=Role.REDUCED_PRODUCT,
        family=product.family,
        host=True,
    )


REDUCED_CONVOLUTION = "ReducedConvolution"
REDUCED_DECONVOLUTION = "ReducedDeconvolution"
REDUCED_INNER_PRODUCT = "ReducedInnerProduct"
ROUNDING = "Rounding"


def _round(params: RoundingParams, inputs: Arrays, weights: Arrays) -> Arrays:
    return [params.number.rounded(inputs[0])]


OPS: tuple[ErasedOp, ...] = (
    erased(_reduced(REDUCED_CONVOLUTION, erased(CONVOLUTION), _convolve)),
    erased(_reduced(REDUCED_DECONVOLUTION, erased(DECONVOLUTION), _deconvolve, in_columns=False)),
    erased(_reduced(REDUCED_INNER_PRODUCT, erased(INNER_PRODUCT), _multiply)),
    erased(
        OpDef(
            name=ROUNDING,
            arity=Arity((1, 1), (1, 1)),
            params=unwritten,
            shape=same_shape,
            reference=_round,
            role=Role.ROUNDING,
            host=True,
        )
    ),
)
