"""Layer type names of the older formats (upgrade_proto.cpp, and V1 enums of public forks)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

V0_TO_V1: Mapping[str, str] = MappingProxyType(
    {
        "accuracy": "ACCURACY",
        "bnll": "BNLL",
        "concat": "CONCAT",
        "conv": "CONVOLUTION",
        "data": "DATA",
        "dropout": "DROPOUT",
        "euclidean_loss": "EUCLIDEAN_LOSS",
        "flatten": "FLATTEN",
        "hdf5_data": "HDF5_DATA",
        "hdf5_output": "HDF5_OUTPUT",
        "im2col": "IM2COL",
        "images": "IMAGE_DATA",
        "infogain_loss": "INFOGAIN_LOSS",
        "innerproduct": "INNER_PRODUCT",
        "inner_product": "INNER_PRODUCT",
        "locally_connected": "LOCALLY_CONNECTED",  # of BVLC's pull request 216
        "lrn": "LRN",
        "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
        "pool": "POOLING",
        "relu": "RELU",
        "sigmoid": "SIGMOID",
        "softmax": "SOFTMAX",
        "softmax_loss": "SOFTMAX_LOSS",
        "split": "SPLIT",
        "tanh": "TANH",
        "window_data": "WINDOW_DATA",
    }
)
"""Types of V0 layers to the identifiers of V1's LayerType; "padding" has none, it is folded."""

V1_TO_V2: Mapping[str, str] = MappingProxyType(
    {
        "ABSVAL": "AbsVal",
        "ACCURACY": "Accuracy",
        "ARGMAX": "ArgMax",
        "BNLL": "BNLL",
        "CONCAT": "Concat",
        "CONTRASTIVE_LOSS": "ContrastiveLoss",
        "CONVOLUTION": "Convolution",
        "DATA": "Data",
        "DECONVOLUTION": "Deconvolution",
        "DROPOUT": "Dropout",
        "DUMMY_DATA": "DummyData",
        "ELTWISE": "Eltwise",
        "EUCLIDEAN_LOSS": "EuclideanLoss",
        "EXP": "Exp",
        "FLATTEN": "Flatten",
        "HDF5_DATA": "HDF5Data",
        "HDF5_OUTPUT": "HDF5Output",
        "HINGE_LOSS": "HingeLoss",
        "IM2COL": "Im2col",
        "IMAGE_DATA": "ImageData",
        "INFOGAIN_LOSS": "InfogainLoss",
        "INNER_PRODUCT": "InnerProduct",
        "LRN": "LRN",
        "MEMORY_DATA": "MemoryData",
        "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
        "MVN": "MVN",
        "POOLING": "Pooling",
        "POWER": "Power",
        "RELU": "ReLU",
        "SIGMOID": "Sigmoid",
        "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
        "SILENCE": "Silence",
        "SLICE": "Slice",
        "SOFTMAX": "Softmax",
        "SOFTMAX_LOSS": "SoftmaxWithLoss",
        "SPLIT": "Split",
        "TANH": "TanH",
        "THRESHOLD": "Threshold",
        "WINDOW_DATA": "WindowData",
    }
)
"""BVLC's V1 LayerType to V2 types; NONE has none."""

FORK_V1_TO_V2: Mapping[str, str] = MappingProxyType(
    {
        "BATCHNORM": "BatchNorm",
        "BN": "BN",
        "CCCP": "CCCP",
        "CONVOLUTION3D": "Convolution3D",
        "CRELU": "CReLU",
        "CROP": "AutoCrop",  # of FCN's first release: BVLC's V1 has no crop
        "DECONVOLUTION3D": "Deconvolution3D",
        "DEFORMABLECONVOLUTION": "DeformableConvolution",
        "DENSE_CRF": "DenseCRF",
        "ELU": "ELU",
        "GRN": "GRN",
        "LOCALLY_CONNECTED": "LocallyConnected",
        "LSTM_2D": "LSTM2D",
        "NMS": "NMS",
        "NORM": "Normalize",
        "POOLING3D": "Pooling3D",
        "PRELU": "PReLU",
        "PRIORBOX": "PriorBox",
        "PSROI_POOLING": "PSROIPooling",
        "RELU6": "ReLU6",
        "ROIPOOLING": "ROIPooling",
        "ROI_ALIGN": "ROIAlign",
        "ROI_POOLING": "ROIPooling",
        "RPN": "RPN",
        "SELU": "SELU",
        "SPP": "SPP",
        "TOPK": "TopK",
        "YUVTONORMALIZEDGRAY": "YUVToNormalizedGray",
        "YUVTORGB": "YUVToRGB",
    }
)
"""V1 LayerType values of public forks whose V2 type is not the plain CamelCase of the name."""


def v2_type(identifier: str) -> str:
    """The V2 type of a V1 LayerType.

    A fork's value that no table has becomes CamelCase, which is how forks name their V2 types
    (``IMAGE_SEG_DATA``: ``ImageSegData``); NONE becomes the empty string as in Caffe.
    """
    if identifier == "NONE":
        return ""
    known = V1_TO_V2.get(identifier) or FORK_V1_TO_V2.get(identifier)
    return known or "".join(part.capitalize() for part in identifier.split("_"))


def v0_type(name: str) -> str:
    """What V0 calls a layer type of any format; empty where it has none."""
    folded = _folded(name)
    return next((v0 for v0, v1 in V0_TO_V1.items() if folded in (v0, _folded(v1))), "")


def current_type(name: str) -> str:
    """What the current format calls a layer type of V0 or V1; empty for what is none of theirs."""
    old = V0_TO_V1.get(name, name)
    return V1_TO_V2.get(old, "")


def _folded(name: str) -> str:
    return name.replace("_", "").lower()
