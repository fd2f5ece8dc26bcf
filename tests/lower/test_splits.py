"""Names of Caffe's Split layers: blob, the layer that made it, which of its tops."""

from __future__ import annotations

from netc.diagnostics import Source
from netc.driver import read_net
from netc.lower.splits import split_names

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
