"""Which layers move nothing where channels are innermost."""

from __future__ import annotations

import netc
from netc.backends.shared.aliases import concat_offsets, view_offsets
from netc.diagnostics import Source
from netc.ir.graph import Graph

INPUT = """
layer { name: "x" type: "Input" top: "x"
  input_param { shape { dim: 2 dim: 6 dim: 3 dim: 3 } } }
"""


def graph(text: str) -> Graph:
    source = Source("t.prototxt", INPUT + text)
    return netc.compile(source, backend="reference", optimize=False).graph


def test_a_concatenation_along_channels_has_offsets() -> None:
    text = (
        'layer {{ name: "y" type: "Concat" bottom: "x" bottom: "x" top: "y" '
        "concat_param {{ axis: {} }} }}"
    )
    found = graph(text.format(1))
    assert concat_offsets(found, found.nodes[0]) == (0, 6)
    assert view_offsets(found, found.nodes[0]) is None
    along_rows = graph(text.format(2))
    assert concat_offsets(along_rows, along_rows.nodes[0]) is None
    from_the_end = graph(text.format(-3))
    assert concat_offsets(from_the_end, from_the_end.nodes[0]) == (0, 6)


def test_a_slice_along_channels_is_views() -> None:
    text = (
        'layer {{ name: "s" type: "Slice" bottom: "x" top: "a" top: "b" '
        "slice_param {{ axis: {} slice_point: {} }} }}"
    )
    found = graph(text.format(1, 4))
    assert view_offsets(found, found.nodes[0]) == (0, 4)
    along_rows = graph(text.format(2, 1))
    assert view_offsets(along_rows, along_rows.nodes[0]) is None


def test_a_reshape_is_a_view_where_pixels_stay() -> None:
    text = (
        'layer {{ name: "r" type: "Reshape" bottom: "x" top: "r" '
        "reshape_param {{ shape {{ {} }} }} }}"
    )
    moved = graph(text.format("dim: 2 dim: 54"))
    assert view_offsets(moved, moved.nodes[0]) is None
    same = graph(text.format("dim: 2 dim: 6 dim: 3 dim: 3"))
    assert view_offsets(same, same.nodes[0]) == (0,)
