"""Short forms of layer types, and the messages that hold a type's fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class EnumWord(NamedTuple):
    """An identifier of Caffe's schema: the value of an enum field."""

    text: str


class Short(NamedTuple):
    """A short form of a layer type.

    Args:
        type: the layer type.
        values: the fields that positional arguments are given to, in order.
        preset: fields that a use has unless it gives them itself.
        square: ``stride`` is ``kernel_size`` where it is not given.
    """

    type: str
    values: tuple[str, ...] = ()
    preset: tuple[tuple[str, EnumWord | bool], ...] = ()
    square: bool = False


_WINDOW = ("kernel_size", "stride", "pad")

SHORTS: dict[str, Short] = {
    "conv": Short("Convolution", ("num_output", *_WINDOW)),
    "deconv": Short("Deconvolution", ("num_output", *_WINDOW)),
    "fc": Short("InnerProduct", ("num_output",)),
    "pool": Short("Pooling", _WINDOW, (("pool", EnumWord("MAX")),), square=True),
    "avepool": Short("Pooling", _WINDOW, (("pool", EnumWord("AVE")),), square=True),
    "globalpool": Short("Pooling", (), (("pool", EnumWord("AVE")), ("global_pooling", True))),
    "relu": Short("ReLU"),
    "prelu": Short("PReLU"),
    "elu": Short("ELU"),
    "sigmoid": Short("Sigmoid"),
    "tanh": Short("TanH"),
    "dropout": Short("Dropout", ("dropout_ratio",)),
    "lrn": Short("LRN", ("local_size", "alpha", "beta")),
    "batchnorm": Short("BatchNorm"),
    "scale": Short("Scale", (), (("bias_term", True),)),
    "concat": Short("Concat"),
    "add": Short("Eltwise"),
    "flatten": Short("Flatten"),
    "softmax": Short("Softmax"),
    "loss": Short("SoftmaxWithLoss"),
    "accuracy": Short("Accuracy"),
}

IN_PLACE = frozenset({
    "AbsVal", "BN", "BNLL", "BatchNorm", "Bias", "Clip", "Dropout", "ELU", "Exp", "Log", "PReLU",
    "Power", "ReLU", "ReLU6", "Scale", "Sigmoid", "Swish", "TanH", "Threshold",
})  # fmt: skip
"""Types that work over their bottom; all that Caffe's own nets use so."""

MESSAGES: Mapping[str, tuple[str, ...]] = {
    "Deconvolution": ("convolution_param",),
    "DepthwiseConvolution": ("convolution_param",),
    "ConvolutionDepthwise": ("convolution_param",),
    "Im2col": ("convolution_param",),
    "SoftmaxWithLoss": ("softmax_param", "loss_param"),
    "LSTM": ("recurrent_param",),
    "RNN": ("recurrent_param",),
    "LpPooling": ("lp_pooling_param", "pooling_param"),
    "LocallyConnected": ("convolution_param",),
    "Local": ("local_param",),
    "Normalize": ("norm_param",),
}
"""The messages that a type's fields stand in, where their name does not follow from the type's."""

OF_LAYER = frozenset({
    "param", "top", "include", "exclude", "loss_weight", "propagate_down", "blobs", "phase",
})  # fmt: skip
"""Fields that a use gives to the layer itself, even if the type has fields of that name."""

BASES: Mapping[str, str] = {short.type: name for name, short in reversed(SHORTS.items())}
"""Layer type -> what its layers are called when nobody names them."""
