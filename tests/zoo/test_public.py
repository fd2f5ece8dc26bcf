"""Nets whose public definitions are at hand are the same layer by layer.

So weights trained for the public file load into the net as it is written here.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from netc.data import prototxt_dir
from netc.frontend import build, read_net
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
    *(
        (
            "resnext",
            {"normalize_data": "true", "depth": depth},
            f"cypw+ResNeXt-1/ResNeXt-{depth}-deploy.prototxt",
        )
        for depth in ("101", "152")
    ),
    *(
        ("densenet161", {"depth": depth}, f"shicai+DenseNet-Caffe/DenseNet_{depth}.prototxt")
        for depth in ("121", "161", "169", "201")
    ),
]
# Training nets, which have layers for data and accuracy, and no softmax.
_MOBILENET2 = "intel+caffe/@prv-s8-fc/models/intel_optimized_models/mobilenet_v2"
TRAINED = [
    ("mobilenet2", {"public": "true"},
     f"{_MOBILENET2}/mobilenet_v2_deploy.prototxt"),
    ("squeezenet", {"version": "1.0"}, "dgschwend+netscope/presets/squeezenet.prototxt"),
    ("squeezenet", {}, "dgschwend+netscope/presets/squeezenet_v11.prototxt"),
]  # fmt: skip
FCN = "shelhamer+fcn.berkeleyvision.org/voc-fcn8s/deploy.prototxt"

Told = list[tuple[str, str, list[object], list[object], list[int], list[object]]]
_OUT_OF_NET = ("Accuracy", "SoftmaxWithLoss", "Softmax")
_NO_PART = ("window", "weight_filler", "bias_filler")


def told(graph: Graph, *without: str) -> Told:
    """Name, type, shapes of parameters and of outputs, producers and settings, layer by layer.

    Of the settings without windows, whose defaults may be written or not, and without fillers.
    """
    nodes = [node for node in graph.nodes if node.op not in without]
    numbers = {name: i for i, node in enumerate(nodes) for name in node.outputs}
    return [
        (
            node.name,
            node.op,
            [graph.parameters[name].shape for name in node.parameters],
            [graph.shape(name) for name in node.outputs],
            [numbers.get(name, -1) for name in node.inputs] if not without else [],
            settings(node.params),
        )
        for node in nodes
    ]


def settings(params: object) -> list[object]:
    """A layer's settings: groups, eps, coefficients ..."""
    if not is_dataclass(params):
        return [params]
    return [getattr(params, f.name) for f in fields(params) if f.name not in _NO_PART]


def ours(file: str, define: dict[str, str], inputs: dict[str, tuple[int, ...]]) -> Graph:
    message = read_net(prototxt_dir() / f"{file}.netc", define=define).message
    return build(message, inputs=inputs).graph


def public(path: Path, inputs: dict[str, tuple[int, ...]]) -> Graph:
    if not path.is_file():
        pytest.skip(f"there is no {path.name} among the public nets")
    return build(read_net(path).message, inputs=inputs).graph


def compare(
    file: str,
    define: dict[str, str],
    path: Path,
    *without: str,
    shape: tuple[int, ...] | None = None,
) -> None:
    theirs = public(path, {"data": shape} if shape else {})
    inputs = {"data": theirs.shape(theirs.inputs[0])}
    assert told(ours(file, define, inputs), *without) == told(theirs, *without)


@pytest.mark.parametrize(("file", "define", "name"), NETS, ids=[n[2] for n in NETS])
def test_public_nets(nets: Path, file: str, define: dict[str, str], name: str) -> None:
    compare(file, define, nets / f"{name}.prototxt")


@pytest.mark.parametrize(("file", "define", "path"), CORPUS, ids=[n[2] for n in CORPUS])
def test_corpus(corpus: Path, file: str, define: dict[str, str], path: str) -> None:
    compare(file, define, corpus / "files" / path)


@pytest.mark.parametrize(("file", "define", "path"), TRAINED, ids=[n[2] for n in TRAINED])
def test_training_nets(corpus: Path, file: str, define: dict[str, str], path: str) -> None:
    compare(file, define, corpus / "files" / path, *_OUT_OF_NET, shape=(1, 3, 224, 224))


# Nets of other people that begin with one of these, whose trained weights they load.
_RES101 = "zhaoweicai+cascade-rcnn/examples/coco/res101-15s-800-fpn-base/test.prototxt"
_SOEAVER = "soeaver+caffe-model/det/rfcn/models/pascal_voc"
BEGUN = [
    ("resnet152", {"depth": "101"}, _RES101),
    ("resnet152", {}, "eldar+deepcut-cnn/models/deepercut/ResNet-152.prototxt"),
    (
        "inceptionv4",
        {},
        f"{_SOEAVER}/inception-v4/rfcn_voc_inception-v4-merge-aligned-ohem.prototxt",
    ),
]


def convolutions(path: Path, define: dict[str, str]) -> dict[str, tuple[int, ...]]:
    """Name -> number of outputs, kernel's height and width."""
    found = {}
    for layer in read_net(path, define=define).message.get("layer"):
        if layer.get("type") == "Convolution":
            inner = layer.get("convolution_param")
            kernel = 2 * inner.get("kernel_size") or (inner.get("kernel_h"), inner.get("kernel_w"))
            found[layer.get("name")] = (inner.get("num_output"), *kernel[:2])
    return found


@pytest.mark.parametrize(("file", "define", "path"), BEGUN, ids=[n[2] for n in BEGUN])
def test_nets_that_begin_so(corpus: Path, file: str, define: dict[str, str], path: str) -> None:
    target = corpus / "files" / path
    if not target.is_file():
        pytest.skip(f"there is no {target.name} among the public nets")
    theirs = convolutions(target, {})
    named = convolutions(prototxt_dir() / f"{file}.netc", define)
    assert len(named) > 100
    assert {name: theirs.get(name) for name in named} == named


def test_fcn(corpus: Path) -> None:
    """The authors' file to run leaves out the dropout of the one to train."""
    compare("fcn", {}, corpus / "files" / FCN, "Dropout")
