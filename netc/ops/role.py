"""Roles: what passes, plans, lints and reports know of an op without knowing its name."""

from __future__ import annotations

from enum import Flag, auto
from typing import Literal, get_args

Family = Literal[
    "data",
    "convolution",
    "linear",
    "pooling",
    "normalization",
    "activation",
    "joining",
    "reshaping",
    "loss",
    "other",
]
"""Kinds of layers that a drawing shows in one colour."""

FAMILIES: tuple[Family, ...] = get_args(Family)


class Role(Flag):
    """What an op does in a graph; one may have several roles.

    A rewrite, a lint or a storage rule asks for roles, so that an op with another name and the
    same meaning is treated alike. Sums of roles, such as ``PRODUCT``, stand for any of them.
    """

    NONE = 0

    CONVOLUTION = auto()
    """Sums of a sliding window times weights; params are ``ConvolutionParams``."""
    DECONVOLUTION = auto()
    """The gradient of a convolution to its input; params are ``ConvolutionParams``."""
    INNER_PRODUCT = auto()
    """A matrix product of all axes from one on; params are ``InnerProductParams``."""
    LOCAL_PRODUCT = auto()
    """A convolution with weights of its own for each place."""
    PRODUCT = CONVOLUTION | DECONVOLUTION | INNER_PRODUCT
    """Output channel o is ``sum(W[o] * x) + b[o]``: it can take a factor for each channel."""
    REDUCED_PRODUCT = auto()
    """A product whose input and weights are rounded; params are ``ReducedParams``."""
    ROUNDING = auto()
    """Elements rounded to what fewer bits can hold; params are ``RoundingParams``."""

    EMBEDDING = auto()
    """Rows of its weights by their numbers in the input; params are ``EmbedParams``."""
    REGION_POOLING = auto()
    """A pooling over regions of the first input: one for each row of the second."""
    POOLING = auto()
    """The maximum or average of a sliding window; params are ``PoolingParams``."""
    RESPONSE_NORM = auto()
    """A division by the size of the neighbours; ends a group of layers as a pooling does."""

    ACTIVATION = auto()
    """A function of one element that compiled products apply before they store."""
    FUNCTION = auto()
    """Any other function of one element."""
    UNARY = ACTIVATION | FUNCTION
    NONLINEARITY = auto()
    """What nets have between products, and rarely behind a loss."""
    RECTIFIER = auto()
    """max(x, 0), or a slope below 0; params are ``ReLUParams``."""
    CLIPPED = auto()
    """Elements brought within bounds, and else as they are where no ``negative_slope`` is left."""
    SIGMOID = auto()
    """It is a sigmoid, or a loss that begins with one."""
    SOFTMAX = auto()
    """It is a softmax over ``axis``, or a loss that begins with one."""
    SIGNED_SCORES = auto()
    """It reads scores that should be of both signs."""
    FINISHING = auto()
    """It finishes the work of the layer before it, and is shown with that as one."""
    NON_NEGATIVE = auto()
    """No element that it gives is negative, whatever its parameters."""
    DROPOUT = auto()
    """Zeros at random in training."""

    SCALE = auto()
    """A product with the elements of a second operand, spread over the other axes."""
    BIAS = auto()
    """A sum with the elements of a second operand, spread over the other axes."""
    BATCH_NORM = auto()
    """Less a mean, over a deviation, of each channel: the batch's or stored ones."""
    CHANNEL_MAP = SCALE | BIAS | BATCH_NORM
    """A factor and a summand for each channel, where its parameters are so."""
    WIDE_ARRAYS = auto()
    """Its arrays do not survive 16-bit floats: statistics to divide by, counts beyond 65,504."""
    CHANNEL_VECTORS = auto()
    """Its arrays have one element a channel: they fit in any shape that differs by axes of 1."""
    ELTWISE = auto()
    """A sum, product or maximum of values of one shape; params are ``EltwiseParams``."""
    EPILOGUE = auto()
    """Each output element is made of the inputs' elements at its place, in any kernel."""

    CONCAT = auto()
    """Inputs side by side along ``axis``."""
    SLICE = auto()
    """Parts of the input along ``axis``."""
    COPY = auto()
    """The input once for each output."""
    VIEW = auto()
    """The same elements in the same order, in another shape."""
    PERMUTATION = auto()
    """The same elements with the axes in another order."""
    CROP = auto()
    """A part of the first input as large as the second."""

    CONSTANT = auto()
    """It gives its parameter."""
    FED = auto()
    """A source that callers feed, and no data."""
    FILLED = auto()
    """A source whose fillers say what it gives."""
    MEMORY = auto()
    """A source that a caller hands whole arrays, of which it gives one batch after another."""
    IMAGE_LIST = auto()
    """A source of picture files; settings in ``image_data_param``."""
    WINDOW_LIST = auto()
    """A source of windows cut out of picture files."""
    SINK = auto()
    """It reads, and gives nothing."""
    RESULT = auto()
    """What it gives is looked at rather than read by another layer."""
    DETECTIONS = auto()
    """It gives rows of item, label, score and box."""
    BOX_ROWS = auto()
    """Its rows, whose number a run tells, lie along the third axis: (1, 1, rows, 7)."""
    EVALUATED = auto()
    """It gives rows that say which detections are right, and how many true boxes there are."""
