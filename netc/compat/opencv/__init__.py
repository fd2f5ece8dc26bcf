"""The part of OpenCV's dnn module that reads Caffe's nets: ``import netc.compat.opencv as dnn``.

OpenCV 5 has no ``readNetFromCaffe`` any more. See docs/compat.md for what works and what differs.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from netc.compat.opencv.constants import (
    DNN_BACKEND_CUDA,
    DNN_BACKEND_DEFAULT,
    DNN_BACKEND_HALIDE,
    DNN_BACKEND_INFERENCE_ENGINE,
    DNN_BACKEND_OPENCV,
    DNN_BACKEND_VKCOM,
    DNN_TARGET_CPU,
    DNN_TARGET_CPU_FP16,
    DNN_TARGET_CUDA,
    DNN_TARGET_CUDA_FP16,
    DNN_TARGET_FPGA,
    DNN_TARGET_HDDL,
    DNN_TARGET_MYRIAD,
    DNN_TARGET_NPU,
    DNN_TARGET_OPENCL,
    DNN_TARGET_OPENCL_FP16,
    DNN_TARGET_VULKAN,
)
from netc.compat.opencv.custom import (
    dnn_registerLayer,
    dnn_unregisterLayer,
    listen_to_opencv,
)
from netc.compat.opencv.images import blobFromImage, blobFromImages
from netc.compat.opencv.layer import Layer
from netc.compat.opencv.models import (
    ClassificationModel,
    DetectionModel,
    KeypointsModel,
    Model,
    SegmentationModel,
)
from netc.compat.opencv.net import Net
from netc.compat.opencv.reading import readNet, readNetFromCaffe
from netc.compat.opencv.shrink import shrinkCaffeModel

__all__ = [
    "DNN_BACKEND_CUDA",
    "DNN_BACKEND_DEFAULT",
    "DNN_BACKEND_HALIDE",
    "DNN_BACKEND_INFERENCE_ENGINE",
    "DNN_BACKEND_OPENCV",
    "DNN_BACKEND_VKCOM",
    "DNN_TARGET_CPU",
    "DNN_TARGET_CPU_FP16",
    "DNN_TARGET_CUDA",
    "DNN_TARGET_CUDA_FP16",
    "DNN_TARGET_FPGA",
    "DNN_TARGET_HDDL",
    "DNN_TARGET_MYRIAD",
    "DNN_TARGET_NPU",
    "DNN_TARGET_OPENCL",
    "DNN_TARGET_OPENCL_FP16",
    "DNN_TARGET_VULKAN",
    "ClassificationModel",
    "DetectionModel",
    "KeypointsModel",
    "Layer",
    "Model",
    "Net",
    "SegmentationModel",
    "blobFromImage",
    "blobFromImages",
    "dnn_registerLayer",
    "dnn_unregisterLayer",
    "readNet",
    "readNetFromCaffe",
    "shrinkCaffeModel",
]

listen_to_opencv()

# What needs no net, and is OpenCV's own.
_OPENCVS = frozenset((
    "Image2BlobParams", "NMSBoxes", "NMSBoxesBatched", "NMSBoxesRotated",
    "blobFromImageWithParams", "blobFromImagesWithParams", "imagesFromBlob", "softNMSBoxes",
))  # fmt: skip


def __getattr__(name: str) -> Any:
    """Functions of OpenCV's dnn module that need no net, where OpenCV is installed."""
    if name in _OPENCVS:
        try:
            return getattr(import_module("cv2").dnn, name)
        except ImportError:
            raise AttributeError(f"`{name}` is OpenCV's own, which is not installed") from None
    if name.startswith("dnn_") and name.removeprefix("dnn_") in __all__:  # as cv2 calls its classes
        return globals()[name.removeprefix("dnn_")]
    raise AttributeError(f"netc.compat.opencv has no `{name}`; see docs/compat.md for what it has")
