"""Zeros after an image's colours, and views of what is produced."""

from __future__ import annotations

import netc
from netc.backends.cuda.rules import padding, produced_view_offsets, zero_channels
from netc.diagnostics import Source
from netc.ir.graph import Graph

INPUT = """
layer {{ name: "x" type: "Input" top: "x"
  input_param {{ shape {{ dim: 2 dim: {} dim: 8 dim: 8 }} }} }}
"""
CONVOLUTION = """
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
"""
RELU = 'layer { name: "r" type: "ReLU" bottom: "x" top: "r" }'


def graph(channels: int, text: str) -> Graph:
    source = Source("t.prototxt", INPUT.format(channels) + text)
    return netc.compile(source, backend="reference", optimize=False).graph


def test_three_colours_that_convolutions_alone_read_become_four() -> None:
    found = graph(3, CONVOLUTION)
    assert zero_channels(found, "x") == 1
    assert padding(found, "x") == 2 * 8 * 8


def test_other_readers_and_other_channels_get_no_zeros() -> None:
    assert zero_channels(graph(3, CONVOLUTION + RELU), "x") == 0
    assert zero_channels(graph(4, CONVOLUTION), "x") == 0
    assert padding(graph(4, CONVOLUTION), "x") == 0
    found = graph(3, CONVOLUTION)
    assert zero_channels(found, "c") == 0  # is no input


def test_what_is_fed_has_no_views() -> None:
    text = 'layer { name: "s" type: "Slice" bottom: "BOTTOM" top: "a" top: "b" }'
    fed = graph(4, text.replace("BOTTOM", "x"))
    assert produced_view_offsets(fed, fed.nodes[0]) is None
    made = graph(4, RELU + text.replace("BOTTOM", "r"))
    assert produced_view_offsets(made, made.nodes[1]) == (0, 2)
