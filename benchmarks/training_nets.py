"""The nets that benchmarks train, as plain prototxt with a loss."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks.nets import find, plain

BATCHES = {
    "lenet": 64, "cifar_quick": 100, "alexnet": 16, "googlenet": 8, "resnet18": 8,
    "mobilenet2": 8, "resnet50": 4,
}  # fmt: skip
#: Names that prototxt/ has under another one: file, and what is set in it.
_VARIANTS = {"resnet50": ("resnet152", {"depth": "50"})}
_CIFAR_QUICK = """
name: "CIFAR-quick"
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 100 dim: 3 dim: 32 dim: 32 } } }
""" + "".join(
    f"""
layer {{ name: "conv{i}" type: "Convolution" bottom: "{below}" top: "conv{i}"
        convolution_param {{ num_output: {width} kernel_size: 5 pad: 2 }} }}
layer {{ name: "relu{i}" type: "ReLU" bottom: "conv{i}" top: "conv{i}" }}
layer {{ name: "pool{i}" type: "Pooling" bottom: "conv{i}" top: "pool{i}"
        pooling_param {{ pool: {method} kernel_size: 3 stride: 2 }} }}"""
    for i, below, width, method in (
        (1, "data", 32, "MAX"), (2, "pool1", 32, "AVE"), (3, "pool2", 64, "AVE")
    )
) + """
layer { name: "ip1" type: "InnerProduct" bottom: "pool3" top: "ip1"
        inner_product_param { num_output: 64 } }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
        inner_product_param { num_output: 10 } }
layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" }
"""  # fmt: skip


def training_text(name: str, batch: int, folder: Path | None = None) -> str:
    """A net as plain prototxt, for a batch, with its own losses, or one in the place of Softmax.

    BatchNorm is by the batch's statistics, as in training, where a text is for deployment.
    """
    if name == "cifar_quick":
        text = _CIFAR_QUICK
    else:
        file, chosen = _VARIANTS.get(name, (name, {}))
        path = find(file, folder)
        text = _with_parameters(path, chosen) if chosen else plain(path).read_text("utf-8")
    text = re.sub(r"use_global_stats:\s*true\s*", "", _without_expectations(text))
    start = r"(input_param\s*\{\s*shape\s*\{\s*dim:\s*)\d+"
    text, places = re.subn(start, rf"\g<1>{batch}", text)
    if not places:
        raise SystemExit(f"`{name}` has no Input layer whose batch could be set")
    if '"SoftmaxWithLoss"' in text:  # the text has a part for training
        return text
    found = r'(type: )"Softmax"(\s+bottom: "[^"]+")'
    text, losses = re.subn(found, r'\g<1>"SoftmaxWithLoss"\g<2> bottom: "label"', text)
    if not losses:
        raise SystemExit(f"`{name}` has no Softmax to be trained by")
    shape = f"shape {{ dim: {batch} }}"
    label = f'layer {{ name: "label" type: "Input" top: "label" input_param {{ {shape} }} }}'
    return f"{label}\n{text}"


def _with_parameters(path: Path, chosen: Mapping[str, str]) -> str:
    from netc.language.plain import plain_text
    from netc.language.read import read_document
    from netc.schema.load import load_schema
    from netc.syntax.reader import read_source

    return plain_text(read_document(read_source(path), load_schema(), chosen, path.parent))


def _without_expectations(text: str) -> str:
    return "".join(line for line in text.splitlines(True) if not line.startswith("#"))
