"""Names of Caffe's Split layers: blob, the layer that made it, which of its tops."""

from __future__ import annotations

from netc.diagnostics import Source
from netc.frontend import read_net
from netc.lower.splits import Split, split_names, splits

TEXT = """
layer { name: "in" type: "Input" top: "x" top: "label" }
layer { name: "a" type: "ReLU" bottom: "x" top: "a" }
layer { name: "b" type: "ReLU" bottom: "x" top: "b" }
layer { name: "c" type: "ReLU" bottom: "a" top: "a" }
layer { name: "d" type: "Eltwise" bottom: "a" bottom: "a" top: "d" }
layer { name: "e" type: "Silence" bottom: "d" bottom: "b" bottom: "label" }
"""


def test_blobs_that_are_read_more_than_once_have_one() -> None:
    layers = read_net(Source("net", TEXT)).message.get("layer")
    # `a` is read once before `c` rewrites it, and twice after.
    assert split_names(layers) == ("x_in_0_split", "a_c_0_split")


def test_no_layers_have_none() -> None:
    assert split_names(()) == ()


def test_a_written_weight_in_the_loss_is_a_reader() -> None:
    text = """
    layer { name: "in" type: "Input" top: "x" top: "label" }
    layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" loss_weight: 0.5 }
    layer { name: "b" type: "InnerProduct" bottom: "x" top: "b" loss_weight: 0 }
    layer { name: "c" type: "InnerProduct" bottom: "x" top: "c" loss_weight: 2 }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "a" bottom: "label" top: "loss" }
    layer { name: "e" type: "Silence" bottom: "b" bottom: "loss" }
    """
    found = splits(read_net(Source("net", text)).message.get("layer"))
    assert found == (Split("x", "in", 0, 3, 0.0), Split("a", "a", 0, 2, 0.5))
    assert found[1].name == "a_a_0_split" and found[1].first_reader == 1
