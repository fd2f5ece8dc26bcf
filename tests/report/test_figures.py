"""Published figures, and those that others' tools computed, of public nets and of LeNet."""

from __future__ import annotations

from pathlib import Path

import pytest

from netc.analysis.profile import NetProfile
from tests.analysis.profiles import data, layer, profile_of

# Parameters and statistics together; the widest field of any convolution
FIGURES = {
    "resnet50": (25610269, 483),
    "resnet152": (60344387, 1507),
    "mobilenet": (4253891, 507),
    "squeezenet11": (1235496, 207),
    "vgg16": (138357544, 196),
    "densenet121": (8062625, 2263),
    "inceptionv3": (23869094, 1311),
}


@pytest.mark.parametrize("name", FIGURES)
def test_public_nets(nets: Path, name: str) -> None:
    profile = profile_of(nets / f"{name}.prototxt")
    total, field = FIGURES[name]
    assert profile.cost.total.parameters + profile.cost.total.statistics == total
    assert widest(profile) == field


def widest(profile: NetProfile) -> int:
    sizes = (
        profile.fields[item.outputs[0]].size[0]
        for item in profile.layers
        if item.type == "Convolution"
    )
    return max(sizes)


def test_pynetbuilder_counts_scales_as_multiply_adds(nets: Path) -> None:
    """Its ResNet-50 has 3858.026368 M: those of the products and one for each Scale's weight."""
    profile = profile_of(nets / "resnet50.prototxt")
    scales = sum(
        item.cost.parameters for item in profile.layers if item.type == "Scale" and item.cost
    )
    assert profile.cost.total.macs + scales == 3858026368


def conv(name: str, bottom: str, outputs: int, kernel: int) -> str:
    params = f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} }}"
    return layer(name, "Convolution", bottom, params)


def pool(name: str, bottom: str) -> str:
    return layer(name, "Pooling", bottom, "pooling_param { pool: MAX kernel_size: 2 stride: 2 }")


def dense(name: str, bottom: str, outputs: int) -> str:
    return layer(name, "InnerProduct", bottom, f"inner_product_param {{ num_output: {outputs} }}")


LENET = (
    data(64, 1, 28, 28)
    + conv("conv1", "data", 20, 5)
    + pool("pool1", "conv1")
    + conv("conv2", "pool1", 50, 5)
    + pool("pool2", "conv2")
    + dense("ip1", "pool2", 500)
    + layer("relu1", "ReLU", "ip1", top="ip1")
    + dense("ip2", "ip1", 10)
    + layer("prob", "Softmax", "ip2")
)


def test_lenet() -> None:
    """BVLC's examples/mnist/lenet: parameters, multiply-adds, Caffe's memory, pool2's field."""
    profile = profile_of(LENET)
    total = profile.cost.total
    assert (total.parameters, total.macs) == (431080, 64 * 2293000)
    assert profile.cost.caffe_data_bytes == 5172224
    field = profile.fields["pool2"]
    assert (field.size[0], field.stride[0]) == (16, 4)
