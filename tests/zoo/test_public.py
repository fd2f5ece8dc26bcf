"""Nets whose public definitions are at hand are the same layer by layer.

So weights trained for the public file load into the net as it is written here.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from netc.data import prototxt_dir
from netc.driver import build, read_net
from netc.ir.graph import Graph

# File here, its parameters, the public file.
NETS = [
    ("alexnet", {}, "alexnet"),
    ("googlenet", {}, "googlenet"),
    ("vgg16", {}, "vgg16"),
    ("resnet152", {"depth": "50"}, "resnet50"),
    ("resnet152", {}, "resnet152"),
    ("densenet121", {}, "densenet121"),
    ("inceptionv3", {}, "inceptionv3"),
    ("mobilenet", {}, "mobilenet"),
    ("squeezenet", {}, "squeezenet11"),
]
_BVLC = "BVLC+caffe"
_PREACTIVATION = "soeaver+caffe-model/@cls-dev/cls/resnet-v2/deploy_resnet101_v2.prototxt"
CORPUS = [
    ("lenet", {}, f"{_BVLC}/examples/mnist/lenet.prototxt"),
    ("caffenet", {}, f"{_BVLC}/models/bvlc_reference_caffenet/deploy.prototxt"),
    ("preresnet", {}, _PREACTIVATION),
    ("resnext", {"normalize_data": "true"}, "cypw+ResNeXt-1/ResNeXt-50-deploy.prototxt"),
    (
        "resnext",
        {"normalize_data": "true", "depth": "101"},
        "cypw+ResNeXt-1/ResNeXt-101-deploy.prototxt",
    ),
]
FCN = "shelhamer+fcn.berkeleyvision.org/voc-fcn8s/deploy.prototxt"

Told = list[tuple[str, str, list[object], list[object]]]


def told(graph: Graph, *without: str) -> Told:
    """Name, type, shapes of parameters and of outputs, layer by layer."""
    return [
        (
            node.name,
            node.op,
            [graph.parameters[name].shape for name in node.parameters],
            [graph.shape(name) for name in node.outputs],
        )
        for node in graph.nodes
        if node.op not in without
    ]


def ours(file: str, define: dict[str, str], inputs: dict[str, tuple[int, ...]]) -> Graph:
    message = read_net(prototxt_dir() / f"{file}.netc", define=define).message
    return build(message, inputs=inputs).graph


def public(path: Path) -> Graph:
    if not path.is_file():
        pytest.skip(f"there is no {path.name} among the public nets")
    return build(read_net(path).message).graph


def compare(file: str, define: dict[str, str], path: Path, *without: str) -> None:
    theirs = public(path)
    inputs = {"data": theirs.shape(theirs.inputs[0])}
    assert told(ours(file, define, inputs), *without) == told(theirs, *without)


@pytest.mark.parametrize(("file", "define", "name"), NETS, ids=[n[2] for n in NETS])
def test_public_nets(nets: Path, file: str, define: dict[str, str], name: str) -> None:
    compare(file, define, nets / f"{name}.prototxt")


@pytest.mark.parametrize(("file", "define", "path"), CORPUS, ids=[n[2] for n in CORPUS])
def test_corpus(corpus: Path, file: str, define: dict[str, str], path: str) -> None:
    compare(file, define, corpus / "files" / path)


def test_fcn(corpus: Path) -> None:
    """The authors' file to run leaves out the dropout of the one to train."""
    compare("fcn", {}, corpus / "files" / FCN, "Dropout")
