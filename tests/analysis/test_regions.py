"""Large regions are folded as a person would fold them; none is one box."""

from __future__ import annotations

from pathlib import Path

import pytest

from netc.analysis.structure import ModuleGroup, structure
from tests.analysis.profiles import conv, data, layer, profile_of

DATA = data(2, 3, 32, 32)


def folded(text: str) -> list[str]:
    return [
        f"{part.name}*{len(list(part.chains()))}"
        if isinstance(part, ModuleGroup)
        else part.head.name
        for part in structure(profile_of(text)).parts
    ]


def test_towers_of_a_siamese_net() -> None:
    towers = "".join(
        conv(f"conv1{p}", "data", 4, 1)
        + conv(f"conv2{p}", f"conv1{p}", 4, 1)
        + conv(f"feat{p}", f"conv2{p}", 4, 1)
        for p in ("", "_p")
    )
    text = DATA + towers + layer("loss", "Eltwise", "feat feat_p")
    assert folded(text) == ["data", "feat*3", "feat_p*3", "loss"]


def test_heads_of_a_detection_net() -> None:
    backbone = conv("conv0", "data", 4, 1)
    for i in range(1, 7):
        backbone += conv(f"conv{i}_dw", f"conv{i - 1}", 4, 1) + conv(
            f"conv{i}", f"conv{i}_dw", 4, 1
        )
    heads = "".join(
        conv(f"conv{i}_mbox_loc", f"conv{i}", 4, 1) + conv(f"conv{i}_mbox_conf", f"conv{i}", 4, 1)
        for i in (1, 5, 6)
    )
    ends = [f"conv{i}_mbox_{k}" for i in (1, 5, 6) for k in ("loc", "conf")]
    found = folded(DATA + backbone + heads + layer("sum", "Eltwise", " ".join(ends)))
    assert found[:4] == ["data", "conv0", "conv1_dw", "conv1"]
    assert found[4:9] == ["conv2*2", "conv3*2", "conv4*2", "conv5*2", "conv6*2"]
    assert found[9:] == ["conv1_mbox*2", "conv5_mbox*2", "conv6_mbox*2", "sum"]


@pytest.mark.parametrize(
    "name",
    [
        "chuanqi305+MobileNet-SSD/voc/MobileNetSSD_deploy.prototxt",
        "HyeonwooNoh+DeconvNet/model/FCN/fcn-8s-pascal-deploy.prototxt",
        "BVLC+caffe/@pull-1873/examples/coco_caption/lrcn.prototxt",
        "BVLC+caffe/examples/siamese/mnist_siamese_train_test.prototxt",
    ],
)
def test_public_nets_are_no_single_box(name: str, corpus: Path) -> None:
    root = structure(profile_of(corpus / "files" / name))
    total = len(list(root.chains()))
    modules = [len(list(part.chains())) for part in root.parts if isinstance(part, ModuleGroup)]
    assert max(modules, default=0) <= total / 2 and len(root.parts) >= 4
