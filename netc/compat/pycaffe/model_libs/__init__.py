"""``caffe.model_libs``: the parts that scripts of Caffe's SSD fork build their nets of.

The functions, their arguments and the layers that they add are those of weiliu89/caffe's module of
this name, which the generators of many detectors import whole: so the names below include what that
module imports itself.
"""

from __future__ import annotations

import os

import netc.compat.pycaffe as caffe
from netc.compat.pycaffe.model_libs.blocks import (
    ConvBNLayer,
    InceptionTower,
    ResBody,
    UnpackVariable,
)
from netc.compat.pycaffe.model_libs.detection import CreateAnnotatedDataLayer, CreateMultiBoxHead
from netc.compat.pycaffe.model_libs.inception import InceptionV3Body
from netc.compat.pycaffe.model_libs.plain import VGGNetBody, ZFNetBody
from netc.compat.pycaffe.model_libs.residual import ResNet101Body, ResNet152Body
from netc.compat.pycaffe.net_spec import layers as L  # noqa: N812 (scripts take it from here)
from netc.compat.pycaffe.net_spec import params as P  # noqa: N812
from netc.compat.pycaffe.proto import caffe_pb2

__all__ = [
    "ConvBNLayer",
    "CreateAnnotatedDataLayer",
    "CreateMultiBoxHead",
    "InceptionTower",
    "InceptionV3Body",
    "L",
    "P",
    "ResBody",
    "ResNet101Body",
    "ResNet152Body",
    "UnpackVariable",
    "VGGNetBody",
    "ZFNetBody",
    "caffe",
    "caffe_pb2",
    "check_if_exist",
    "make_if_not_exist",
    "os",
]


def check_if_exist(path: str) -> bool:
    """Whether there is a file or a folder of this path."""
    return os.path.exists(path)


def make_if_not_exist(path: str) -> None:
    """Make a folder, and those that it lies in, where there is none."""
    os.makedirs(path, exist_ok=True)
